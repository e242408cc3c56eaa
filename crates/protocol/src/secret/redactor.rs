use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

use super::MASK;
use super::spelling::{Found, Spelling};
use super::structure::{Kind, spans};
use crate::scan::char_boundary;

/// The mark after text that was cut off.
pub(crate) const CUT: char = '…';

/// The length of the shortest secret that is masked, in bytes. Masking every `1` of a message because of `DEBUG=1` protects
/// nothing.
const SHORTEST: usize = 3;

/// The values that are not masked either: they occur in every JSON and protect nothing.
const LITERALS: [&str; 3] = ["true", "false", "null"];

/// The length of the beginning of a secret that is masked even without the rest, in bytes. A program that repeats a secret may cut
/// it off.
const RECOGNISABLE: usize = 12;

/// The length of the beginning of a secret that is masked at the end of a text, in bytes. The text itself may be cut there.
const RECOGNISABLE_AT_END: usize = 6;

/// Masks secrets in text in every spelling: unchanged, or escaped as in JSON, URLs and HTML.
///
/// ```text
///  text ─► spans: the values in JSON or an event stream ─► Spelling: each value in every spelling ─► ranges ─► ***
/// ```
///
/// JSON stays JSON, also within an event stream: only the content of strings is masked, and a number that is a secret becomes the
/// string `***`. Plain words are kept where they belong to the format: as names of members, and as values of `type`, `role`,
/// `state` and `status`. In any other text, a secret is masked wherever it occurs.
///
/// The first 12 bytes of a longer secret are masked even without the rest. Each line of at least 12 bytes is masked as a secret of
/// its own. Values of less than three bytes, and `true`, `false` and `null`, protect nothing and are not masked.
///
/// ```
/// use twentyfirst_protocol::Redactor;
///
/// let redactor = Redactor::new(["p\"w+&d"]);
/// assert_eq!(redactor.redact(r#"{"error":"p\"w\u002b&d is wrong"}"#), r#"{"error":"*** is wrong"}"#);
/// assert_eq!(redactor.redact("<b>p&quot;w+&amp;d</b> https://x/?q=p%22w%2b%26d"), "<b>***</b> https://x/?q=***");
/// ```
pub struct Redactor {
    secrets: Vec<String>,
    /// For each byte, whether a secret begins with it.
    firsts: [bool; 256],
}

