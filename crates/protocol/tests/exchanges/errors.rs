//! Error responses in every shape, and invalid responses.

use http::StatusCode;
use http::response::Parts;
use twentyfirst_protocol::files::WriteFiles;
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::sandboxes::{CreateSandbox, Exec, GetSandbox};
use twentyfirst_protocol::threads::{GetThread, StoredMessage, ThreadStatus};
use twentyfirst_protocol::tokens::CreateToken;
use twentyfirst_protocol::ui::UiMessage;
use twentyfirst_protocol::vaults::{CreateCredential, CredentialAuth, CredentialSettings};
use twentyfirst_protocol::{
    ApiError, ErrorCode, InvalidResponse, Operation, ResponseError, SandboxId, ThreadId, VaultId,
};

fn head(status: u16) -> Parts {
    http::Response::builder()
        .status(status)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn api(status: u16, body: &[u8]) -> ApiError {
    ApiError::new(&head(status), body)
}

fn sandbox() -> SandboxId {
    SandboxId::new("sb_1").unwrap()
}

#[test]
fn all_four_shapes_are_read() {
    let nested = api(
        402,
        br#"{"error":{"code":"budget_exceeded","message":"Too much","status":402,"spentUsd":0.5,"limitUsd":0.1}}"#,
    );
    assert_eq!(nested.code(), Some(&ErrorCode::BudgetExceeded));
    assert_eq!(nested.message(), "Too much");
    assert_eq!(nested.extra()["spentUsd"], 0.5);
    assert_eq!(nested.extra().len(), 2);

    let text = api(401, br#"{"error":"Invalid API key"}"#);
    assert_eq!((text.code(), text.message()), (None, "Invalid API key"));

    let flat = api(
        404,
        br#"{"error":"not_found","message":"Vault not found","status":404}"#,
    );
    assert_eq!(
        (flat.code(), flat.message()),
        (Some(&ErrorCode::NotFound), "Vault not found")
    );
    assert!(flat.extra().is_empty());

    let html = api(502, b"<!DOCTYPE html><title>Bad gateway</title>");
    assert_eq!((html.code(), html.message()), (None, "Bad Gateway"));
    assert_eq!(html.body(), "<!DOCTYPE html><title>Bad gateway</title>");
    assert_eq!(
        html.to_string(),
        "the relay responded with 502: Bad Gateway"
    );
}

#[test]
fn any_other_response_has_its_status() {
    for body in [
        &b""[..],
        b"null",
        b"[]",
        b"{}",
        b"17",
        b"{\"error\":",
        b"{\"error\":{}}",
        b"{\"error\":{\"code\":7,\"message\":[]}}",
        b"{\"error\":null,\"message\":null}",
        b"\xff\xfe\x00",
    ] {
        let error = api(503, body);
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(
        api(599, b"").to_string(),
        "the relay responded with 599: no message"
    );
    assert_eq!(
        api(500, b"upstream timed out\n").message(),
        "upstream timed out"
    );

    let odd = api(400, br#"{"error":{"code":7,"message":[],"hint":"x"}}"#);
    assert_eq!(
        odd.extra()["code"],
        7,
        "what cannot be a code is kept all the same"
    );
    let unknown = api(
        418,
        br#"{"error":{"code":"teapot","message":"short and stout"}}"#,
    );
    assert_eq!(unknown.code().unwrap().as_str(), "teapot");
}

#[test]
fn one_odd_thing_in_an_error_does_not_hide_the_rest() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let bodies = [
        br#"{"error":{"code":"budget_exceeded","message":"Too much","limitUsd":1,"x":"half a pair: \ud83d"}}"#.to_vec(),
        br#"{"error":{"code":"budget_exceeded","message":"Too much","limitUsd":1,"x":"\ude00\ud83d\n"}}"#.to_vec(),
        b"{\"error\":{\"code\":\"budget_exceeded\",\"message\":\"Too much\",\"limitUsd\":1,\"x\":\"\0\x1b\n\"}}".to_vec(),
        b"{\"error\":{\"code\":\"budget_exceeded\",\"message\":\"Too much\",\"limitUsd\":1,\"x\":\"\xff\xc3\"}}".to_vec(),
        br#"{"error":{"code":"budget_exceeded","message":"Too much","limitUsd":1,"x":"\q \u12 \"\\"}}"#.to_vec(),
        br#"{"error":{"code":"budget_exceeded","message":"Too much","limitUsd":1,"x":-1e999}}"#.to_vec(),
        format!(r#"{{"error":{{"code":"budget_exceeded","message":"Too much","x":{deep},"limitUsd":1}}}}"#).into_bytes(),
        b"\xef\xbb\xbf{\"error\":{\"code\":\"budget_exceeded\",\"message\":\"Too much\",\"limitUsd\":1}}\0\r\n".to_vec(),
        br#"{"error":{"code":"budget_exceeded","message":"Too much","limitUsd":1}}{"and":"more"}"#.to_vec(),
    ];
    for body in &bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]);
        let error = api(402, body);
        assert_eq!(error.code(), Some(&ErrorCode::BudgetExceeded), "{shown}");
        assert_eq!(error.message(), "Too much", "{shown}");
        assert_eq!(error.extra()["limitUsd"], 1, "{shown}");
    }
    let x = |at: usize| api(402, &bodies[at]).extra()["x"].clone();
    assert_eq!(x(0), "half a pair: \u{fffd}");
    assert_eq!(x(1), "\u{fffd}\u{fffd}\n");
    assert_eq!(x(2), "\0\u{1b}\n");
    assert_eq!(x(3), "\u{fffd}\u{fffd}");
    assert_eq!(
        x(4),
        "\\q \\u12 \"\\",
        "not an escape of JSON, so kept as text"
    );
    assert_eq!(x(5), "-1e999", "beyond a double, so kept as text");

    let message = api(
        500,
        br#"{"error":"wow \ud83d\ude00 \ud83d","retryAfter":1e999}"#,
    );
    assert_eq!(message.message(), "wow 😀 \u{fffd}");
    assert_eq!(message.retry_after(), None);
    assert_eq!(message.extra()["retryAfter"], "1e999");
    assert_eq!(api(502, b"\xef\xbb\xbf<html>").message(), "Bad Gateway");
}

#[test]
fn a_truncated_error_keeps_the_members_that_were_read() {
    let whole = format!(
        r#"{{"error":{{"code":"internal_error","spentUsd":0.5,"message":"Failed query: {}"}}}}"#,
        "é\\u00e9\\\"".repeat(100)
    );
    for end in 60..whole.len() {
        let error = api(500, &whole.as_bytes()[..end]);
        assert_eq!(error.code(), Some(&ErrorCode::InternalError), "{end}");
        assert_eq!(error.extra()["spentUsd"], 0.5, "{end}");
        if end > 90 {
            assert!(
                error.message().starts_with("Failed query: éé"),
                "{end}: {error}"
            );
        }
    }
    let long = format!(
        r#"{{"error":{{"code":"internal_error","message":"Failed query: {}"#,
        "\u{1}".repeat(1024 * 1024)
    );
    assert_eq!(
        api(500, long.as_bytes()).code(),
        Some(&ErrorCode::InternalError)
    );
}

#[test]
fn a_long_body_is_not_kept() {
    let garbage = vec![b'x'; 10 * 1024 * 1024];
    let error = api(500, &garbage);
    assert!(error.body().len() <= 4 * 1024 + '…'.len_utf8());
    assert!(error.to_string().len() < 400, "{error}");

    let sql = format!(
        r#"{{"error":{{"code":"internal_error","message":"Failed query: {}"}}}}"#,
        "é".repeat(5000)
    );
    let error = api(500, sql.as_bytes());
    assert!(
        error.message().ends_with('é'),
        "the message itself is whole"
    );
    assert!(error.to_string().len() < 400, "{error}");
}

#[test]
fn a_redirect_names_where_it_pointed_and_the_exchange_its_id() {
    let mut head = head(307);
    head.headers
        .insert("location", "https://elsewhere.example/v1".parse().unwrap());
    head.headers
        .insert("x-request-id", "req_7".parse().unwrap());
    let error = ApiError::new(&head, b"");
    assert_eq!(error.location(), Some("https://elsewhere.example/v1"));
    assert_eq!(error.request_id(), Some("req_7"));
    assert_eq!(
        error.to_string(),
        "the relay responded with 307: Temporary Redirect (it points to https://elsewhere.example/v1, which is not followed)"
    );
}

#[test]
fn an_error_is_shown_on_one_line() {
    let mut head = head(500);
    head.headers
        .insert("location", http::HeaderValue::from_bytes(b"/a\tb").unwrap());
    let body =
        br#"{"error":{"code":"a\nb","message":"no\r\n\u001b[31mroute\u0085\u2028\u0000 here\n"}}"#;
    let error = ApiError::new(&head, body);
    assert_eq!(
        error.to_string(),
        "the relay responded with 500 a b: no   [31mroute    here (it points to /a b, which is not followed)"
    );
    assert_eq!(
        error.message(),
        "no\r\n\u{1b}[31mroute\u{85}\u{2028}\0 here\n"
    );
    assert_eq!(error.code().unwrap().as_str(), "a\nb");

    let error = InvalidResponse::new(&head, "not\na\u{1b}clause", b"");
    assert!(error.to_string().ends_with(": not a clause"), "{error}");
    assert_eq!(error.problem(), "not\na\u{1b}clause");
}

#[test]
fn files_are_not_shown() {
    let create = CreateSandbox::new("my-agent").file("a/b.txt", "tüp secret");
    let shown = format!("{create:?}");
    assert!(shown.contains(r#"{"a/b.txt": 11 bytes}"#), "{shown}");
    let write = WriteFiles::new(sandbox(), [("a/b.txt", "tüp secret"), ("c", "")]);
    assert_eq!(
        format!("{write:?}"),
        r#"WriteFiles { sandbox_id: "sb_1", files: {"a/b.txt": 11 bytes, "c": 0 bytes} }"#
    );
}

#[test]
fn an_invalid_response_has_its_status_and_its_beginning() {
    let get = GetSandbox::new(sandbox());
    for body in [
        "",
        "null",
        "{",
        "<html>",
        r#"{"id":"","status":"active"}"#,
        r#"{"id":7,"status":"active"}"#,
        "[]",
    ] {
        let Err(ResponseError::InvalidResponse(error)) = get.decode(&head(200), body.as_bytes())
        else {
            panic!("{body} was read as a sandbox")
        };
        assert_eq!(error.status(), StatusCode::OK);
        assert_eq!(error.body(), body);
    }
    let error = get
        .decode(&head(200), br#"{"status":"active"}"#)
        .unwrap_err();
    let text = "the relay responded with 200, but the response is invalid: missing field `id` at line 1 column 19";
    assert_eq!(error.to_string(), text);
}

#[test]
fn unknown_members_and_states_are_no_reason_to_fail() {
    let body = br#"{"id":"sb_1","status":"hibernating","colour":"blue","threads":[{"id":"th_1","status":"dreaming","x":{}}]}"#;
    let sandbox = GetSandbox::new(sandbox()).decode(&head(200), body).unwrap();
    assert_eq!(sandbox.status.as_str(), "hibernating");
    assert_eq!(sandbox.threads[0].status, ThreadStatus::from("dreaming"));
}

#[test]
fn one_strange_message_does_not_hide_a_thread() {
    let body = r#"{"id":"th_1","status":"completed","messages":[
        {"role":"user","content":"an old one"},
        {"id":"m1","role":"assistant","parts":[{"type":"text","text":"a new one"}]},
        17,
        {"role":"user","content":null},
        {"content":"nobody's"}
    ],"usage":{"inputTokens":1.2e2,"totalCostUsd":1}}"#;
    let operation = GetThread::new(sandbox(), ThreadId::new("th_1").unwrap());
    let thread = operation.decode(&head(200), body.as_bytes()).unwrap();
    assert_eq!(thread.usage.input_tokens, Some(120));
    let others: Vec<_> = thread
        .messages
        .iter()
        .flatten()
        .filter_map(|message| match message {
            StoredMessage::Other(raw) => Some(raw.get()),
            _ => None,
        })
        .collect();
    assert_eq!(
        others,
        [
            "17",
            r#"{"role":"user","content":null}"#,
            r#"{"content":"nobody's"}"#
        ]
    );
    let texts: Vec<_> = thread.ui_messages().map(UiMessage::text).collect();
    assert_eq!(texts, ["an old one", "a new one"]);
}

/// Returns everything that an error shows.
fn shown(error: &ResponseError) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    if let ResponseError::Api(error) = error {
        text += &format!(
            "\n{}\n{}\n{:?}",
            error.message(),
            error.body(),
            error.extra()
        );
    }
    if let ResponseError::InvalidResponse(error) = error {
        text += &format!("\n{}\n{}", error.problem(), error.body());
    }
    text
}

#[test]
fn no_error_repeats_a_secret() {
    const SECRET: &str = "s3cr\"et/värde";
    let escaped = serde_json::to_string(SECRET).unwrap();
    let escaped = &escaped[1..escaped.len() - 1];
    let url = "s3cr%22et%2Fv%C3%A4rde";
    let bodies = [
        format!(
            r#"{{"error":{{"code":"git_clone_failed","message":"no {escaped} {url}","{escaped}":["{escaped}"]}}}}"#
        ),
        format!(r#"{{"error":"{escaped}"}}"#),
        format!("<pre>{SECRET}</pre>"),
        format!("{}{SECRET}", "x".repeat(4 * 1024 - 8)),
        format!(r#""{escaped}""#),
    ];
    let exec = Exec::new(sandbox(), "true").env("TOKEN", SECRET);
    let create = CreateSandbox::new("my-agent").env("TOKEN", SECRET);
    let clone = CloneRepository::new(sandbox(), "https://x/y.git").token(SECRET);
    let credential = CreateCredential::new(
        VaultId::new("v").unwrap(),
        CredentialSettings::new("https://x", CredentialAuth::bearer(SECRET)),
    );
    for body in &bodies {
        for status in [200, 500] {
            let (head, body) = (head(status), body.as_bytes());
            let errors = [
                exec.decode(&head, body).unwrap_err(),
                create.decode(&head, body).unwrap_err(),
                clone.decode(&head, body).unwrap_err(),
                credential.decode(&head, body).unwrap_err(),
            ];
            for error in &errors {
                let shown = shown(error);
                for form in ["s3cr", url, "rde"] {
                    assert!(!shown.contains(form), "{form} in {shown}");
                }
            }
        }
    }
    let all = format!("{exec:?} {create:?} {clone:?} {credential:?}");
    assert!(!all.contains("s3cr"), "{all}");
}

#[test]
fn no_error_repeats_a_secret_in_another_spelling() {
    let exec = Exec::new(sandbox(), "true").env("TOKEN", "s3c&ret/of+mine");
    for body in [
        r#"{"error":{"code":"sandbox_error","message":"no s3c\u0026ret\/of\u002bmine"}}"#,
        r#"{"error":"no s3c%26ret%2fof%2Bmine","details":{"url":"x?q=s3c%26ret/of%2bmine"}}"#,
        r#"{"error":"bad page","page":"<b>s3c&amp;ret&#x2f;of+mine</b>"}"#,
        "<html>s3c&#38;ret&#47;of+mine</html>",
        "s3c&amp;ret/of+mine",
        "data: {\"errorText\":\"s3c\\u0026ret/of+mine\"}\n\n",
        "\u{feff}{\"error\":\"s3c\\u0026ret/of+mine",
    ] {
        for status in [200, 500] {
            let error = exec.decode(&head(status), body.as_bytes()).unwrap_err();
            let shown = shown(&error);
            assert!(!shown.contains("s3c") && !shown.contains("mine"), "{shown}");
        }
    }
}

#[test]
fn no_error_repeats_a_token_that_its_response_brings() {
    let body = br#"{"error":"an_t_brought is not stored","data":{"token":"an_t_brought"}}"#;
    let error = GetSandbox::new(sandbox())
        .decode(&head(500), body)
        .unwrap_err();
    assert!(!shown(&error).contains("an_t_brought"), "{error}");
}

#[test]
fn a_token_behind_a_byte_order_mark_is_a_token() {
    let body = "\u{feff}{\"token\":\"an_t_x\",\"expiresAt\":\"2026-02-26t12:00:00+01:00\"}";
    let token = CreateToken::new()
        .decode(&head(201), body.as_bytes())
        .unwrap();
    assert_eq!(token.token.expose(), "an_t_x");
    assert!(token.expires_at.to_system_time().is_some());
}

#[test]
fn a_password_in_a_repository_url_is_a_secret() {
    let clone = CloneRepository::new(sandbox(), "https://me:hunter2@git.example.com/x.git");
    assert!(!format!("{clone:?}").contains("hunter2"));
    assert!(format!("{clone:?}").contains("https://***@git.example.com/x.git"));
    let body = br#"{"error":{"code":"git_clone_failed","message":"unable to access 'https://me:hunter2@git.example.com/x.git'"}}"#;
    let error = clone.decode(&head(400), body).unwrap_err();
    assert!(!shown(&error).contains("hunter2"), "{error}");
    let vault = VaultId::new("v").unwrap();
    let credential = CreateCredential::new(
        vault,
        CredentialSettings::new("https://me:hunter2@x", CredentialAuth::bearer("t")),
    );
    assert!(!format!("{credential:?}").contains("hunter2"));
    // Escaped in the URL, and not in git's message; and a token in its query.
    let clone = CloneRepository::new(
        sandbox(),
        "https://me:hunt%2Ber2@x/y.git?private_token=hunter3",
    );
    assert!(format!("{clone:?}").contains("https://***@x/y.git?***"));
    let body = br#"{"error":{"code":"git_clone_failed","message":"'hunt+er2', 'hunt%2ber2' and 'hunter3' are wrong"}}"#;
    let error = clone.decode(&head(400), body).unwrap_err();
    assert!(!shown(&error).contains("hunt"), "{error}");
    let plain = CloneRepository::new(sandbox(), "git@github.com:org/repo.git");
    assert!(format!("{plain:?}").contains("git@github.com:org/repo.git"));
}

#[test]
fn a_token_in_an_invalid_response_is_not_shown() {
    for body in [
        r#"{"token":"an_t_abc"}"#,
        r#"{"token":"an_t_abc","#,
        r#"{"token":["an_t_abc"],"expiresAt":""}"#,
    ] {
        let error = CreateToken::new()
            .decode(&head(201), body.as_bytes())
            .unwrap_err();
        assert!(!shown(&error).contains("an_t_abc"), "{error:?}");
        assert_eq!(error.status(), StatusCode::CREATED);
    }
}

#[test]
fn text_that_reverses_its_neighbours_is_made_visible() {
    let body = "{\"error\":{\"code\":\"a\u{202e}b\",\"message\":\"x\u{2066}y\u{2069} \u{200f}\u{61c}\u{200b}\u{feff}\u{ad}\u{e0041}\u{2028}z\\nü 😀 e\u{301}\"}}";
    let error = api(400, body.as_bytes());
    assert_eq!(
        error.to_string(),
        concat!(
            r"the relay responded with 400 a\u{202e}b: x\u{2066}y\u{2069} \u{200f}\u{61c}\u{200b}\u{feff}\u{ad}\u{e0041} z ü 😀",
            " e\u{301}"
        )
    );
    let debug = format!("{error:?}");
    assert!(
        !debug.contains(['\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}', '\u{200b}']),
        "{debug}"
    );
}
