use super::image::Image;
use super::members::{Member as _, Members};
use super::part::{Part, ReasoningPart};
use super::ui_message::UiMessage;
use crate::ui::{RawJson, Text};

/// Reads a message of the older form `{role, content}`; `None` if it is not one.
pub(crate) fn message_with_content(raw: &str) -> Option<UiMessage> {
    let mut members = Members::from_json(raw)?;
    let role: Text<'static> = members.take("role")?;
    let parts = match members.take::<Text<'static>>("content") {
        Some(text) => vec![Part::text(text)],
        None => {
            let blocks = members.remove("content")?;
            let blocks: Vec<RawJson<'static>> = blocks.deserialize().ok()?;
            blocks.into_iter().map(part).collect()
        }
    };
    // Such a message may also have `parts` that cannot be read, such as `null`. Those of `content` replace them.
    members.remove("parts");
    let message = UiMessage::new(role.into(), parts);
    Some(UiMessage {
        id: members.take("id"),
        metadata: members.remove("metadata"),
        other: members,
        ..message
    })
}

fn part(block: RawJson<'static>) -> Part {
    let read = || {
        if let Some(text) = Text::read(&block) {
            return Some(Part::text(text));
        }
        let mut members = Members::from_json(block.get())?;
        match members.take::<Text<'static>>("type")?.as_str()? {
            "thinking" => {
                let mut part = ReasoningPart::new(members.take::<Text<'static>>("thinking")?);
                part.other = members;
                Some(Part::Reasoning(part))
            }
            "image" => image(&members).map(Part::from),
            _ => None,
        }
    };
    read().unwrap_or_else(|| Part::from_raw(block.clone(), false))
}

/// Reads `{source: {type: "base64", media_type, data}}`.
fn image(block: &Members) -> Option<Image> {
    let mut source = Members::from_json(block.get("source")?.get())?;
    let kind: Text<'static> = source.take("type")?;
    let media_type: Text<'static> = source.take("media_type")?;
    let data: Text<'static> = source.take("data")?;
    let url = format!("data:{};base64,{}", media_type.as_str()?, data.as_str()?);
    (kind == "base64").then(|| Image::from_url(url, media_type))
}
