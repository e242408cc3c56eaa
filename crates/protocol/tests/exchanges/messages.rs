//! Messages of a user: texts, images, whole histories.

use std::time::{Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use twentyfirst_protocol::flow::{Flow, Now, Step};
use twentyfirst_protocol::runs::{Messages, Mode, SendMessages, StartRun};
use twentyfirst_protocol::threads::GetThread;
use twentyfirst_protocol::ui::{Image, Part, Role, UiMessage};
use twentyfirst_protocol::{
    CallOptions, Endpoint, Operation, Problem, SandboxId, Session, ThreadId,
};

use crate::support::recording;

fn json(part: impl Into<Part>) -> Value {
    serde_json::to_value(part.into()).unwrap()
}

#[test]
fn an_image_has_the_recorded_form() {
    let get = GetThread::new(
        SandboxId::new("sb_1").unwrap(),
        ThreadId::new("th_36").unwrap(),
    );
    let response = recording("threads.get: after data-image").response;
    let thread = get.decode(&response.head(), &response.body()).unwrap();
    let stored = thread.ui_messages().next().unwrap();

    let png = b"\x89PNG\r\n\x1a\n";
    let message = UiMessage::user("What is this?")
        .with_image(Image::new(png, "image/png").filename("p.png"))
        .with_image(Image::from_url("http://127.0.0.1:1/none.png", "image/png"));
    for (part, stored) in message.parts.iter().zip(&stored.parts) {
        assert_eq!(json(part.clone()), json(stored.clone()));
    }
    assert_eq!(message.text(), stored.text());
}

#[test]
fn the_file_name_determines_the_media_type() {
    for (name, filename, media_type) in [
        ("a.png", "a.png", "image/png"),
        ("shots/of today/A.B.JPG", "A.B.JPG", "image/jpeg"),
        ("C:\\shots\\c.jpeg", "c.jpeg", "image/jpeg"),
        (".gif", ".gif", "image/gif"),
        ("дом.WebP", "дом.WebP", "image/webp"),
    ] {
        let image = Image::from_named_bytes(name, [0_u8, 255]).unwrap();
        assert_eq!(
            json(image),
            json!({"type": "data-image", "data": {
                "url": format!("data:{media_type};base64,AP8="), "mediaType": media_type, "filename": filename
            }})
        );
    }
    for name in ["", "a", "png", "a.txt", "a.png/b", "a.png ", "a."] {
        let error = Image::from_named_bytes(name, []).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`filename` must be the name of an image, such as `a.png`",
            "{name}"
        );
    }
}

#[test]
fn a_history_is_built_turn_by_turn() {
    let messages = Messages::new()
        .user("What is in this folder?")
        .assistant("Two files.")
        .message(UiMessage::user("Which?").with_id("m3"));
    assert_eq!(
        serde_json::to_value(&messages).unwrap(),
        json!([
            {"role": "user", "parts": [{"type": "text", "text": "What is in this folder?"}]},
            {"role": "assistant", "parts": [{"type": "text", "text": "Two files."}]},
            {"id": "m3", "role": "user", "parts": [{"type": "text", "text": "Which?"}]},
        ])
    );

    // Stored messages go back unchanged, and the next turn follows them.
    let get = GetThread::new(SandboxId::new("sb").unwrap(), ThreadId::new("t").unwrap());
    let response = recording("threads.get: after tool calls").response;
    let thread = get.decode(&response.head(), &response.body()).unwrap();
    let mut wanted: Value = serde_json::from_slice(&response.body()).unwrap();
    let mut wanted = wanted["messages"].take();
    let messages = Messages::from(thread.into_ui_messages()).user("Again");
    wanted
        .as_array_mut()
        .unwrap()
        .push(json!({"role": "user", "parts": [{"type": "text", "text": "Again"}]}));
    assert_eq!(serde_json::to_value(&messages).unwrap(), wanted);
    let again: Messages = messages.as_slice().iter().cloned().collect();
    assert_eq!(again, messages);

    let nobody = Messages::new().assistant("Hello?");
    let error = Session::new("my-agent")
        .run(nobody)
        .flow(None, &CallOptions::new(), 0)
        .unwrap_err();
    assert_eq!(error.to_string(), "`messages` must contain a user message");
}

#[test]
fn a_valid_run_of_the_longest_length_starts_in_the_background_too() {
    // As long as the ids that the relay and the flow generate.
    let sandbox = SandboxId::new("11111111-1111-4111-8111-111111111111").unwrap();
    let thread = ThreadId::new("22222222-2222-4222-8222-222222222222").unwrap();
    let turn = UiMessage::user("x").with_id("msg_0123456789abcdef");
    let send = SendMessages::new("my-agent", sandbox, turn).thread_id(thread);
    let send = send.mode(Mode::Background).to_request().unwrap();
    let room = 10 * 1024 * 1024 - send.body().as_bytes().len() + 1;
    let run = |length| StartRun::new("my-agent", "x".repeat(length));
    let start = |run: StartRun| {
        let flow = run.flow(Some(Mode::Background), &CallOptions::new(), 0);
        flow.map(drop)
    };

    assert_eq!(run(room).validate(), Ok(()));
    assert_eq!(start(run(room)), Ok(()));
    let error = run(room + 1).validate().unwrap_err();
    assert_eq!(error.field(), "messages");
    assert_eq!(start(run(room + 1)), Err(error));
}

