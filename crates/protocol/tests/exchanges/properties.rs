//! Properties for any input.

use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use twentyfirst_protocol::files::*;
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::http::{Response, Uri};
use twentyfirst_protocol::runs::*;
use twentyfirst_protocol::sandboxes::*;
use twentyfirst_protocol::threads::*;
use twentyfirst_protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_protocol::ui::{Part, UiMessage};
use twentyfirst_protocol::vaults::*;
use twentyfirst_protocol::{
    ApiError, BaseUrl, Endpoint, Query, SandboxId, Secret, ThreadId, VaultId,
};

fn sandbox() -> impl Strategy<Value = SandboxId> {
    any::<String>().prop_filter_map("an id", |id| SandboxId::new(id).ok())
}

fn thread() -> impl Strategy<Value = ThreadId> {
    any::<String>().prop_filter_map("an id", |id| ThreadId::new(id).ok())
}

fn vault() -> impl Strategy<Value = VaultId> {
    "[a-z0-9/%. ]{1,8}".prop_filter_map("an id", |id| VaultId::new(id).ok())
}

fn text() -> impl Strategy<Value = String> {
    any::<String>()
}

fn not_empty() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("not empty", |text| !text.is_empty())
}

fn slug() -> impl Strategy<Value = String> {
    "[a-z0-9ü/%?#. +&=-]{1,12}".prop_filter("a slug", |slug| slug != "." && slug != "..")
}

fn milliseconds() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|millis| Duration::from_millis(millis.into()))
}

fn envs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[^=\0]{1,9}", text()), 0..3)
}

/// Generates files in any order, with text that does not look like a path.
fn files() -> impl Strategy<Value = Vec<(String, String)>> {
    let files = btree_map("[a-z0-9/ü]{1,5}", "[A-Z\n]{0,9}", 1..6);
    files.prop_map(Vec::from_iter).prop_shuffle()
}

/// Checks that a server reads the same operation from the request.
fn undone<E: Endpoint + PartialEq + std::fmt::Debug>(operation: &E) -> Result<(), TestCaseError> {
    let request = operation.to_request().unwrap();
    prop_assert!(E::ROUTE.matches(&request));
    let takes_body = !matches!(request.method().as_str(), "GET" | "DELETE");
    let length = request.headers().get("content-length");
    let length = length.map(|length| length.to_str().unwrap().parse::<usize>().unwrap());
    // The content of a streamed upload is filled in later.
    if !E::ROUTE.query.contains(&Query::Fixed("format", "stream")) {
        prop_assert_eq!(length, takes_body.then_some(request.body().len()));
    }
    prop_assert_eq!(&E::from_request(&request).unwrap(), operation);
    Ok(())
}

