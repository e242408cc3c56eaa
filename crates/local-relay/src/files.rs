use http::StatusCode;
use twentyfirst_protocol::files::{FileText, ReadFile, WrittenFile};

use crate::answers::{Answer, Refusal, json};
use crate::request::{Call, member, text};
use crate::sandbox::FileError;

/// `GET /v1/sandboxes/{sandboxId}/files`
pub(crate) async fn read(call: Call) -> Result<Answer, Refusal> {
    let path = call.path()?;
    let ReadFile { sandbox_id, .. } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    let content = record
        .sandbox
        .read(path.clone())
        .await
        .map_err(|error| refuse_read(&error))?;
    let content = String::from_utf8_lossy(&content);
    Ok(json(StatusCode::OK, &FileText::new(path, content)))
}

/// `POST /v1/sandboxes/{sandboxId}/files`
pub(crate) async fn write(call: Call) -> Result<Answer, Refusal> {
    let members = call.needed_members("path")?;
    let record = call.relay.record(&call.sandbox_id()?, &call.caller.team)?;
    let (files, single) = asked_for(&members)?;
    let mut written: Vec<WrittenFile> = Vec::with_capacity(files.len());
    for (path, content) in files {
        if written.iter().any(|file| file.path == path) {
            return Err(Refusal::internal(format!(
                "you cannot upload multiple files to the same path '{path}' in one upload request, only the first \
                 specified file was uploaded"
            )));
        }
        let size = content.encode_utf16().count() as u64;
        record
            .sandbox
            .write(path.clone(), content)
            .await
            .map_err(|error| refuse_write(&error))?;
        written.push(WrittenFile::new(path, Some(size)));
    }
    Ok(match written.pop() {
        Some(file) if single => json(StatusCode::OK, &file),
        last => {
            written.extend(last);
            json(StatusCode::OK, &serde_json::json!({ "files": written }))
        }
    })
}

/// The three forms in which files can be sent; whether it was the one for a single file.
fn asked_for(members: &crate::request::Members) -> Result<(Vec<(String, String)>, bool), Refusal> {
    if let (Some(path), Some(content)) = (text(members, "path"), member(members, "content")) {
        return Ok((vec![(path, content)], true));
    }
    #[derive(serde::Deserialize)]
    struct File {
        path: String,
        content: String,
    }
    let list: Option<Vec<File>> = member(members, "files");
    let map: Option<std::collections::BTreeMap<String, String>> = member(members, "files");
    let files: Vec<_> = match (list, map) {
        (Some(list), _) => list
            .into_iter()
            .map(|file| (file.path, file.content))
            .collect(),
        (None, Some(map)) => map.into_iter().collect(),
        (None, None) => Vec::new(),
    };
    if files.is_empty() {
        return Err(Refusal::invalid_request(
            "Provide either {path, content} or {files}",
        ));
    }
    Ok((files, false))
}

pub(crate) fn refuse_write(error: &FileError) -> Refusal {
    Refusal::internal(match error {
        FileError::IsADirectory(path) => format!("path is a directory: {path}"),
        other => other.to_string(),
    })
}

fn refuse_read(error: &FileError) -> Refusal {
    Refusal::internal(error.to_string())
}
