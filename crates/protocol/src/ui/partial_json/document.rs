use super::closer::Closer;
use super::forbidden::has_forbidden_key;
use super::grammar::Grammar;
use crate::ui::RawJson;

/// A JSON document that grows, and at any time the value that it has so far.
///
/// The value is what `parsePartialJson` of the AI SDK makes of the same text: a document that breaks off is closed where it breaks off
/// (inside a string, a number, a word, after a comma or a colon). What cannot be closed has no value, nor has what holds a key
/// `__proto__`, or `prototype` under `constructor`.
///
/// Each piece is looked at once, when it comes. Asking for the value costs a copy of it and no more.
///
/// ```
/// use twentyfirst_protocol::ui::PartialJson;
///
/// let mut input = PartialJson::new();
/// input.push(r#"{"path": "src/li"#);
/// assert_eq!(input.value().unwrap().get(), r#"{"path": "src/li"}"#);
/// assert!(!input.is_complete());
///
/// input.push(r#"b.rs", "recursive": t"#);
/// assert_eq!(input.value().unwrap().get(), r#"{"path": "src/lib.rs", "recursive": true}"#);
///
/// input.push("rue}");
/// assert!(input.is_complete());
/// ```
#[derive(Clone, Debug, Default)]
pub struct PartialJson {
    text: String,
    closer: Closer,
    /// Has read what the value is made of: the text as far as the closer would keep it.
    grammar: Grammar,
}

impl PartialJson {
    /// A document of which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a piece. It may begin and end anywhere.
    pub fn push(&mut self, piece: &str) {
        let start = self.text.len();
        self.text.push_str(piece);
        self.closer.read(&self.text, start);
        self.grammar.read(&self.text, self.closer.kept());
    }

    /// All that has come.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes all that has come.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Whether what has come is a whole JSON document. More digits of a number may still follow.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_value(&self.text)
    }

    /// The value so far; `None` if there is none.
    #[must_use]
    pub fn value(&self) -> Option<RawJson<'static>> {
        if self.is_complete() {
            return Some(RawJson::from_valid(self.text.trim_ascii().to_owned()));
        }
        let kept = self.text.get(..self.closer.kept())?;
        let mut closed = String::with_capacity(kept.len() + self.closer.depth());
        closed.push_str(kept);
        self.closer.close(&self.text, &mut closed);
        if !self.is_value(&closed) {
            return None;
        }
        let space = closed.len() - closed.trim_ascii_start().len();
        closed.drain(..space);
        Some(RawJson::from_valid(closed))
    }

    /// How many objects and arrays are open, about.
    pub(crate) fn depth(&self) -> usize {
        self.closer.depth()
    }

    /// Whether a text, whose beginning the grammar has read already, is a value.
    fn is_value(&self, text: &str) -> bool {
        let mut grammar = self.grammar.clone();
        grammar.read(text, text.len());
        grammar.is_complete() && !(grammar.has_suspicious_key() && has_forbidden_key(text))
    }
}

impl From<&str> for PartialJson {
    fn from(text: &str) -> Self {
        let mut document = Self::new();
        document.push(text);
        document
    }
}
