//! Writes many text files in as many requests as needed.

use twentyfirst_protocol::files::{WriteFiles, WritePart, WrittenFile};
use twentyfirst_transport::Body;

use crate::client::AgentClient;
use crate::error::Error;

/// Writes the files in the given order. An error has the list of the files that were written before it.
pub(crate) async fn write_parts(
    client: AgentClient,
    operation: WriteFiles,
) -> Result<Vec<WrittenFile>, Error> {
    let mut written = Vec::new();
    for part in operation.parts()? {
        let result = match part {
            WritePart::Files(part) => client.execute(&part).await,
            WritePart::Long(part, text) => {
                // The stream route responds with bytes, the other one with UTF-16 code units. Callers get the latter for all files.
                let size = text_length(&text);
                let file = client.upload(&part, Body::from(text)).await;
                file.map(|file| vec![WrittenFile::new(file.path, Some(size))])
            }
        };
        match result {
            Ok(files) => written.extend(files),
            Err(error) => return Err(error.after_writing(written)),
        }
    }
    Ok(written)
}

/// Returns the length of a UTF-8 text in UTF-16 code units: two for each character of four bytes, one for any other.
fn text_length(text: &[u8]) -> u64 {
    let units = text.iter().map(|byte| match byte {
        0x80..0xc0 => 0,
        0xf0.. => 2,
        _ => 1,
    });
    units.sum()
}
