use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::part::Part;
use crate::error::{InvalidRequest, Problem};
use crate::ui::{RawJson, Text};

/// An image for a user's message: see [`UiMessage::with_image`](super::UiMessage::with_image).
///
/// The message contains its bytes as a `data:` URL, or only its URL. The relay accepts requests of at most 10 MiB, and base64
/// takes a third more than the bytes, so all images of a history together may have 7.5 MiB.
///
/// ```
/// use twentyfirst_protocol::ui::{Image, UiMessage};
///
/// # let bytes = b"\x89PNG";
/// // let bytes = std::fs::read("shots/login.png")?;
/// let screenshot = Image::from_named_bytes("shots/login.png", bytes)?;
/// let question = UiMessage::user("What is wrong with this page?").with_image(screenshot);
/// assert_eq!(
///     serde_json::to_string(&question.parts[1])?,
///     r#"{"type":"data-image","data":{"url":"data:image/png;base64,iVBORw==","mediaType":"image/png","filename":"login.png"}}"#
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct Image {
    url: Text<'static>,
    media_type: Text<'static>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<Text<'static>>,
}

/// The known file name extensions of images.
const MEDIA_TYPES: [(&str, &str); 12] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("svg", "image/svg+xml"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
];

impl Image {
    /// Creates an image from its content and media type, such as `image/png`. The agent's model decides which types it can read;
    /// all models read PNG, JPEG, GIF and WebP.
    pub fn new(bytes: impl AsRef<[u8]>, media_type: impl Into<Text<'static>>) -> Self {
        let media_type = media_type.into();
        let mut url = format!("data:{};base64,", media_type.to_string_lossy());
        STANDARD.encode_string(bytes, &mut url);
        Self::from_url(url, media_type)
    }

    /// Creates an image from the content of a file and its name or path. This function reads no file: pass the bytes, for example
    /// from `std::fs::read`.
    ///
    /// The extension determines the media type: png, jpg, jpeg, gif, webp, avif, bmp, heic, heif, svg, tif or tiff, in upper or
    /// lower case. Only the last segment of a path is sent, as the image's name.
    ///
    /// # Errors
    /// The name has another extension, or none: use [`new`](Self::new).
    pub fn from_named_bytes(name: &str, bytes: impl AsRef<[u8]>) -> Result<Self, InvalidRequest> {
        let filename = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let end = filename.rsplit_once('.').map(|(_, end)| end);
        let known = MEDIA_TYPES
            .iter()
            .find(|(known, _)| end.is_some_and(|end| end.eq_ignore_ascii_case(known)));
        let Some((_, media_type)) = known else {
            let rule = "the name of an image, such as `a.png`";
            return Err(InvalidRequest::new("filename", Problem::MustBe(rule)));
        };
        Ok(Self::new(bytes, *media_type).filename(filename.to_owned()))
    }

    /// Creates an image from its `https:`, `http:` or `data:` URL and its media type. The relay must be able to reach the URL.
    pub fn from_url(url: impl Into<Text<'static>>, media_type: impl Into<Text<'static>>) -> Self {
        Self {
            url: url.into(),
            media_type: media_type.into(),
            filename: None,
        }
    }

    /// Sets the file name.
    pub fn filename(mut self, filename: impl Into<Text<'static>>) -> Self {
        self.filename = Some(filename.into());
        self
    }
}

/// Creates a `data-image` part, the form that the relay accepts: it silently drops `file` parts.
impl From<Image> for Part {
    fn from(image: Image) -> Self {
        // Writing three strings as JSON cannot fail.
        let data = RawJson::from_value(&image).unwrap_or_else(|_| RawJson::from_valid("null"));
        Self::data("image", data)
    }
}
