//! JSON values compared as the AI SDK's users see them.

use serde_json::{Number, Value};

/// Reads JSON so that equal values are equal: numbers are doubles, and half a surrogate pair is U+FFFD.
pub(crate) fn canonical(json: &str) -> Value {
    let mut value = serde_json::from_str(&without_halves(json))
        .unwrap_or_else(|error| panic!("{error} in {json}"));
    to_doubles(&mut value);
    value
}

fn to_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Adding zero turns minus zero into zero, like JSON.stringify.
            *number = Number::from_f64(number.as_f64().unwrap() + 0.0).unwrap();
        }
        Value::Array(values) => values.iter_mut().for_each(to_doubles),
        Value::Object(members) => members.values_mut().for_each(to_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Replaces escapes of halves that stand alone.
fn without_halves(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let unit = |at: usize| {
            escape
                .get(at..at + 2)
                .filter(|start| *start == "\\u")
                .and_then(|_| u16::from_str_radix(escape.get(at + 2..at + 6)?, 16).ok())
        };
        let length = match (unit(0), unit(6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                out.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
        out.push_str(&escape[..length]);
        rest = &escape[length..];
    }
    out + rest
}
