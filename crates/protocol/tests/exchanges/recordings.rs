//! Every recorded response of a route with an operation is a value, or an error that loses nothing.

use std::fmt::Debug;

use http::Request;
use serde_json::Value;
use twentyfirst_protocol::files::*;
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::runs::*;
use twentyfirst_protocol::sandboxes::*;
use twentyfirst_protocol::threads::*;
use twentyfirst_protocol::tokens::CreateToken;
use twentyfirst_protocol::vaults::*;
use twentyfirst_protocol::{
    Body, CredentialId, Endpoint, Head, Operation, ResponseError, SandboxId, StreamingOperation,
    ThreadId, UploadOperation, VaultId,
};

use crate::support::{Recording, recordings};

/// The meaning of a response, without its type.
type Decoded = Result<String, ResponseError>;

/// Decodes a response with the operation whose route the request matches. Recorded requests can be broken on purpose: then a
/// valid operation of the same route decodes the response.
fn decode(recording: &Recording) -> Option<Decoded> {
    let request = recording.request.to_request();
    let (head, body) = (recording.response.head(), recording.response.body());

    fn operation<E: Endpoint>(request: &Request<Body>, sample: E) -> Option<E> {
        E::ROUTE
            .matches(request)
            .then(|| E::from_request(request).unwrap_or(sample))
    }
    fn shown<T: Debug>(value: T) -> String {
        format!("{value:?}")
    }

    let sandbox = || SandboxId::new("sb_1").unwrap();
    let vault = || VaultId::new("vault_1").unwrap();
    let credential = || CredentialId::new("cred_1").unwrap();
    let thread = || ThreadId::new("th_1").unwrap();

    macro_rules! try_operations {
        ($($sample:expr),+ $(,)?) => {
            $( if let Some(operation) = operation(&request, $sample) {
                return Some(Operation::decode(&operation, &head, &body).map(shown));
            } )+
        };
    }
    macro_rules! try_streaming {
        ($($sample:expr),+ $(,)?) => {
            $( if let Some(operation) = operation(&request, $sample) {
                return Some(match operation.decode_head(&head) {
                    Head::Open(output) => Ok(shown(output)),
                    Head::Read => StreamingOperation::decode(&operation, &head, &body).map(shown),
                });
            } )+
        };
    }

    try_streaming!(
        ReadStream::new(sandbox(), "a"),
        SendMessages::new("my-agent", sandbox(), "Hi"),
        ResumeStream::new("my-agent", sandbox()),
    );
    if let Some(operation) = operation(&request, WriteStream::new(sandbox(), "a")) {
        return Some(UploadOperation::decode(&operation, &head, &body).map(shown));
    }
    try_operations!(
        CreateSandbox::new("my-agent"),
        GetSandbox::new(sandbox()),
        DeleteSandbox::new(sandbox()),
        Exec::new(sandbox(), "ls"),
        ReadBytes::new(sandbox(), "a"),
        WriteBytes::new(sandbox(), "a", ""),
        ReadFile::new(sandbox(), "a"),
        WriteFiles::new(sandbox(), [("a", "b")]),
        ListFiles::new(sandbox(), "a"),
        GetFileInfo::new(sandbox(), "a"),
        FileExists::new(sandbox(), "a"),
        MakeDir::new(sandbox(), "a"),
        RenameFile::new(sandbox(), "a", "b"),
        RemoveFile::new(sandbox(), "a"),
        CloneRepository::new(sandbox(), "https://x/y.git"),
        ListThreads::new(sandbox()),
        CreateThread::new(sandbox()),
        GetThread::new(sandbox(), thread()),
        DeleteThread::new(sandbox(), thread()),
        CancelStream::new("my-agent", sandbox()),
        CreateToken::new(),
        ListVaults::new(),
        CreateVault::new("Main"),
        GetVault::new(vault()),
        UpdateVault::new(vault(), Default::default()),
        DeleteVault::new(vault()),
        SetDefaultVault::new(vault()),
        CreateCredential::new(
            vault(),
            CredentialSettings::new("https://x", CredentialAuth::bearer("t"))
        ),
        UpdateCredential::new(
            vault(),
            credential(),
            CredentialSettings::new("https://x", CredentialAuth::bearer("t"))
        ),
        DeleteCredential::new(vault(), credential()),
    );
    None
}

/// Returns the code without using the crate.
fn recorded_code(body: &Value) -> Option<&str> {
    match &body["error"] {
        Value::Object(error) => error["code"].as_str(),
        Value::String(code) if body.get("message").is_some() => Some(code),
        _ => None,
    }
}

#[test]
fn every_recorded_response_is_a_value_or_an_error_that_loses_nothing() {
    let mut without_operation = Vec::new();
    let mut read = 0;
    for recording in recordings() {
        let name = &recording.name;
        let Some(decoded) = decode(&recording) else {
            without_operation.push(recording.name);
            continue;
        };
        read += 1;
        let status = recording.response.status;
        match decoded {
            Ok(_) => assert!((200..300).contains(&status), "{name}: a value of {status}"),
            Err(ResponseError::Api(error)) => {
                assert_eq!(error.status(), status, "{name}");
                let body = &recording.response.body;
                assert_eq!(
                    error.code().map(|code| code.as_str()),
                    recorded_code(body),
                    "{name}"
                );
                let message = body["error"]["message"]
                    .as_str()
                    .or_else(|| body["message"].as_str());
                if let Some(message) = message.or_else(|| body["error"].as_str()) {
                    // The password in the URL of a server is a secret.
                    let message = message.replace("//u:p@", "//***@");
                    assert_eq!(error.message(), message, "{name}");
                }
                for (member, value) in body["error"].as_object().into_iter().flatten() {
                    let kept = matches!(member.as_str(), "code" | "message")
                        || error.extra().get(member) == Some(value);
                    assert!(kept, "{name}: {member} is lost");
                }
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    // Routes that no document for users of the relay names.
    insta::assert_snapshot!(without_operation.join("\n"));
    assert!(read > 300, "only {read} recordings belong to an operation");
}

#[test]
fn servers_read_the_recorded_requests() {
    let request = |name| crate::support::recording(name).request.to_request();

    let exec = Exec::from_request(&request("exec: cwd")).unwrap();
    assert_eq!(
        exec,
        Exec::new(SandboxId::new("sb_1").unwrap(), "pwd").cwd("/home/user")
    );
    let list = ListFiles::from_request(&request("files.list: depth 2")).unwrap();
    assert_eq!(
        list,
        ListFiles::new(SandboxId::new("sb_1").unwrap(), "/home/user").depth(2)
    );
    let send = SendMessages::from_request(&request("chat: background")).unwrap();
    assert_eq!(send.mode, Some(Mode::Background));

    let error = Exec::from_request(&request("exec: no command")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`body` is not readable: missing field `command` at line 1 column 20"
    );
    let error = Exec::from_request(&request("files.list")).unwrap_err();
    assert_eq!(error.to_string(), "`method` belongs to another route");
}