impl Redactor {
    /// Creates a redactor of these secrets.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            let secret = secret.as_ref();
            // Programs print a text of several lines line by line, and trim it.
            let lines = secret
                .lines()
                .filter(|line| line.trim().len() >= RECOGNISABLE);
            // A byte order mark at the beginning of a body is not part of its text.
            let unmarked = secret.trim_start_matches('\u{feff}');
            for form in [secret, secret.trim(), unmarked].into_iter().chain(lines) {
                let text = form.trim().trim_start_matches('\u{feff}');
                if text.len() >= SHORTEST && !LITERALS.contains(&text) {
                    forms.insert(form.to_owned());
                }
            }
        }
        let mut firsts = [false; 256];
        for first in forms.iter().filter_map(|form| form.bytes().next()) {
            firsts[usize::from(first)] = true;
        }
        let secrets = forms.into_iter().collect();
        Self { secrets, firsts }
    }

    /// Returns `text` with every secret masked as `***`, and every long beginning of one.
    ///
    /// The text may be cut: 6 bytes at its end that could begin a secret are masked, too.
    pub fn redact(&self, text: &str) -> String {
        let (whole, mark) = match text.strip_suffix(CUT) {
            Some(whole) => (whole, Some(CUT)),
            None => (text, None),
        };
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for (place, mask) in self.find(whole.as_bytes(), true) {
            masked.push_str(whole.get(end..place.start).unwrap_or_default());
            masked.push_str(mask);
            end = place.end;
        }
        masked.push_str(whole.get(end..).unwrap_or_default());
        masked.extend(mark);
        masked
    }

    /// Returns the ranges of the secrets in a whole text, in order, with their replacements.
    ///
    /// For bytes that are kept in pieces or are not UTF-8. For text, use [`redact`](Self::redact).
    pub fn places(&self, text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
        self.find(text, false)
    }

    fn find(&self, text: &[u8], may_be_cut: bool) -> Vec<(Range<usize>, &'static str)> {
        let mut places: Vec<(Range<usize>, &'static str)> = Vec::new();
        if self.secrets.is_empty() {
            return places;
        }
        for span in spans(text) {
            let value = &text[span.range.clone()];
            let (spelling, is_cut) = match span.kind {
                Kind::Number => {
                    // Only a whole number, because `***` within one would not be JSON.
                    if self.secrets.iter().any(|secret| secret.as_bytes() == value) {
                        places.push((span.range, "\"***\""));
                    }
                    continue;
                }
                Kind::Text => (
                    Spelling::of_text(value),
                    may_be_cut && span.range.end == text.len(),
                ),
                Kind::String { is_open } => (Spelling::of_json_string(value), is_open),
            };
            let offset = span.range.start;
            for place in self.within(value, spelling, is_cut) {
                places.push((offset + place.start..offset + place.end, MASK));
            }
        }
        places
    }

    fn within(&self, text: &[u8], spelling: Spelling<'_>, is_cut: bool) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        // For each secret, the end of its last match, where its search continues. Other secrets are searched within the match, too.
        let mut from = vec![0; self.secrets.len()];
        let mut at = 0;
        while at < text.len() {
            // Comparing the first byte avoids a search for every secret at nearly all positions.
            if spelling
                .firsts(at)
                .any(|first| self.firsts[usize::from(first)])
            {
                let found = self
                    .secrets
                    .iter()
                    .zip(&mut from)
                    .filter(|(_, from)| **from <= at);
                let ends = found.filter_map(|(secret, from)| {
                    let end = end_of(
                        secret,
                        spelling.find(at, secret),
                        is_cut.then_some(text.len()),
                    )?;
                    *from = end;
                    Some(end)
                });
                if let Some(end) = ends.max() {
                    match places.last_mut() {
                        // Overlapping matches get one mask.
                        Some(last) if at < last.end => last.end = last.end.max(end),
                        _ => places.push(at..end),
                    }
                }
            }
            at = spelling.next(at);
        }
        places
    }

    /// Masks the secrets in all strings, numbers and names of a JSON value. A number that is a secret becomes a string.
    pub(crate) fn redact_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Number(number) if self.secrets.contains(&number.to_string()) => MASK.into(),
            Value::Array(values) => values
                .into_iter()
                .map(|value| self.redact_value(value))
                .collect(),
            Value::Object(members) => Value::Object(self.redact_members(members)),
            other => other,
        }
    }

    pub(crate) fn redact_members(&self, members: Map<String, Value>) -> Map<String, Value> {
        members
            .into_iter()
            .map(|(name, value)| (self.redact(&name), self.redact_value(value)))
            .collect()
    }
}

/// Returns the end of a match, if enough of the secret was found. `cut_at` is the end of the text, if the text may be cut there.
fn end_of(secret: &str, found: Found, cut_at: Option<usize>) -> Option<usize> {
    if let (Some(cut), Some(RECOGNISABLE_AT_END..)) = (cut_at, found.at_end) {
        return Some(cut);
    }
    let recognisable = char_boundary(secret, RECOGNISABLE);
    (found.matched >= recognisable.min(secret.len())).then_some(found.end)
}

