//! Lower bounds: the least work that finds the events of these loads, and less than that. Neither is a usable decoder.

use bytes::Bytes;
use twentyfirst_protocol::ui::Chunk;

/// Copies every piece into a buffer and releases it. Returns the number of pieces and of bytes.
pub(crate) fn copies(pieces: Vec<Bytes>) -> (usize, usize) {
    let mut buffer = Vec::new();
    let mut copied = (0, 0);
    for piece in pieces {
        if buffer.len() > 64 {
            buffer.clear();
        }
        buffer.extend_from_slice(&piece);
        copied.0 += 1;
        copied.1 += piece.len();
        std::hint::black_box(&buffer);
    }
    copied
}

/// Finds the line feeds, copies the lines, and decodes the text after `data: `: without limits, other fields, other line ends,
/// invalid UTF-8, or a caller who asks for one chunk at a time.
pub(crate) fn lines_and_chunks(pieces: Vec<Bytes>) -> (usize, usize) {
    let mut line = Vec::new();
    let mut read = (0, 0);
    for piece in pieces {
        let mut rest = &piece[..];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if let Some(data) = line.strip_prefix(b"data: ")
                && data != b"[DONE]"
            {
                let data = str::from_utf8(data).expect("the load is text");
                let chunk = Chunk::decode(data).expect("the load has only chunks");
                crate::count(&chunk, &mut read);
            }
            line.clear();
        }
        line.extend_from_slice(rest);
    }
    read
}
