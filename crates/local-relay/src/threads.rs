use http::StatusCode;
use twentyfirst_protocol::threads::{CreateThread, DeleteThread, GetThread, ListThreads};
use twentyfirst_protocol::{ErrorCode, ThreadId};

use crate::answers::{Answer, Refusal, empty, json};
use crate::request::Call;

/// `GET /v1/sandboxes/{sandboxId}/threads`
pub(crate) async fn list(call: Call) -> Result<Answer, Refusal> {
    let ListThreads { sandbox_id, .. } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    let threads: Vec<_> = record.change(|state| {
        let newest_first = state.threads.iter().rev();
        newest_first.map(|thread| thread.summary(true)).collect()
    });
    Ok(json(StatusCode::OK, &threads))
}

/// `POST /v1/sandboxes/{sandboxId}/threads`
pub(crate) async fn create(call: Call) -> Result<Answer, Refusal> {
    call.needed_members("name")?;
    let CreateThread {
        sandbox_id, name, ..
    } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    let thread = record.add_thread(name).ok_or_else(Refusal::crash)?;
    Ok(json(StatusCode::CREATED, &thread))
}

/// `GET /v1/sandboxes/{sandboxId}/threads/{threadId}`
pub(crate) async fn get(call: Call) -> Result<Answer, Refusal> {
    let GetThread {
        sandbox_id,
        thread_id,
        ..
    } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    check_uuid(thread_id.as_str(), "an_threads")?;
    let thread = record.with_thread(&thread_id, |thread| thread.thread.clone());
    let thread = thread.ok_or_else(|| not_found(&thread_id, ""))?;
    Ok(json(StatusCode::OK, &thread))
}

/// `DELETE /v1/sandboxes/{sandboxId}/threads/{threadId}`
pub(crate) async fn delete(call: Call) -> Result<Answer, Refusal> {
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

/// `place` is said by some routes and not by others.
pub(crate) fn not_found(id: &ThreadId, place: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        ErrorCode::ThreadNotFound,
        format!("Thread \"{id}\" not found{place}"),
    )
}

/// Ids of threads and vaults are UUIDs in the relay's database, which takes no other text.
pub(crate) fn check_uuid(id: &str, table: &str) -> Result<(), Refusal> {
    match uuid::Uuid::try_parse(id) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::internal(failed_query(id, table))),
    }
}

pub(crate) fn failed_query(id: &str, table: &str) -> String {
    format!("Failed query: select from \"{table}\" where \"id\" = $1\nparams: {id}")
}