#[test]
fn messages_over_the_limit_are_refused_before_anything_is_created() {
    let limit = 10 * 1024 * 1024;
    let sandbox = SandboxId::new("11111111-1111-4111-8111-111111111111").unwrap();
    let thread = ThreadId::new("22222222-2222-4222-8222-222222222222").unwrap();
    // The ids are as long as those that the relay creates, and as the id that the turn gets.
    let length = |text: &str| {
        let message = UiMessage::user(text.to_owned()).with_id("msg_0123456789abcdef");
        let send = SendMessages::new("my-agent", &sandbox, message).thread_id(&thread);
        send.to_request()
            .map(|request| request.body().as_bytes().len())
    };
    let room = limit - length("x").unwrap() + 1;
    let flow = |text: String| {
        let run = StartRun::new("my-agent", text);
        run.flow(None, &CallOptions::new(), 0).map(drop)
    };

    let longest = "x".repeat(room);
    assert_eq!(length(&longest), Ok(limit));
    flow(longest.clone()).unwrap();
    let error = flow(longest + "x").unwrap_err();
    let instead = "leave out earlier messages, which the thread has stored";
    assert_eq!(error.problem(), &Problem::BodyTooLong { limit, instead });

    let photo = UiMessage::user("Look").with_image(Image::new(vec![0; 8_000_000], "image/jpeg"));
    let error = StartRun::new("my-agent", photo).flow(None, &CallOptions::new(), 0);
    assert_eq!(
        error.unwrap_err().to_string(),
        "`messages` must not make the request longer than 10485760 bytes: leave out earlier messages, which the thread has stored"
    );
}

/// Returns the messages of the first request, if nothing has to be created.
fn sent(messages: Messages, seed: u64) -> Vec<UiMessage> {
    let run = StartRun::new("my-agent", messages)
        .sandbox_id(SandboxId::new("sb").unwrap())
        .thread_id(ThreadId::new("th").unwrap());
    let mut flow = run.flow(None, &CallOptions::new(), seed).unwrap();
    let now = Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    };
    let Step::Item(placed) = flow.poll(now) else {
        panic!("it has a place")
    };
    assert_eq!(placed.thread_id.as_str(), "th");
    let Step::Send(send) = flow.poll(now) else {
        panic!("nothing is sent")
    };
    let sent = SendMessages::from_request(&send.request).unwrap();
    sent.messages.as_slice().to_vec()
}

proptest! {
    /// The turn gets an id that no other message has, unless the caller gave it one. Nothing else changes.
    #[test]
    fn only_a_turn_without_an_id_gets_one(
        seed in 0..4_u64,
        history in vec((any::<bool>(), option::of(0..6_u64)), 0..6),
        turn in option::of(Just("mine")),
    ) {
        // Ids that earlier turns have got from the same seeds.
        let given = |seed| sent("Hi".into(), seed)[0].id.clone();
        let mut messages: Vec<_> = history
            .into_iter()
            .map(|(user, id)| {
                let mut message = if user { UiMessage::user("a") } else { UiMessage::new(Role::Assistant, vec![]) };
                message.id = id.and_then(given);
                message
            })
            .collect();
        messages.push(UiMessage::user("b"));
        let last = messages.len() - 1;
        messages[last].id = turn.map(Into::into);
        let mut after = sent(messages.clone().into(), seed);
        prop_assert_eq!(&after, &sent(messages.clone().into(), seed));
        if turn.is_none() {
            let id = after[last].id.take();
            prop_assert!(id.is_some() && after.iter().all(|other| other.id != id));
        }
        prop_assert_eq!(after, messages);
    }

    #[test]
    fn no_two_seeds_give_the_same_id(one: u64, other: u64) {
        let id = |seed| sent("Hi".into(), seed)[0].id.clone();
        prop_assert_eq!(one == other, id(one) == id(other));
    }

    #[test]
    fn a_data_url_holds_every_byte(bytes: Vec<u8>, media_type in select(&["image/png", "image/svg+xml"][..])) {
        let url = json(Image::new(&bytes, media_type))["data"]["url"].as_str().unwrap().to_owned();
        let encoded = url.strip_prefix(&format!("data:{media_type};base64,")).unwrap();
        prop_assert_eq!(STANDARD.decode(encoded).unwrap(), bytes);
    }
}
