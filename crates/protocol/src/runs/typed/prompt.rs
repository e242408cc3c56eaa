//! What the agent is told.

use serde_json::Value;

use super::NoValue;

/// What stands behind the user's turn.
pub(super) fn ask(schema: &Value) -> String {
    format!(
        "\nEnd your answer with one JSON value that is valid against the JSON Schema below, in a fenced code block whose language is json. \
         Write the value itself, not the schema, and nothing behind it.\n\n{}",
        fenced(schema)
    )
}

/// The turn of the repair. The schema stands in it again: the agent's memory of a long thread may have been cut.
pub(super) fn repair(schema: &Value, problem: &NoValue) -> String {
    format!(
        "Your last answer could not be used: {problem}.\n\nAnswer again, with nothing but one JSON value that is valid against the JSON Schema below, \
         in a fenced code block whose language is json. Write the value itself, not the schema.\n\n{}",
        fenced(schema)
    )
}

fn fenced(schema: &Value) -> String {
    format!("```json\n{schema}\n```")
}