proptest! {
    #[test]
    fn an_accepted_id_is_exactly_one_segment_of_a_valid_path(id in any::<String>()) {
        let Ok(id) = SandboxId::new(id) else { return Ok(()) };
        let request = GetSandbox::new(&id).to_request().unwrap();
        let uri: Uri = request.uri().to_string().parse().unwrap();
        let segments: Vec<_> = uri.path().split('/').collect();
        prop_assert_eq!(&segments[..3], &["", "v1", "sandboxes"]);
        prop_assert_eq!(segments.len(), 4);
        prop_assert!(uri.query().is_none());
        prop_assert!(!matches!(segments[3], "" | "." | ".."));
        prop_assert_eq!(GetSandbox::from_request(&request).unwrap().sandbox_id, id);

        let joined = BaseUrl::new("https://relay.example/prefix").unwrap().join(request.uri()).unwrap();
        prop_assert_eq!(joined.path(), format!("/prefix{}", uri.path()));
    }

    #[test]
    fn requests_about_sandboxes_are_read_back(
        agent in not_empty(), files in option::of(files()), envs in envs(),
        setup in option::of(vec(text(), 0..3)), timeout in option::of(milliseconds()),
        sandbox in sandbox(), command in not_empty(), cwd in option::of(text()),
    ) {
        let mut create = CreateSandbox::new(agent);
        create.files = files.map(|files| files.into_iter().map(|(path, text)| FileText::new(path, text)).collect());
        create.setup = setup;
        create.timeout = timeout;
        for (name, value) in &envs {
            create = create.env(name, value.as_str());
        }
        undone(&create)?;
        let mut exec = Exec::new(sandbox, command);
        exec.cwd = cwd;
        exec.timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(600)));
        exec.envs = create.envs;
        undone(&exec)?;
    }

    #[test]
    fn requests_about_files_are_read_back(
        sandbox in sandbox(), path in not_empty(), other in not_empty(), files in files(),
        content in vec(any::<u8>(), 0..64), depth in option::of(1_u32..), length in option::of(any::<u64>()),
    ) {
        undone(&WriteFiles::new(&sandbox, files.clone()))?;
        let sent = WriteFiles::new(&sandbox, files.clone()).to_request().unwrap();
        let at = |path: &String| {
            let key = serde_json::to_string(path).unwrap() + ":";
            String::from_utf8_lossy(sent.body().as_bytes()).find(&key)
        };
        let places: Vec<_> = files.iter().map(|(path, _)| at(path)).collect();
        prop_assert!(places.is_sorted() && places[0].is_some(), "{:?}", places);
        undone(&ReadFile::new(&sandbox, &path))?;
        undone(&WriteBytes::new(&sandbox, &path, content))?;
        undone(&ReadBytes::new(&sandbox, &path))?;
        let mut write = WriteStream::new(&sandbox, &path);
        write.length = length;
        undone(&write)?;
        let request = write.to_request().unwrap();
        let announced = request.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
        prop_assert_eq!(announced, length.map(|length| length.to_string()));
        undone(&ReadStream::new(&sandbox, &path))?;
        let mut list = ListFiles::new(&sandbox, &path);
        list.depth = depth;
        undone(&list)?;
        undone(&GetFileInfo::new(&sandbox, &path))?;
        undone(&FileExists::new(&sandbox, &path))?;
        undone(&MakeDir::new(&sandbox, &path))?;
        undone(&RenameFile::new(&sandbox, &path, &other))?;
        undone(&RemoveFile::new(&sandbox, &path))?;
        let mut clone = CloneRepository::new(&sandbox, &other).path(&path).token(path.as_str());
        clone.depth = depth;
        undone(&clone)?;
    }

    #[test]
    fn requests_about_threads_and_runs_are_read_back(
        sandbox in sandbox(), thread in thread(), agent in slug(), name in option::of(text()),
        prompt in "[a-zü😀]{1,9}", user in option::of(text()), vaults in option::of(btree_set(vault(), 0..3)),
        model in "[a-z]{1,9}", turns in option::of(1_u32..), dollars in option::of(0.01_f64..1e9),
        append in option::of(text()), background in any::<bool>(),
    ) {
        undone(&GetThread::new(&sandbox, &thread))?;
        undone(&DeleteThread::new(&sandbox, &thread))?;
        undone(&ListThreads::new(&sandbox))?;
        let mut create = CreateThread::new(&sandbox);
        create.name.clone_from(&name);
        undone(&create)?;
        undone(&ResumeStream::new(agent.clone(), &sandbox))?;
        undone(&CancelStream::new(agent.clone(), &sandbox))?;

        let mut options = RunOptions::new().model(model);
        options.max_turns = turns;
        options.max_budget_usd = dollars;
        options.system_prompt = append.map(SystemPrompt::claude_code_and);
        let mut send = SendMessages::new(agent, &sandbox, prompt);
        send.thread_id = Some(thread);
        send.name = name;
        send.mode = background.then_some(Mode::Background);
        send.vault_ids = vaults.map(Vec::from_iter);
        send.external_user_id = user;
        send.options = Some(options);
        undone(&send)?;
    }

    #[test]
    fn requests_about_tokens_and_vaults_are_read_back(
        vault in vault(), agents in option::of(vec(not_empty(), 1..3)), user in option::of(not_empty()), seconds in 1_u32..=86_400,
        name in "[a-zü😀]{1,50}", description in option::of(option::of("[a-zü😀]{0,50}")),
        metadata in btree_map("[a-zü]{0,60}", "[a-zü]{0,200}", 0..4), token in "[a-zA-Z0-9_ü]{1,20}", force in any::<bool>(),
    ) {
        let lifetime = TokenLifetime::new(Duration::from_secs(seconds.into())).unwrap();
        let mut create = CreateToken::new().expires_in(lifetime);
        create.agents = agents;
        create.user_id = user;
        undone(&create)?;

        undone(&ListVaults::new())?;
        undone(&GetVault::new(&vault))?;
        undone(&SetDefaultVault::new(&vault))?;
        undone(&DeleteVault::new(&vault).force(force))?;
        let mut create = CreateVault::new(name);
        create.metadata = Some(metadata.clone());
        undone(&create)?;
        let mut update = UpdateVault::new(&vault, metadata.clone());
        update.description = description;
        undone(&update)?;
        let auth = CredentialAuth::bearer(Secret::from(token));
        let mut create = CreateCredential::new(&vault, CredentialSettings::new("https://mcp.example.com/mcp", auth));
        create.settings.metadata = Some(metadata);
        undone(&create)?;
    }

    #[test]
    fn no_body_of_an_error_panics_or_hides_its_status(status in 300_u16..1000, body in vec(any::<u8>(), 0..200)) {
        let head = Response::builder().status(status).body(()).unwrap().into_parts().0;
        prop_assert_eq!(ApiError::new(&head, &body).status().as_u16(), status);
    }

    #[test]
    fn anything_like_json_gives_a_message(body in r#"([\[\]{}",:\\ue+\-.0-9dD\x00\x1bé\u{feff} ]|\\ud83d|\\ude00|"error":|1e999){0,40}"#) {
        let head = Response::builder().status(400).body(()).unwrap().into_parts().0;
        for end in 0..=body.len() {
            let error = ApiError::new(&head, &body.as_bytes()[..end]);
            prop_assert!(!error.message().is_empty());
        }
    }

    #[test]
    fn a_truncated_error_keeps_its_earlier_members(message in any::<String>(), odd in any::<bool>(), end in 0.0..1.0) {
        let head = Response::builder().status(402).body(()).unwrap().into_parts().0;
        let odd = if odd { r"\ud83d" } else { "" };
        let begin = format!(r#"{{"error":{{"code":"budget_exceeded","x":"{odd}","limitUsd":1,"#);
        let whole = format!(r#"{begin}"message":{}}}}}"#, serde_json::to_string(&message).unwrap());
        let end = begin.len() + ((whole.len() - begin.len()) as f64 * end) as usize;
        let error = ApiError::new(&head, &whole.as_bytes()[..end]);
        prop_assert_eq!(error.code().map(|code| code.as_str()), Some("budget_exceeded"));
        prop_assert_eq!(&error.extra()["limitUsd"], 1);
    }

    #[test]
    fn any_json_of_an_error_gives_a_status_and_a_message(code in ".{0,8}", message in ".{0,8}", member in ".{0,8}", shape in 0..4) {
        let head = Response::builder().status(400).body(()).unwrap().into_parts().0;
        let body = match shape {
            0 => serde_json::json!({"error": {"code": code, "message": message, member: 1}}),
            1 => serde_json::json!({"error": code, "message": message, member: null}),
            2 => serde_json::json!({"error": [code], member: message}),
            _ => serde_json::json!([{"error": code}, message, member]),
        };
        let error = ApiError::new(&head, body.to_string().as_bytes());
        prop_assert_eq!(error.status(), 400);
        prop_assert!(!error.message().is_empty() && !error.to_string().contains('\n'));
    }

    #[test]
    fn a_thread_is_named_as_by_the_relay(
        texts in vec(prop_oneof!["[a-z😀 \t\u{a0}\u{feff}\u{85}…]{0,90}", "( |😀){70,90}", "[a-z😀]{37,42}"], 1..4),
    ) {
        let mut turn = UiMessage::user("");
        turn.parts = texts.iter().map(|text| Part::text(text.clone())).collect();
        // The relay's code, in UTF-16: `text.trim().replace(/\s+/g, ' ')`, then `slice(0, 79)` and `…` beyond 80.
        let is_space = |unit: char| unit == '\u{feff}' || (unit.is_whitespace() && unit != '\u{85}');
        let joined = texts.join("\n");
        let words: Vec<_> = joined.split(is_space).filter(|word| !word.is_empty()).collect();
        let whole = words.join(" ");
        let units: Vec<u16> = whole.encode_utf16().collect();
        let expected = if units.len() <= 80 {
            whole
        } else {
            let whole_units = match units[78] {
                0xd800..=0xdbff => &units[..78],
                _ => &units[..79],
            };
            String::from_utf16(whole_units).unwrap() + "…"
        };
        let name = name_after(&turn);
        prop_assert!(name.encode_utf16().count() <= 80);
        prop_assert_eq!(name, expected);
    }
}
