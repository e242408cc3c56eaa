use super::BodyError;
use crate::ui::Text;
use crate::ui::chunk::json::{MemberReader, validate};
use crate::ui::chunk::member;

/// Decodes the text of a body: drops a byte order mark, and replaces bytes that are not UTF-8 by U+FFFD.
pub(super) fn text(body: Vec<u8>) -> String {
    let mut text = String::from_utf8(body)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    text
}

/// Checks that a text is one JSON object, and returns its members with these names. If a name repeats, the last member counts.
pub(super) fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], BodyError> {
    let Some(mut members) = MemberReader::of(text) else {
        return Err(match validate(text) {
            Ok(()) => BodyError::NotAnObject,
            Err(error) => BodyError::of(error, text),
        });
    };
    let mut found = [None; N];
    while let Some((name, value)) = members.next().map_err(|error| BodyError::of(error, text))? {
        if let Some(at) = names.iter().position(|wanted| name == *wanted) {
            found[at] = Some(value);
        }
    }
    Ok(found)
}

/// Reads a string member; `None` if it is absent or `null`.
pub(super) fn text_of<'a>(
    name: &'static str,
    value: Option<&'a str>,
) -> Result<Option<Text<'a>>, BodyError> {
    let value = value.filter(|value| *value != "null");
    let text = value.map(member::text).transpose();
    text.map_err(|_| BodyError::NotText(name))
}

/// Reads a member that is a name or an id; `None` if it is absent or `null`.
pub(super) fn id_of(name: &'static str, value: Option<&str>) -> Result<Option<String>, BodyError> {
    let id = text_of(name, value)?.map(|text| match text.as_str() {
        Some(id) => Ok(id.to_owned()),
        None => Err(BodyError::HalfSurrogate(name)),
    });
    id.transpose()
}
