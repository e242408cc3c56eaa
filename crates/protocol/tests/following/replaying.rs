//! A reopened stream repeats what was delivered in a different form.

use serde_json::{Value, json};
use twentyfirst_protocol::runs::{FollowPolicy, MessageState};

use crate::followed::Followed;
use crate::lines::{Line, line};
use crate::relay::Relay;

/// Follows a run whose first stream said `first` when it broke off, and whose second says `second`.
fn followed(first: Vec<Line>, second: Vec<Line>, stored: Value) -> Followed {
    Relay::streams([line::start("m1"), first, line::cut()])
        .then_streams([line::start("m2"), second, line::finish(), line::says_done()])
        .when("look", 3, |relay| relay.complete_with(stored))
        .read(FollowPolicy::live())
}

#[test]
fn empty_deltas_are_not_held_and_their_stream_may_still_join_in_the_middle() {
    let begun = "This is how it begins.";
    let empty = json!({"type": "text-delta", "id": "x1", "delta": ""});
    // If they were held, they would exceed the limit for telling a replay from a stream that joined.
    let many = vec![empty; 20_000];
    let second = [
        line::chunks([json!({"type": "text-start", "id": "x1"})]),
        line::chunks(many.clone()),
        line::chunks([json!({"type": "text-delta", "id": "x1", "delta": "It went on elsewhere."})]),
        line::chunks([json!({"type": "text-end", "id": "x1"})]),
    ];
    let whole = "This is how it begins. It went on elsewhere.";
    let stored = || line::answer("m1", &[whole]);
    let joined = followed(line::open_text("t1", begun), second.concat(), stored());
    // The deltas of the stream that joined arrive, and none that was held.
    assert_eq!(
        joined.outline(),
        "start, chunks, cut, resumed, gap, chunks, finish"
    );
    assert_eq!(joined.pieces(), [begun, "It went on elsewhere."]);
    assert!(joined.kinds().len() < 50, "{}", joined.kinds().len());

    let second = [
        line::chunks([json!({"type": "text-start", "id": "x1"})]),
        line::chunks(many),
        line::chunks([json!({"type": "text-delta", "id": "x1", "delta": whole})]),
        line::chunks([json!({"type": "text-end", "id": "x1"})]),
    ];
    let replayed = followed(line::open_text("t1", begun), second.concat(), stored());
    assert_eq!(
        replayed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(replayed.text(), whole);
    replayed.assert_completed(MessageState::Whole);
}

fn input() -> Value {
    json!({"type": "tool-input-available", "toolCallId": "c1", "toolName": "Task", "input": 0})
}

fn output(output: u32) -> Value {
    json!({"type": "tool-output-available", "toolCallId": "c1", "output": output})
}

fn preliminary(output: u32) -> Value {
    json!({"type": "tool-output-available", "toolCallId": "c1", "output": output, "preliminary": true})
}

fn data(data: u32) -> Value {
    json!({"type": "data-progress", "id": "p", "data": data})
}

/// Returns the outputs and the data in the order of delivery.
fn values(followed: &Followed) -> Vec<u32> {
    let values = followed.chunks().filter_map(|chunk| {
        let value = chunk.get("output").or_else(|| chunk.get("data"))?;
        value.as_u64()
    });
    values.map(|value| u32::try_from(value).unwrap()).collect()
}

fn stored(output: u32, data: u32) -> Value {
    json!({"id": "m1", "role": "assistant", "parts": [
        {"type": "tool-Task", "toolCallId": "c1", "state": "output-available", "input": 0, "output": output},
        {"type": "data-progress", "id": "p", "data": data},
    ]})
}

#[test]
fn a_replay_may_omit_replaced_outputs_and_data() {
    let followed = followed(
        line::chunks([input(), preliminary(1), preliminary(2), data(11), data(12)]),
        line::chunks([input(), output(3), data(13)]),
        stored(3, 13),
    );
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(values(&followed), [1, 2, 11, 12, 3, 13]);
    followed.assert_completed(MessageState::Whole);
}

#[test]
fn a_replay_may_repeat_replaced_values_after_everything_delivered() {
    let first = [input(), preliminary(1), data(11), output(2), data(12)];
    let second = [&first[..], &[preliminary(2), data(13)]].concat();
    let followed = followed(line::chunks(first), line::chunks(second), stored(2, 13));
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(values(&followed), [1, 11, 2, 12, 13]);
    followed.assert_completed(MessageState::Whole);

    // The result has not come yet, and its preliminary outputs are repeated after the rest.
    let second = [
        input(),
        data(11),
        preliminary(1),
        preliminary(2),
        preliminary(3),
        output(4),
    ];
    let first = [input(), preliminary(1), preliminary(2), data(11)];
    let followed = self::followed(line::chunks(first), line::chunks(second), stored(4, 11));
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(values(&followed), [1, 2, 11, 3, 4]);
}

#[test]
fn the_end_of_a_part_after_everything_delivered_comes_once() {
    let story = "A text that has ended.";
    let followed = followed(
        line::text("t1", story),
        [line::text("x1", story), line::text("x2", "And another.")].concat(),
        line::answer("m1", &[story, "And another."]),
    );
    assert_eq!(
        followed.outline(),
        "start, chunks, cut, resumed, chunks, finish"
    );
    assert_eq!(followed.text(), "A text that has ended.And another.");
    let ends = followed
        .kinds()
        .into_iter()
        .filter(|kind| kind == "text-end");
    assert_eq!(ends.count(), 2);
    followed.assert_completed(MessageState::Whole);
}
