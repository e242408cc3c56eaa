//! The part that a chunk about a tool call changes.

use twentyfirst_protocol::ui::{Assembler, Chunk, ToolPart, ToolState, UiMessage};

fn assembled(lenient: bool, chunks: &[&str]) -> UiMessage {
    let mut assembler = Assembler::new().lenient(lenient);
    for chunk in chunks {
        assembler.apply(&Chunk::decode(chunk).unwrap()).unwrap();
    }
    assembler.into_message()
}

fn calls(message: &UiMessage) -> Vec<&ToolPart> {
    let parts = message.parts.iter();
    parts.filter_map(|part| part.as_tool()).collect()
}

const TEXT: &str = r#"{"type":"text-start","id":"t"}"#;
const STEP: &str = r#"{"type":"start-step"}"#;
const RESET: &str = r#"{"type":"reset-step"}"#;
const CALL: &str = r#"{"type":"tool-input-available","toolCallId":"c","toolName":"n","input":1}"#;
const OUTPUT: &str = r#"{"type":"tool-output-available","toolCallId":"c","output":2}"#;

#[test]
fn the_output_of_a_call_survives_a_reset_of_a_later_step() {
    let message = assembled(false, &[TEXT, CALL, STEP, CALL, RESET, OUTPUT]);
    let calls = calls(&message);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].state, ToolState::OutputAvailable);
    let message = assembled(false, &[TEXT, CALL, STEP, CALL, OUTPUT]);
    let states = self::calls(&message)
        .into_iter()
        .map(|call| call.state.clone());
    assert_eq!(
        states.collect::<Vec<_>>(),
        [ToolState::InputAvailable, ToolState::OutputAvailable]
    );
}

#[test]
fn a_call_with_an_invalid_input_is_dynamic_if_its_chunk_says_so_or_its_part_was() {
    let wrong = |dynamic: &str| {
        format!(
            r#"{{"type":"tool-input-error","toolCallId":"c","toolName":"n","errorText":"no"{dynamic}}}"#
        )
    };
    for (dynamic, is_dynamic) in [
        ("", false),
        (r#","dynamic":false"#, false),
        (r#","dynamic":true"#, true),
    ] {
        let message = assembled(false, &[&wrong(dynamic)]);
        assert_eq!(calls(&message)[0].dynamic, is_dynamic, "{dynamic}");
        // A part that exists stays as it is, whatever the chunk says.
        let of_dynamic = CALL.replace("\"c\"", "\"c\",\"dynamic\":true");
        for (call, was_dynamic) in [(CALL, false), (of_dynamic.as_str(), true)] {
            let message = assembled(false, &[call, &wrong(dynamic)]);
            let calls = calls(&message);
            let found = (calls.len(), calls[0].dynamic);
            assert_eq!(found, (1, was_dynamic), "{call} {dynamic}");
        }
    }
}

#[test]
fn a_call_opened_by_a_delta_becomes_dynamic_with_the_chunk_that_names_it() {
    let delta = r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"1"}"#;
    let start = r#"{"type":"tool-input-available","toolCallId":"c","toolName":"n","input":1,"dynamic":true}"#;
    let message = assembled(true, &[delta, start]);
    let named = calls(&message);
    assert_eq!((named.len(), named[0].dynamic), (1, true));
    // A call of the same id that is not dynamic is another one.
    let message = assembled(true, &[delta, start, CALL]);
    let both: Vec<bool> = calls(&message).iter().map(|call| call.dynamic).collect();
    assert_eq!(both, [true, false]);
}
