use std::future::Future;
use std::pin::Pin;

use http::Request;
use twentyfirst_protocol::files::{
    FileExists, GetFileInfo, ListFiles, MakeDir, ReadBytes, ReadFile, ReadStream, RemoveFile,
    RenameFile, WriteBytes, WriteFiles, WriteStream,
};
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::runs::{CancelStream, ResumeStream, SendMessages};
use twentyfirst_protocol::sandboxes::{CreateSandbox, DeleteSandbox, Exec, GetSandbox};
use twentyfirst_protocol::threads::{CreateThread, DeleteThread, GetThread, ListThreads};
use twentyfirst_protocol::tokens::CreateToken;
use twentyfirst_protocol::vaults::{
    CreateCredential, CreateVault, DeleteCredential, DeleteVault, GetVault, ListVaults,
    SetDefaultVault, UpdateCredential, UpdateVault,
};
use twentyfirst_protocol::{Endpoint, Route};

use crate::request::Call;
use crate::responses::{Refusal, RelayResponse};
use crate::{chat, files, git, sandboxes, threads, tokens, vaults};

type Handled = Pin<Box<dyn Future<Output = Result<RelayResponse, Refusal>> + Send>>;

/// Maps operations to handlers. The first match wins, so a route with more query conditions comes before one with fewer.
macro_rules! routes {
    ($( $operation:ty => $handler:path, )+) => {
        /// Returns the route of a request.
        pub(crate) fn route<B>(request: &Request<B>) -> Option<Route> {
            $(
                if <$operation>::ROUTE.matches(request) {
                    return Some(<$operation>::ROUTE);
                }
            )+
            None
        }

        /// Passes a request to its handler.
        pub(crate) fn dispatch(call: Call) -> Handled {
            let request = Request::from_parts(call.head.clone(), ());
            $(
                if <$operation>::ROUTE.matches(&request) {
                    return Box::pin($handler(call));
                }
            )+
            let refusal = Refusal::no_route(&call.head.method, call.head.uri.path());
            Box::pin(async move { Err(refusal) })
        }
    };
}

routes! {
    CreateSandbox => sandboxes::create,
    GetSandbox => sandboxes::get,
    DeleteSandbox => sandboxes::delete,
    Exec => sandboxes::exec,
    ReadBytes => files::read_bytes,
    ReadStream => files::read_stream,
    ReadFile => files::read,
    WriteBytes => files::write_bytes,
    WriteStream => files::write_stream,
    WriteFiles => files::write,
    RemoveFile => files::remove,
    ListFiles => files::list,
    GetFileInfo => files::info,
    FileExists => files::exists,
    MakeDir => files::make_dir,
    RenameFile => files::rename,
    CloneRepository => git::clone,
    ListThreads => threads::list,
    CreateThread => threads::create,
    GetThread => threads::get,
    DeleteThread => threads::delete,
    SendMessages => chat::send,
    ResumeStream => chat::resume,
    CancelStream => chat::cancel,
    CreateToken => tokens::create,
    ListVaults => vaults::list,
    CreateVault => vaults::create,
    GetVault => vaults::get,
    UpdateVault => vaults::update,
    DeleteVault => vaults::delete,
    SetDefaultVault => vaults::set_default,
    CreateCredential => vaults::create_credential,
    UpdateCredential => vaults::update_credential,
    DeleteCredential => vaults::delete_credential,
}
