//! The thread endpoints. `chat` describes the status of a thread, and `records` stores it.

use http::StatusCode;
use twentyfirst_protocol::threads::{CreateThread, DeleteThread, GetThread, ListThreads};
use twentyfirst_protocol::{ErrorCode, ThreadId};

use crate::request::Call;
use crate::responses::{Refusal, RelayResponse, empty, json_response};

/// `GET /v1/sandboxes/{sandboxId}/threads`
pub(crate) async fn list(call: Call) -> Result<RelayResponse, Refusal> {
    let ListThreads { sandbox_id, .. } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    let threads: Vec<_> = record.change(|state| {
        let newest_first = state.threads.iter().rev();
        newest_first.map(|thread| thread.summary(true)).collect()
    });
    Ok(json_response(StatusCode::OK, &threads))
}

/// `POST /v1/sandboxes/{sandboxId}/threads`
pub(crate) async fn create(call: Call) -> Result<RelayResponse, Refusal> {
    call.needed_members("name")?;
    let CreateThread {
        sandbox_id, name, ..
    } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    let thread = record.add_thread(name).ok_or_else(Refusal::crash)?;
    Ok(json_response(StatusCode::CREATED, &thread))
}

/// `GET /v1/sandboxes/{sandboxId}/threads/{threadId}`
pub(crate) async fn get(call: Call) -> Result<RelayResponse, Refusal> {
    let GetThread {
        sandbox_id,
        thread_id,
        ..
    } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    check_uuid(thread_id.as_str(), "an_threads")?;
    let thread = record.with_thread(&thread_id, |thread| thread.thread.clone());
    let thread = thread.ok_or_else(|| not_found(&thread_id, ""))?;
    Ok(json_response(StatusCode::OK, &thread))
}

/// `DELETE /v1/sandboxes/{sandboxId}/threads/{threadId}`
pub(crate) async fn delete(call: Call) -> Result<RelayResponse, Refusal> {
    let DeleteThread {
        sandbox_id,
        thread_id,
        ..
    } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    check_uuid(thread_id.as_str(), "an_threads")?;
    let deleted = record.change(|state| {
        let before = state.threads.len();
        state.threads.retain(|thread| thread.thread.id != thread_id);
        state.threads.len() < before
    });
    if deleted {
        Ok(empty(StatusCode::NO_CONTENT))
    } else {
        Err(not_found(&thread_id, ""))
    }
}

/// Returns the error for a missing thread. Only some routes end the message with a `place`.
pub(crate) fn not_found(id: &ThreadId, place: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        ErrorCode::ThreadNotFound,
        format!("Thread \"{id}\" not found{place}"),
    )
}

/// Refuses an id that is no UUID, as the relay's database does for threads and vaults.
pub(crate) fn check_uuid(id: &str, table: &str) -> Result<(), Refusal> {
    match uuid::Uuid::try_parse(id) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::internal(failed_query(id, table))),
    }
}

pub(crate) fn failed_query(id: &str, table: &str) -> String {
    format!("Failed query: select from \"{table}\" where \"id\" = $1\nparams: {id}")
}
