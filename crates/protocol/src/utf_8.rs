/// The bytes as text, if they are UTF-8.
#[inline]
pub(crate) fn utf_8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}
