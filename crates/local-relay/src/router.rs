use std::future::Future;
use std::pin::Pin;

use http::Request;
use twentyfirst_protocol::Endpoint;
use twentyfirst_protocol::files::{ReadFile, WriteFiles};
use twentyfirst_protocol::runs::{CancelStream, ResumeStream, SendMessages};
use twentyfirst_protocol::sandboxes::{CreateSandbox, DeleteSandbox, Exec, GetSandbox};
use twentyfirst_protocol::threads::{CreateThread, DeleteThread, GetThread, ListThreads};
use twentyfirst_protocol::tokens::CreateToken;

use crate::answers::{Answer, Refusal};
use crate::request::Call;
use crate::{chat, files, sandboxes, threads, tokens};

type Handled = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send>>;

/// Finds the handler by the routes of the operations, in this order: a route that asks for more in the query comes
/// before one that asks for less.
macro_rules! routes {
    ($call:ident; $( $operation:ty => $handler:path, )+) => {{
        let request = Request::from_parts($call.head.clone(), ());
        $(
            if <$operation>::ROUTE.matches(&request) {
                return Box::pin($handler($call));
            }
        )+
        let refusal = Refusal::no_route(&$call.head.method, $call.head.uri.path());
        Box::pin(async move { Err(refusal) })
    }};
}

pub(crate) fn dispatch(call: Call) -> Handled {
    routes! {
        call;
        CreateSandbox => sandboxes::create,
        GetSandbox => sandboxes::get,
        DeleteSandbox => sandboxes::delete,
        Exec => sandboxes::exec,
        ReadFile => files::read,
        WriteFiles => files::write,
        ListThreads => threads::list,
        CreateThread => threads::create,
        GetThread => threads::get,
        DeleteThread => threads::delete,
        SendMessages => chat::send,
        ResumeStream => chat::resume,
        CancelStream => chat::cancel,
        CreateToken => tokens::create,
    }
}
