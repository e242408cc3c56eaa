//! The values of chunk members: functions that read and write them, and convert them to owned values.

use crate::ui::held::{owned, owned_raw};

use super::{
    FinishReason, InputEncoding, RawJson, Text,
    json::{self, JsonError, MemberReader},
};

/// A value of a member, which can be written. The functions of this module read such values.
pub(crate) trait MemberValue {
    type Owned;
    fn into_owned(self) -> Self::Owned;
    /// Returns the memory that the owned value allocates.
    fn owned_size(&self) -> usize {
        0
    }
    fn write_json(&self, out: &mut String);
}

impl MemberValue for Text<'_> {
    type Owned = Text<'static>;

    fn into_owned(self) -> Text<'static> {
        Text::into_owned(self)
    }

    fn owned_size(&self) -> usize {
        owned(self)
    }

    fn write_json(&self, out: &mut String) {
        Text::write_json(self, out);
    }
}

impl MemberValue for RawJson<'_> {
    type Owned = RawJson<'static>;

    fn into_owned(self) -> RawJson<'static> {
        RawJson::into_owned(self)
    }

    fn owned_size(&self) -> usize {
        owned_raw(self)
    }

    fn write_json(&self, out: &mut String) {
        out.push_str(&self.compact());
    }
}

impl MemberValue for bool {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    fn write_json(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl MemberValue for FinishReason {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    fn write_json(&self, out: &mut String) {
        Text::from(self.as_str()).write_json(out);
    }
}

impl MemberValue for InputEncoding {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    fn write_json(&self, out: &mut String) {
        Text::from(self.as_str()).write_json(out);
    }
}

/// The description of an expected value.
pub(crate) type Expected = &'static str;

pub(crate) fn text(value: &str) -> Result<Text<'_>, Expected> {
    match value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(raw) => Ok(Text::from_json_string(raw)),
        None => Err("a string"),
    }
}

pub(crate) fn flag(value: &str) -> Result<bool, Expected> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("a boolean"),
    }
}

pub(crate) fn any(value: &str) -> Result<RawJson<'_>, Expected> {
    Ok(RawJson::from_valid(value))
}

/// Reads tool metadata: an object. The AI SDK refuses numbers beyond a double in it, and in provider metadata.
pub(crate) fn object(value: &str) -> Result<RawJson<'_>, Expected> {
    if value.starts_with('{') && !json::has_number_beyond_double(value) {
        Ok(RawJson::from_valid(value))
    } else {
        Err("an object whose numbers fit a double")
    }
}

/// Reads the AI SDK's provider metadata: an object of objects.
pub(crate) fn metadata(value: &str) -> Result<RawJson<'_>, Expected> {
    let is_object = is_object_of(value, |value| value.starts_with('{'));
    if is_object && !json::has_number_beyond_double(value) {
        Ok(RawJson::from_valid(value))
    } else {
        Err("an object of objects whose numbers fit a double")
    }
}

pub(crate) fn finish_reason(value: &str) -> Result<FinishReason, Expected> {
    text(value)
        .ok()
        .and_then(|text| FinishReason::from_name(text.as_str()?))
        .ok_or("a finish reason")
}

pub(crate) fn input_encoding(value: &str) -> Result<InputEncoding, Expected> {
    text(value)
        .ok()
        .and_then(|text| InputEncoding::from_name(text.as_str()?))
        .ok_or("json or text")
}

/// Reads the parts of a steering message: texts and files, with any other members.
pub(crate) fn steering_parts(value: &str) -> Result<RawJson<'_>, Expected> {
    let fits = |part: &str| {
        let Some(part) = Fields::of(part) else {
            return false;
        };
        part.optional("providerMetadata", |value| metadata(value).is_ok())
            && match part.string("type").as_ref().and_then(Text::as_str) {
                Some("text") => part.required("text", is_string),
                Some("file") => {
                    part.required("mediaType", is_string)
                        && part.required("url", is_string)
                        && part.optional("filename", is_string)
                        && part
                            .optional("providerReference", |value| is_object_of(value, is_string))
                }
                _ => false,
            }
    };
    if json::elements(value).is_some_and(|mut parts| parts.all(fits)) {
        Ok(RawJson::from_valid(value))
    } else {
        Err("an array of text and file parts")
    }
}

