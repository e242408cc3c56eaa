/// The bytes as text, if they are UTF-8.
#[inline]
pub(crate) fn utf_8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// The last place at or before `at` that stands between two characters of `text`.
pub(crate) fn char_boundary(text: &str, at: usize) -> usize {
    // `str::floor_char_boundary` takes Rust 1.91.
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}