/// Prints no secrets.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn redact(text: &str, secrets: &[&str]) -> String {
        Redactor::new(secrets).redact(text)
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = ["p\"w/d(", "abc", "1"];
        let text = r#"p"w/d( and "p\"w/d(" and p%22w%2Fd%28 and p%22w%2fd( and abcabc but 1"#;
        assert_eq!(
            redact(text, &secrets),
            r#"*** and "***" and *** and *** and ****** but 1"#
        );
        assert_eq!(redact("got \\u{1b}[3m", &["\u{1b}[3m"]), "got ***");
        assert_eq!(
            redact(
                "line: MIIEvQIBADANBg",
                &["-----BEGIN KEY-----\nMIIEvQIBADANBg\n"]
            ),
            "line: ***"
        );
        assert_eq!(
            Redactor::new(["8675309"]).redact_value(8_675_309.into()),
            "***"
        );
    }

    #[test]
    fn a_truncated_secret_is_masked() {
        let key = ["21st_sk_abcdefghijkl"];
        assert_eq!(redact("token: 21st_sk_ab", &key), "token: ***");
        assert_eq!(redact("token: 21st_sk_ab…", &key), "token: ***…");
        assert_eq!(
            redact("key '21st_sk_abcdef...' is unknown", &key),
            "key '***...' is unknown"
        );
        assert_eq!(redact("use a key (21st_sk_)", &key), "use a key (21st_sk_)");
        assert_eq!(redact("the end", &["endless_secret"]), "the end");
    }

    #[test]
    fn a_secret_that_contains_another_is_masked_whole() {
        assert_eq!(
            redact("x secret-long y", &["secret", "secret-long"]),
            "x *** y"
        );
    }

    #[test]
    fn a_secret_is_masked_in_any_spelling() {
        let secret = ["pä/ss+w&rd\"<'1"];
        for spelled in [
            r#"{"a":"pä/ss+w&rd\"<'1"}"#,
            r#"{"a":"p\u00e4\/ss\u002Bw\u0026rd\"\u003c'1"}"#,
            r#"{"a":"p\u00E4/ss%2Bw%26rd%22%3c%271"}"#,
            r#"{"a":"{\"b\":\"p\\u00e4\\/ss+w&rd\\\"<'1\"}"}"#,
            r#"{"a":"<b>p&#228;/ss+w&amp;rd&quot;&lt;&#39;1</b>"}"#,
            "p%C3%A4%2Fss%2bw%26rd%22%3C'1",
            "p&#xE4;&#x2f;ss+w&amp;rd&#34;&lt;&apos;1",
            "p%25C3%25A4%252Fss%252Bw%2526rd%2522%253C'1",
            "https://x/?q=p%C3%A4/ss+w&amp;rd%22%3C'1",
            "data: {\"a\":\"p\\u00e4/ss+w&rd\\\"<'1\"}\n\n",
            "\u{feff}{\"a\":\"pä/ss+w&rd\\\"<'1\"}",
        ] {
            let masked = redact(spelled, &secret);
            assert!(
                masked.contains("***") && !masked.contains("ss"),
                "{spelled}: {masked}"
            );
        }
        assert_eq!(redact("a=p+q%2Br&b=1", &["p q+r"]), "a=***&b=1");
        assert_eq!(redact("got \\ud83d\\ude00x", &["\u{1f600}x"]), "got ***");
    }

    #[test]
    fn masked_json_stays_json() {
        let secrets = [
            "1", "true", "nope", "1234", ":1,", " ", "  ", "abc\"", "\\", "\"a\"", "type", "text",
        ];
        let body = r#"{"type":"text-delta","text":1,"a":true,"b":1234,"c":"\nope","d":"abc","e":"x text 1234","f":[1,"1"]}"#;
        assert_eq!(
            redact(body, &secrets),
            r#"{"type":"text-delta","text":1,"a":true,"b":"***","c":"\nope","d":"abc","e":"x *** ***","f":[1,"1"]}"#
        );
        assert_eq!(redact(r#"{"d":"abc\""}"#, &secrets), r#"{"d":"***"}"#);
        let stream = "event: data\ndata: {\"type\":\"error\",\"errorText\":\"an error in data: x\"}\r\n\r\ndata: [DONE]\n\n";
        assert_eq!(
            redact(stream, &["error", "data", "data: x"]),
            "event: ***\ndata: {\"type\":\"error\",\"errorText\":\"an *** in ***\"}\r\n\r\ndata: [DONE]\n\n"
        );
    }

    #[test]
    fn overlapping_secrets_are_masked_together() {
        assert_eq!(redact("x abcdef y", &["abcd", "cdef"]), "x *** y");
        assert_eq!(redact("x abababab y", &["abab"]), "x ****** y");
        assert_eq!(redact("hunter2", &["hunter2\n"]), "***");
    }

    /// Writes JSON as other programs do: each character plain, or escaped in one of several ways.
    fn written(text: &str, ways: &[u8]) -> String {
        let mut ways = ways.iter().cycle();
        let mut written = String::from("\"");
        for char in text.chars() {
            match (ways.next().copied().unwrap_or_default(), char) {
                (0, _) | (_, '\0'..='\x1f') => {
                    let mut units = [0; 2];
                    for unit in char.encode_utf16(&mut units) {
                        written += &format!("\\u{unit:04x}");
                    }
                }
                (_, '"' | '\\') => written.extend(['\\', char]),
                (1, '/') => written += "\\/",
                _ => written.push(char),
            }
        }
        written + "\""
    }

    /// Generates values that may contain the secret, short pieces of JSON, and text that resembles escapes.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-c1\"\\\\/%&+ ;:,{}\\[\\]]{0,4}",
            "\\\\n|\\\\u0|%2|&amp;|true|\u{1f600}|ä|\n",
            "\\PC{0,3}"
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

        /// For any secrets: JSON stays JSON of the same shape, no string of it contains one of them, and a text without them is
        /// unchanged.
        #[test]
        fn masked_json_stays_json_without_secrets(
            secret in texts(),
            around in prop::collection::vec(texts(), 3),
            ways in prop::collection::vec(0..3_u8, 1..20),
            number in any::<i32>(),
        ) {
            let holds = |text: &str| !secret.is_empty() && text.contains(&secret);
            let held = format!("{}{secret}{}", around[0], around[1]);
            let body = format!(
                "{{\"a\":{},\"b\":[{number},true,null],\"c\":{{\"d\":{}}}}}",
                written(&held, &ways),
                written(&around[2], &ways),
            );
            for (body, is_event) in [(body.clone(), false), (format!("data: {body}\n\n"), true)] {
                let redactor = Redactor::new([&secret]);
                let masked = redactor.redact(&body);
                let json = masked.strip_prefix("data: ").unwrap_or(&masked).trim_end();
                prop_assert_eq!(is_event, masked.ends_with("\n\n"));
                let json: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{masked}: {error}"));
                prop_assert_eq!(&json["b"][1], &json!(true));
                let (a, d) = (json["a"].as_str().unwrap(), json["c"]["d"].as_str().unwrap());
                let counts = secret.trim().len() >= SHORTEST && !LITERALS.contains(&secret.trim());
                if counts && !MASK.contains(&secret) && !holds("***") {
                    let rest = a.replace(MASK, "\u{0}");
                    prop_assert!(!rest.contains(&secret), "{}", masked);
                }
                if !counts {
                    prop_assert_eq!(&masked, &body);
                } else if secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) && secret.len() < RECOGNISABLE {
                    // Checks the strings before masking: a secret in them is gone afterwards.
                    let is_spelled = around[2].contains(['%', '&', '\\', '+']);
                    if !holds(&around[2]) && !is_spelled {
                        prop_assert_eq!(d, &around[2]);
                    }
                }
            }
        }

        /// For any bytes: the ranges are in order, do not overlap and lie within the text; nothing panics, and text stays text.
        #[test]
        fn places_are_in_order(
            secrets in prop::collection::vec(texts(), 0..4),
            pieces in prop::collection::vec(prop_oneof![texts().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..4)], 0..5),
        ) {
            let text = pieces.concat();
            let redactor = Redactor::new(&secrets);
            let mut end = 0;
            for (place, _) in redactor.places(&text) {
                prop_assert!(end <= place.start && place.start < place.end && place.end <= text.len());
                end = place.end;
            }
            let text = String::from_utf8_lossy(&text);
            redactor.redact(&text);
        }

        /// For any truncation of a text: at most a short beginning of a secret at its end is shown.
        #[test]
        fn a_truncated_text_shows_no_recognisable_beginning(
            secret in "[a-z0-9]{13,30}",
            kept in 6..12_usize,
            form in 0..3,
        ) {
            let kept = &secret[..kept];
            let text = match form {
                0 => format!("the key {kept}"),
                1 => format!("{{\"error\":{{\"message\":\"the key {kept}"),
                _ => format!("data: {{\"errorText\":\"the key {kept}\\u00"),
            };
            let masked = redact(&text, &[&secret]);
            prop_assert!(!masked.contains(kept), "{}", masked);
        }
    }
}
