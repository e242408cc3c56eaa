use std::collections::BTreeMap;

use serde_json::Value;

use super::refusals::invalid;
use crate::request::{Members, member};
use crate::responses::Refusal;

/// A check of members that collects all issues, with the messages of the relay's schema library.
#[derive(Default)]
pub(super) struct Check {
    issues: Vec<String>,
}

impl Check {
    /// Returns all issues as one refusal.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.issues.is_empty() {
            Ok(())
        } else {
            Err(invalid(self.issues.join(", ")))
        }
    }

    /// Reads the name of a vault, trimmed.
    pub(super) fn name(&mut self, members: &Members, is_needed: bool) -> Option<String> {
        if !is_needed && !members.contains_key("name") {
            return None;
        }
        let name = self.text(value(members, "name").as_ref())?;
        let name = name.trim();
        if name.is_empty() {
            self.issues.push("name is required".to_owned());
        }
        self.length(name, 200);
        Some(name.to_owned())
    }

    /// Reads a description. Returns `None` if it is absent, and `Some(None)` if it is to be removed.
    pub(super) fn description(&mut self, members: &Members) -> Option<Option<String>> {
        match value(members, "description")? {
            Value::Null => Some(None),
            description => {
                let description = self.text(Some(&description))?;
                self.length(&description, 500);
                Some(Some(description).filter(|text| !text.is_empty()))
            }
        }
    }

    pub(super) fn metadata(&mut self, members: &Members) -> BTreeMap<String, String> {
        let pairs = match value(members, "metadata") {
            None => return BTreeMap::new(),
            Some(Value::Object(pairs)) => pairs,
            Some(other) => {
                self.unexpected("record", Some(&other));
                return BTreeMap::new();
            }
        };
        let count = pairs.len();
        let mut metadata = BTreeMap::new();
        for (key, value) in pairs {
            if let Some(value) = self.text(Some(&value)) {
                metadata.insert(key, value);
            }
        }
        if metadata.len() < count {
            return metadata;
        }
        if count > 16 {
            self.issues
                .push("metadata must have 16 entries or fewer".to_owned());
        }
        for key in metadata.keys().filter(|key| length(key) > 64) {
            self.issues.push(format!(
                "metadata key \"{key}\" must be 64 characters or fewer"
            ));
        }
        for (key, _) in metadata.iter().filter(|(_, value)| length(value) > 512) {
            self.issues.push(format!(
                "metadata value for \"{key}\" must be 512 characters or fewer"
            ));
        }
        metadata
    }

    pub(super) fn server_url(&mut self, members: &Members) -> Option<String> {
        let url = self.text(value(members, "serverUrl").as_ref())?;
        let is_url = url.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !rest.trim_start_matches('/').is_empty()
        });
        if !is_url {
            self.issues.push("Invalid URL".to_owned());
        }
        Some(url)
    }

    /// Checks an object whose form is named by one of its members.
    pub(super) fn one_of(
        &mut self,
        members: &Members,
        name: &str,
        discriminator: &str,
        forms: &[&str],
    ) {
        let given = value(members, name);
        let Some(Value::Object(object)) = &given else {
            self.unexpected("object", given.as_ref());
            return;
        };
        let form = object.get(discriminator).and_then(Value::as_str);
        if form.is_none_or(|form| !forms.contains(&form)) {
            let forms: Vec<_> = forms.iter().map(|form| format!("'{form}'")).collect();
            self.issues.push(format!(
                "Invalid discriminator value. Expected {}",
                forms.join(" | ")
            ));
        }
    }

    fn text(&mut self, value: Option<&Value>) -> Option<String> {
        match value {
            Some(Value::String(text)) => Some(text.clone()),
            other => {
                self.unexpected("string", other);
                None
            }
        }
    }

    fn length(&mut self, text: &str, limit: usize) {
        if length(text) > limit {
            self.issues.push(format!(
                "Too big: expected string to have <={limit} characters"
            ));
        }
    }

    fn unexpected(&mut self, expected: &str, received: Option<&Value>) {
        let received = match received {
            None => "undefined",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Number(_)) => "number",
            Some(Value::String(_)) => "string",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        self.issues.push(format!(
            "Invalid input: expected {expected}, received {received}"
        ));
    }
}

fn value(members: &Members, name: &str) -> Option<Value> {
    member(members, name)
}

/// Returns the length of a string in JavaScript: the number of UTF-16 code units.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}
