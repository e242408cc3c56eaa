//! The file endpoints, with the quirks of the relay, of its framework and of its sandbox provider.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use twentyfirst_protocol::ErrorCode;
use twentyfirst_protocol::files::{FileText, WriteFiles, WrittenFile};

use crate::request::{
    Call, Members, Payload, announces_body, collect, is_json, member, text, too_large,
};
use crate::responses::{Refusal, RelayResponse, empty, json_response, stream};
use crate::sandbox::{FileError, Files, Sandbox};

/// The size of a piece of a file in a response, and the number of pieces between file and connection.
const PIECE_SIZE: usize = 64 * 1024;
const BUFFERED_PIECES: usize = 2;

/// `GET /v1/sandboxes/{sandboxId}/files`
pub(crate) async fn read(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    let content = call.sandbox()?.read(path.clone()).await.map_err(internal)?;
    let content = String::from_utf8_lossy(&content);
    Ok(json_response(StatusCode::OK, &FileText::new(path, content)))
}

/// `GET /v1/sandboxes/{sandboxId}/files?format=blob`
pub(crate) async fn read_bytes(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    let (file, length) = open_to_read(&call.sandbox()?, path.clone()).await?;
    if length == 0 {
        return Ok(empty_file_error("blob.arrayBuffer is not a function"));
    }
    // The file may grow meanwhile, but the response must not exceed its announced length.
    let mut response = content_of(file.take(length));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    // The provider derives the type from the file name.
    if path.ends_with(".json") {
        let kind = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// `GET /v1/sandboxes/{sandboxId}/files?format=stream`
pub(crate) async fn read_stream(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    let (file, length) = open_to_read(&call.sandbox()?, path).await?;
    if length == 0 {
        return Ok(empty_file_error(
            "The \"readableStream\" argument must be an instance of ReadableStream. Received type string ('')",
        ));
    }
    Ok(content_of(file))
}

/// Streams a file of any length, with only a few pieces in memory.
fn content_of(mut file: impl AsyncRead + Send + Unpin + 'static) -> RelayResponse {
    let (pieces, body) = mpsc::channel(BUFFERED_PIECES);
    tokio::spawn(async move {
        let mut piece = vec![0; PIECE_SIZE];
        loop {
            let piece = match file.read(&mut piece).await {
                Ok(0) => break,
                Ok(length) => Ok(Bytes::copy_from_slice(&piece[..length])),
                Err(error) => Err(error),
            };
            let has_failed = piece.is_err();
            // Sending fails once the client has left.
            if pieces.send(piece).await.is_err() || has_failed {
                break;
            }
        }
    });
    stream(body)
}

/// `POST /v1/sandboxes/{sandboxId}/files`
pub(crate) async fn write(call: Call) -> Result<RelayResponse, Refusal> {
    let members = call.needed_members("path")?;
    let sandbox = call.sandbox()?;
    let (files, single) = files_in(&call, &members)?;
    let mut written: Vec<WrittenFile> = Vec::with_capacity(files.len());
    for FileText { path, content, .. } in files {
        if written.iter().any(|file| file.path == path) {
            return Err(Refusal::internal(format!(
                "you cannot upload multiple files to the same path '{path}' in one upload request, only the first \
                 specified file was uploaded"
            )));
        }
        // The relay reports the length of a JavaScript string: UTF-16 code units.
        let size = content.encode_utf16().count() as u64;
        sandbox
            .write(path.clone(), content)
            .await
            .map_err(|error| refuse_write(&error))?;
        written.push(WrittenFile::new(path, Some(size)));
    }
    Ok(match written.as_slice() {
        [file] if single => json_response(StatusCode::OK, file),
        files => json_response(StatusCode::OK, &json!({ "files": files })),
    })
}

/// `POST /v1/sandboxes/{sandboxId}/files?format=blob`
pub(crate) async fn write_bytes(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.query("path").ok_or_else(|| {
        Refusal::invalid_request("path query parameter is required for blob writes")
    })?;
    let sandbox = call.sandbox()?;
    let body = match call.payload {
        Payload::Raw(body) if announces_body(&call.head.headers) => body,
        _ => {
            return Err(Refusal::invalid_request(
                "blob writes require a binary request body",
            ));
        }
    };
    let content = collect(body).await?.ok_or_else(too_large)?;
    let size = content.len() as u64;
    sandbox
        .write(path.clone(), content)
        .await
        .map_err(|error| refuse_write(&error))?;
    Ok(json_response(
        StatusCode::OK,
        &WrittenFile::new(path, Some(size)),
    ))
}

/// `POST /v1/sandboxes/{sandboxId}/files?format=stream`
pub(crate) async fn write_stream(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.query("path").ok_or_else(|| {
        Refusal::invalid_request("path query parameter is required for stream writes")
    })?;
    let sandbox = call.sandbox()?;
    let size = call
        .head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let body = match call.payload {
        Payload::Raw(body) if !is_json(&call.head.headers) => body,
        // The relay's framework has consumed a JSON body before the handler runs.
        _ => {
            return Err(Refusal::internal(
                "Response body object should not be disturbed or locked",
            ));
        }
    };
    let file = {
        let path = path.clone();
        sandbox
            .blocking(move |files| files.open_to_write(&path))
            .await
            .map_err(|error| refuse_write(&error))?
    };
    if let Err(error) = copy(body, File::from_std(file.into_std())).await {
        // Remove the incomplete file, which a reader could not tell from a complete one.
        let incomplete = path.clone();
        sandbox
            .blocking(move |files| files.remove(&incomplete))
            .await
            .ok();
        return Err(internal(FileError::Io {
            path,
            source: error,
        }));
    }
    Ok(json_response(StatusCode::OK, &WrittenFile::new(path, size)))
}

/// `DELETE /v1/sandboxes/{sandboxId}/files`
pub(crate) async fn remove(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    call.files(move |files| files.remove(&path))
        .await?
        .map_err(internal)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `GET /v1/sandboxes/{sandboxId}/files/list`
pub(crate) async fn list(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    let depth = match call.query("depth") {
        Some(depth) => leading_number(&depth).ok_or_else(|| {
            Refusal::invalid_request("depth must be a non-negative integer when provided")
        })?,
        None => 1,
    };
    // The provider refuses 0.
    if depth == 0 {
        return Err(Refusal::internal(
            "[invalid_argument] depth should be at least one",
        ));
    }
    let entries = call
        .files(move |files| files.list(&path, depth))
        .await?
        .map_err(|error| match error {
            FileError::NotADirectory(path) => Refusal::internal(format!(
                "[invalid_argument] path is not a directory: {path}"
            )),
            other => not_found_or_internal(other),
        })?;
    Ok(json_response(StatusCode::OK, &entries))
}

/// `GET /v1/sandboxes/{sandboxId}/files/info`
pub(crate) async fn info(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    let entry = call
        .files(move |files| files.info(&path))
        .await?
        .map_err(not_found_or_internal)?;
    Ok(json_response(StatusCode::OK, &entry))
}

/// `GET /v1/sandboxes/{sandboxId}/files/exists`
pub(crate) async fn exists(call: Call) -> Result<RelayResponse, Refusal> {
    let path = call.path()?;
    let exists = call
        .files(move |files| Ok(files.exists(&path)))
        .await?
        .map_err(internal)?;
    Ok(json_response(StatusCode::OK, &exists))
}

/// `POST /v1/sandboxes/{sandboxId}/files/mkdir`
pub(crate) async fn make_dir(call: Call) -> Result<RelayResponse, Refusal> {
    let members = call.members().ok_or_else(Refusal::crash)?;
    let path =
        text(&members, "path").ok_or_else(|| Refusal::invalid_request("path is required"))?;
    let is_new = call
        .files(move |files| files.make_dir(&path))
        .await?
        .map_err(|error| match error {
            FileError::NotADirectory(path) => Refusal::internal(format!(
                "[invalid_argument] path already exists but it is not a directory: {path}"
            )),
            other => internal(other),
        })?;
    Ok(json_response(StatusCode::OK, &is_new))
}

/// `POST /v1/sandboxes/{sandboxId}/files/rename`
pub(crate) async fn rename(call: Call) -> Result<RelayResponse, Refusal> {
    let members = call.members().ok_or_else(Refusal::crash)?;
    let (Some(old), Some(new)) = (text(&members, "oldPath"), text(&members, "newPath")) else {
        return Err(Refusal::invalid_request("oldPath and newPath are required"));
    };
    let entry = call
        .files(move |files| files.rename(&old, &new))
        .await?
        .map_err(not_found_or_internal)?;
    Ok(json_response(StatusCode::OK, &entry))
}

impl Call {
    fn sandbox(&self) -> Result<Sandbox, Refusal> {
        let record = self.relay.record(&self.sandbox_id()?, &self.caller.team)?;
        Ok(record.sandbox.clone())
    }

    async fn files<T: Send + 'static>(
        &self,
        action: impl FnOnce(&Files) -> Result<T, FileError> + Send + 'static,
    ) -> Result<Result<T, FileError>, Refusal> {
        Ok(self.sandbox()?.blocking(action).await)
    }
}

/// Returns the text files of a request, and whether it has the form for a single file.
fn files_in(call: &Call, members: &Members) -> Result<(Vec<FileText>, bool), Refusal> {
    if let (Some(path), Some(content)) = (text(members, "path"), member(members, "content")) {
        let content: String = content;
        return Ok((vec![FileText::new(path, content)], true));
    }
    // A `files` member that is neither an object nor an array counts as no files.
    let write = call.operation::<WriteFiles>();
    let mut files = write.map(|write| write.files).unwrap_or_default();
    // Only an object: an array may name a path twice, which is an error.
    let is_object = members
        .get("files")
        .is_some_and(|files| files.get().starts_with('{'));
    if is_object {
        files = each_once(files);
    }
    if files.is_empty() {
        return Err(Refusal::invalid_request(
            "Provide either {path, content} or {files}",
        ));
    }
    Ok((files, false))
}

/// Removes duplicate members as JavaScript does: the last content of a path, at the position of its first.
fn each_once(files: Vec<FileText>) -> Vec<FileText> {
    let mut places = HashMap::new();
    let mut unique: Vec<FileText> = Vec::with_capacity(files.len());
    for file in files {
        match places.entry(file.path.clone()) {
            Entry::Occupied(place) => unique[*place.get()] = file,
            Entry::Vacant(place) => {
                place.insert(unique.len());
                unique.push(file);
            }
        }
    }
    unique
}

async fn open_to_read(sandbox: &Sandbox, path: String) -> Result<(File, u64), Refusal> {
    let (file, length) = sandbox
        .blocking(move |files| files.open_to_read(&path))
        .await
        .map_err(internal)?;
    Ok((File::from_std(file.into_std()), length))
}

/// Returns the 500 for an empty file. The provider's library returns an empty string in place of the blob or the stream, and the
/// relay's handler crashes on it, after it has set the content type.
fn empty_file_error(message: &str) -> RelayResponse {
    let mut response = RelayResponse::from(Refusal::internal(message));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Writes a body to a file piece by piece.
async fn copy(mut body: Incoming, mut file: File) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(io::Error::other)?.into_data() {
            file.write_all(&piece).await?;
        }
    }
    file.flush().await
}

/// Parses leading digits and ignores the rest, as `parseInt` does.
fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

pub(crate) fn refuse_write(error: &FileError) -> Refusal {
    Refusal::internal(match error {
        FileError::IsADirectory(path) => format!("path is a directory: {path}"),
        other => other.to_string(),
    })
}

fn not_found_or_internal(error: FileError) -> Refusal {
    match error {
        FileError::Missing(path) => Refusal::new(
            StatusCode::NOT_FOUND,
            ErrorCode::FileNotFound,
            format!("Path \"{path}\" not found"),
        ),
        other => internal(other),
    }
}

fn internal(error: FileError) -> Refusal {
    Refusal::internal(error.to_string())
}
