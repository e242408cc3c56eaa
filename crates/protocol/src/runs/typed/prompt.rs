//! The instructions for the agent.

use serde_json::Value;

use super::NoValue;

/// Returns the text that follows the user's turn.
pub(super) fn ask(schema: &Value) -> String {
    format!(
        "\nEnd your answer with one JSON value that is valid against the JSON Schema below, in a fenced code block whose language is json. \
         Write the value itself, not the schema, and nothing after it.\n\n{}",
        fenced(schema)
    )
}

/// Returns the turn of the repair. It contains the schema again, since the agent's memory of a long thread may have been cut.
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