/// Reads citations, and drops unknown members from them. The AI SDK drops unknown members here and nowhere else.
pub(crate) fn citations(value: &str) -> Result<RawJson<'_>, Expected> {
    const EXPECTED: Expected = "an array of citations";
    let mut kept = String::with_capacity(value.len());
    kept.push('[');
    for citation in json::elements(value).ok_or(EXPECTED)? {
        if kept.len() > 1 {
            kept.push(',');
        }
        citation_into(citation, &mut kept).ok_or(EXPECTED)?;
    }
    kept.push(']');
    Ok(RawJson::from_valid(kept))
}

fn citation_into(citation: &str, out: &mut String) -> Option<()> {
    let citation = Fields::of(citation)?;
    let source = Fields::of(citation.last("source")?)?;
    let known: &[(&str, bool)] = match source.string("sourceType")?.as_str()? {
        "url" => &[("id", true), ("url", true), ("title", false)],
        "document" => &[
            ("id", true),
            ("mediaType", true),
            ("title", true),
            ("filename", false),
        ],
        _ => return None,
    };
    let fits = source.string("type")? == "source"
        && known.iter().all(|&(name, required)| match required {
            true => source.required(name, is_string),
            false => source.optional(name, is_string),
        })
        && source.optional("providerMetadata", |value| metadata(value).is_ok())
        && citation.optional("startIndex", is_index)
        && citation.optional("endIndex", is_index)
        && citation.optional("citedText", is_string);
    if !fits {
        return None;
    }
    out.push_str("{\"source\":{\"type\":\"source\"");
    let names = known.iter().map(|&(name, _)| name);
    source.write_known(
        ["sourceType", "providerMetadata"].into_iter().chain(names),
        out,
    );
    out.push('}');
    citation.write_known(["startIndex", "endIndex", "citedText"], out);
    out.push('}');
    Some(())
}

/// The members of an already validated object.
pub(crate) struct Fields<'a>(Vec<(Text<'a>, &'a str)>);

impl<'a> Fields<'a> {
    pub(crate) fn read(mut members: MemberReader<'a>) -> Result<Self, JsonError> {
        let mut fields = Vec::with_capacity(8);
        while let Some(field) = members.next()? {
            fields.push(field);
        }
        Ok(Self(fields))
    }

    fn of(object: &'a str) -> Option<Self> {
        Self::read(MemberReader::of(object)?).ok()
    }

    /// Returns the value of a member: the last one, if its name repeats.
    pub(crate) fn last(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|&(_, value)| value)
    }

    pub(crate) fn string(&self, name: &str) -> Option<Text<'a>> {
        text(self.last(name)?).ok()
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Text<'a>, &'a str)> {
        self.0.into_iter()
    }

    fn required(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.last(name).is_some_and(fits)
    }

    fn optional(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.last(name).is_none_or(fits)
    }

    /// Appends the members with these names, if they are present, each after a comma.
    fn write_known<'n>(&self, names: impl IntoIterator<Item = &'n str>, out: &mut String) {
        for name in names {
            if let Some(value) = self.last(name) {
                out.extend([",\"", name, "\":", value]);
            }
        }
    }
}

fn is_string(value: &str) -> bool {
    value.starts_with('"')
}

/// Returns whether a value is a whole number from 0 to 2^53 - 1, in any notation: JavaScript's safe integers.
fn is_index(value: &str) -> bool {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    value
        .parse()
        .is_ok_and(|number: f64| number.fract() == 0.0 && (0.0..=LARGEST).contains(&number))
}

fn is_object_of(value: &str, fits: impl Fn(&str) -> bool) -> bool {
    Fields::of(value).is_some_and(|fields| fields.0.iter().all(|(_, value)| fits(value)))
}
