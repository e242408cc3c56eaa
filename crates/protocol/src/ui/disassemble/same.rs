use serde_json::Value;

use crate::ui::RawJson;

/// Returns whether two values are the same, although the order of members and the notation of numbers may differ: the relay's
/// database rewrites both.
pub(crate) fn same(a: Option<&RawJson<'_>>, b: Option<&RawJson<'_>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if a.get() == b.get() => true,
        (Some(a), Some(b)) => match (a.deserialize::<Value>(), b.deserialize::<Value>()) {
            (Ok(a), Ok(b)) => same_value(&a, &b),
            // Values that cannot be read, such as very deep ones, count as the same.
            _ => true,
        },
        (None, None) => true,
        _ => false,
    }
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut members = a.iter();
            a.len() == b.len()
                && members.all(|(name, a)| b.get(name).is_some_and(|b| same_value(a, b)))
        }
        _ => a == b,
    }
}
