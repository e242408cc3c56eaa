use std::borrow::Cow;

use super::closer::Closer;
use super::forbidden::has_forbidden_key;
use super::grammar::Grammar;
use crate::ui::RawJson;

/// A JSON document that arrives in pieces, and its value so far.
///
/// The value is that of the AI SDK's `parsePartialJson` for the same text: a truncated document is closed where it ends (inside a
/// string, a number or a word, after a comma or a colon). There is no value if the document cannot be closed, or has a key
/// `__proto__`, or `prototype` under `constructor`.
///
/// ```text
///  text ─► Grammar ─┬─ JSON so far ────────────────────────────────► closed by the grammar
///                   └─ is_odd ─► Closer, which reads it once more ─► cut and closed as by the AI SDK, then checked by a grammar
/// ```
///
/// Each piece is scanned once, when it arrives, so that many small pieces take linear time. Reading the value copies the text.
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
    /// The grammar after the text. If there is a closer: after the bytes that the closer keeps.
    grammar: Grammar,
    /// Present once the AI SDK may read the text differently from the grammar.
    closer: Option<Closer>,
}

impl PartialJson {
    /// Creates an empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a piece. It may begin and end anywhere.
    pub fn push(&mut self, piece: &str) {
        let start = self.text.len();
        self.text.push_str(piece);
        if let Some(closer) = &mut self.closer {
            closer.read(&self.text, start);
            self.grammar.read(&self.text, closer.kept());
            return;
        }
        self.grammar.read(&self.text, self.text.len());
        if self.grammar.is_odd() {
            // The AI SDK may close such a text differently. A closer, which closes it the same way, reads it again and decides from
            // here on.
            let mut closer = Closer::default();
            closer.read(&self.text, 0);
            self.grammar = Grammar::default();
            self.grammar.read(&self.text, closer.kept());
            self.closer = Some(closer);
        }
    }

    /// Returns the text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text so far, without a copy.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Returns whether the text is a complete JSON document. More digits of a number may still follow.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.whole().is_some()
    }

    /// Returns the value so far; `None` if there is none.
    #[must_use]
    pub fn value(&self) -> Option<RawJson<'static>> {
        if let Some(grammar) = self.whole()
            && let Some(value) = allowed(self.text.clone(), &grammar)
        {
            return Some(value);
        }
        let kept = match &self.closer {
            Some(closer) => closer.kept(),
            None => self.grammar.kept(),
        };
        let kept = self.text.get(..kept).filter(|kept| !kept.is_empty())?;
        let mut closed = String::with_capacity(kept.len() + self.depth() + "false\"".len());
        closed.push_str(kept);
        let Some(closer) = &self.closer else {
            self.grammar.close(&mut closed);
            return allowed(closed, &self.grammar);
        };
        closer.close(&self.text, &mut closed);
        // The closer's result need not be JSON, and then there is no value.
        let mut grammar = self.grammar.clone();
        grammar.read(&closed, closed.len());
        if !grammar.is_complete() {
            return None;
        }
        allowed(closed, &grammar)
    }

    /// Returns the state of the grammar at the end of the text, if it is a complete document.
    fn whole(&self) -> Option<Cow<'_, Grammar>> {
        let mut grammar = Cow::Borrowed(&self.grammar);
        if self.closer.is_some() {
            grammar.to_mut().read(&self.text, self.text.len());
        }
        grammar.is_complete().then_some(grammar)
    }

    /// Returns a copy with another piece appended, to look at.
    pub(crate) fn with(&self, piece: &str) -> Self {
        let mut text = String::with_capacity(self.text.len() + piece.len());
        text.push_str(&self.text);
        let mut longer = Self {
            text,
            grammar: self.grammar.clone(),
            closer: self.closer.clone(),
        };
        longer.push(piece);
        longer
    }

    /// Returns the number of bytes that the text can hold before it has to move.
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Makes the capacity of the text at least this many bytes.
    pub(crate) fn reserve(&mut self, capacity: usize) {
        let more = capacity.saturating_sub(self.text.len());
        self.text.reserve_exact(more);
    }

    /// Returns the memory for the open objects and arrays, in bytes.
    pub(crate) fn depth_held(&self) -> usize {
        self.grammar.held() + self.closer.as_ref().map_or(0, Closer::held)
    }

    /// Returns an upper bound for the number of open objects and arrays.
    pub(crate) fn depth(&self) -> usize {
        self.closer
            .as_ref()
            .map_or_else(|| self.grammar.depth(), Closer::depth)
    }
}

/// Returns a value, unless it has a key that the AI SDK refuses. `grammar` has read its keys.
fn allowed(mut value: String, grammar: &Grammar) -> Option<RawJson<'static>> {
    if grammar.has_suspicious_key() && has_forbidden_key(&value) {
        return None;
    }
    let space = value.len() - value.trim_ascii_start().len();
    value.drain(..space);
    value.truncate(value.trim_ascii_end().len());
    Some(RawJson::from_valid(value))
}

impl From<&str> for PartialJson {
    fn from(text: &str) -> Self {
        let mut document = Self::new();
        document.push(text);
        document
    }
}
