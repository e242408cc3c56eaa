//! The chat endpoints: starting, resuming and cancelling runs.
//!
//! ```text
//!   POST ─► check the request ─► find or create the sandbox ─► check the budget ─► find or create the thread
//!                                                                                        │
//!      response when the start-up is over, or 202 at once ◄── runs::start ◄── thread: streaming
//!
//!   thread: idle ─► streaming ─► completed | error | cancelled      (see `runs` for the rest)
//!              ▲        │
//!              └────────┴── the next POST
//! ```
//!
//! The order of the checks and the texts of the errors are the relay's: clients see which check failed first.

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};
use twentyfirst_protocol::runs::{
    BackgroundRun, CancelStatus, CancelStream, Cancelled, ResumeStream, RunOptions,
};
use twentyfirst_protocol::threads::{ThreadStatus, name_after};
use twentyfirst_protocol::ui::{Part, UiMessage};
use twentyfirst_protocol::{ErrorCode, SandboxId, ThreadId, Timestamp};
use uuid::{Uuid, Version};

use crate::auth::Credential;
use crate::records::Record;
use crate::request::{Call, Members, member, text};
use crate::responses::{Refusal, RelayResponse, empty, json_response};
use crate::runs::{self, NewRun};
use crate::threads::{check_uuid, not_found};

/// `POST /v1/chat/{agent}`
pub(crate) async fn send(call: Call) -> Result<RelayResponse, Refusal> {
    let slug = call.segment(2);
    let agent = call.relay.agent(&slug)?.clone();
    call.caller.may_chat_with(&slug)?;
    let members = call.needed_members("messages")?;
    let message = last_user_message(&members)?;
    let sandbox_id: SandboxId = text(&members, "sandboxId")
        .ok_or_else(|| Refusal::invalid_request("sandboxId is required"))?
        .try_into()
        .map_err(|error: twentyfirst_protocol::InvalidRequest| {
            Refusal::invalid_request(error.to_string())
        })?;
    let (message, user_text) = turn(message)?;
    let options = options(&call, &members)?;
    check_external_user(&call, &members)?;
    check_vaults(&call, &members)?;
    let record = find_or_create_sandbox(&call, &slug, sandbox_id).await?;
    let budget = options
        .as_ref()
        .and_then(|options| options.max_sandbox_budget_usd)
        .or(agent.max_sandbox_budget_usd);
    check_budget(&record, budget)?;
    let thread_id = find_or_create_thread(&members, &record, &message)?;
    begin(&record, &thread_id);
    let sandbox_id = record.id.clone();
    let started = runs::start(NewRun {
        relay: Arc::clone(&call.relay),
        record,
        thread_id: thread_id.clone(),
        agent,
        message,
        text: user_text,
        options,
    });
    if text(&members, "mode").as_deref() == Some("background") {
        let run = BackgroundRun::running(sandbox_id, thread_id);
        return Ok(json_response(StatusCode::ACCEPTED, &run));
    }
    // Fails if the relay restarted during the start-up.
    let started = started.await.map_err(|_| Refusal::crash())?;
    Ok(runs::original(started.subscription, started.message_id))
}

/// `GET /v1/chat/{agent}/{sandboxId}/stream`
pub(crate) async fn resume(call: Call) -> Result<RelayResponse, Refusal> {
    let ResumeStream {
        agent, sandbox_id, ..
    } = call.operation()?;
    let record = streaming_record(&call, &agent, &sandbox_id)?;
    let stream = record.change(|state| {
        // The endpoint names no thread. The relay means the thread that was created last, not the run that started last.
        let newest = state
            .threads
            .iter()
            .rfind(|thread| thread.thread.status == ThreadStatus::Streaming)?;
        newest.stream.clone()
    });
    Ok(match stream {
        // The agent of a run that survived a restart has ended: the thread still streams, and there is nothing to resume.
        Some(stream) if stream.journal.feed.is_closed() => empty(StatusCode::NO_CONTENT),
        Some(stream) if !call.relay.faults.strikes_with_nothing() => {
            runs::joined(&call.relay, &stream.journal)
        }
        _ => empty(StatusCode::NO_CONTENT),
    })
}

/// `DELETE /v1/chat/{agent}/{sandboxId}/stream`
pub(crate) async fn cancel(call: Call) -> Result<RelayResponse, Refusal> {
    let CancelStream {
        agent, sandbox_id, ..
    } = call.operation()?;
    let record = streaming_record(&call, &agent, &sandbox_id)?;
    let cancelled = record.change(|state| {
        let newest = state
            .threads
            .iter_mut()
            .rfind(|thread| thread.thread.status == ThreadStatus::Streaming)?;
        // During the start-up there is no stream: the relay then says `idle`, and the run goes on.
        let stream = newest.stream.take()?;
        let now = Timestamp::from(SystemTime::now());
        // From now on the run cannot store its turn: it does so only while its thread is `streaming`.
        newest.thread.status = ThreadStatus::Cancelled;
        newest.thread.error = Some("cancelled: cancelled by user".to_owned());
        newest.thread.updated_at = Some(now.clone());
        newest.thread.completed_at = Some(now.clone());
        state.updated_at = now;
        stream.cancel();
        Some(stream.id.clone())
    });
    let cancelled = match cancelled {
        Some(stream_id) => Cancelled::new(CancelStatus::Cancelled, Some(stream_id)),
        None => Cancelled::new(CancelStatus::Idle, None),
    };
    let mut cancelled = json!(cancelled);
    cancelled["ok"] = true.into();
    Ok(json_response(StatusCode::OK, &cancelled))
}

fn streaming_record(
    call: &Call,
    slug: &str,
    sandbox_id: &SandboxId,
) -> Result<Arc<Record>, Refusal> {
    call.relay.agent(slug)?;
    call.caller.may_chat_with(slug)?;
    known(call, slug, sandbox_id)
        .filter(|record| record.team == call.caller.team)
        .ok_or_else(|| Refusal::sandbox_not_found(sandbox_id.as_str()))
}

/// Returns the last message of the user. It looks at nothing else in `messages`, as the relay does.
fn last_user_message(members: &Members) -> Result<Option<Members>, Refusal> {
    let messages: Vec<Members> = member(members, "messages").unwrap_or_default();
    if messages.is_empty() {
        return Err(Refusal::invalid_request(
            "messages is required and must not be empty",
        ));
    }
    let is_user = |message: &Members| text(message, "role").as_deref() == Some("user");
    Ok(messages.into_iter().rfind(is_user))
}

/// Returns the user's message and its text.
fn turn(message: Option<Members>) -> Result<(UiMessage, String), Refusal> {
    let message = message.ok_or_else(|| Refusal::invalid_request("No user message found"))?;
    // The relay's handler crashes on a message without parts, with this text.
    if !message.contains_key("parts") {
        return Err(Refusal::internal(
            "Cannot read properties of undefined (reading 'filter')",
        ));
    }
    let message: UiMessage = serde_json::to_string(&message)
        .and_then(|json| serde_json::from_str(&json))
        .map_err(|error| Refusal::invalid_request(error.to_string()))?;
    let texts: Vec<_> = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(part) => Some(part.text.to_string_lossy()),
            _ => None,
        })
        .collect();
    let text = texts.join("\n");
    if text.trim().is_empty() {
        return Err(Refusal::invalid_request("User message must contain text"));
    }
    Ok((message, text))
}

/// Returns the options, or none of them if one is invalid: the relay drops them without an error.
fn options(call: &Call, members: &Members) -> Result<Option<RunOptions>, Refusal> {
    // The relay treats `null` as invalid, while `RunOptions` reads it as absent.
    let given: Option<Members> = member(members, "options");
    let has_null = given
        .into_iter()
        .flatten()
        .any(|(_, value)| value.get() == "null");
    let options = member(members, "options")
        .filter(|options: &RunOptions| !has_null && options.validate().is_ok());
    let caps_sandbox = options
        .as_ref()
        .is_some_and(|options| options.max_sandbox_budget_usd.is_some());
    if caps_sandbox && !call.caller.may_cap_sandboxes() {
        return Err(Refusal::invalid_request(
            "maxSandboxBudgetUsd can only be set from an an_sk_ secret key request",
        ));
    }
    Ok(options)
}

/// Refuses an `externalUserId` other than that of the token.
fn check_external_user(call: &Call, members: &Members) -> Result<(), Refusal> {
    let (Credential::Token(claims), Some(user)) =
        (&call.caller.credential, text(members, "externalUserId"))
    else {
        return Ok(());
    };
    if claims.end_user_id.as_deref() == Some(user.trim()) {
        Ok(())
    } else {
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            ErrorCode::Forbidden,
            "externalUserId does not match the token",
        ))
    }
}

/// Checks that the requested vaults exist. Local agents do not use their credentials.
fn check_vaults(call: &Call, members: &Members) -> Result<(), Refusal> {
    let refuse = |status, message| Refusal::new(status, ErrorCode::VaultResolutionFailed, message);
    // The relay iterates over the value, and JavaScript iterates over a string letter by letter.
    let ids = match member(members, "vaultIds") {
        Some(Value::String(text)) => text
            .chars()
            .map(|letter| letter.to_string().into())
            .collect(),
        Some(Value::Array(ids)) => ids,
        _ => Vec::new(),
    };
    for id in ids {
        let id = id.as_str().unwrap_or_default();
        let is_v4 = id.len() == 36
            && Uuid::try_parse(id).is_ok_and(|id| id.get_version() == Some(Version::Random));
        if !is_v4 {
            let message = format!("Vault \"{id}\" is not a valid vault id");
            return Err(refuse(StatusCode::BAD_REQUEST, message));
        }
        if !call.relay.vaults.is_usable(id, &call.caller.team) {
            let message = format!("Vault \"{id}\" is not available in this workspace");
            return Err(refuse(StatusCode::FORBIDDEN, message));
        }
    }
    Ok(())
}

/// Returns the agent's sandbox with this id. Another agent may have a sandbox with the same id.
fn known(call: &Call, slug: &str, id: &SandboxId) -> Option<Arc<Record>> {
    let records = call.relay.records();
    records.iter().find(|record| record.is(id, slug)).cloned()
}

/// Returns the agent's sandbox with this id, and creates it if there is none.
async fn find_or_create_sandbox(
    call: &Call,
    slug: &str,
    id: SandboxId,
) -> Result<Arc<Record>, Refusal> {
    let record = match known(call, slug, &id) {
        Some(record) => record,
        None => {
            call.relay
                .create_sandbox(id, &call.caller.team, slug, Default::default())
                .await?
        }
    };
    if record.team == call.caller.team {
        Ok(record)
    } else {
        Err(Refusal::sandbox_not_found(record.id.as_str()))
    }
}

/// Refuses a run if the sandbox has spent its budget. A limit of 0 means no limit.
fn check_budget(record: &Record, limit: Option<f64>) -> Result<(), Refusal> {
    let spent = record.change(|state| state.spent_usd);
    match limit {
        Some(limit) if limit > 0.0 && spent >= limit => Err(Refusal::with(
            StatusCode::PAYMENT_REQUIRED,
            ErrorCode::BudgetExceeded,
            format!("Sandbox budget exceeded for \"{}\"", record.id),
            [
                ("scope", "sandbox".into()),
                ("sandboxId", record.id.as_str().into()),
                ("spentUsd", spent.into()),
                ("limitUsd", limit.into()),
            ],
        )),
        _ => Ok(()),
    }
}

/// Returns the requested thread, or the newest one, or a new one if the sandbox has none.
fn find_or_create_thread(
    members: &Members,
    record: &Record,
    turn: &UiMessage,
) -> Result<ThreadId, Refusal> {
    if let Some(id) = text(members, "threadId") {
        check_uuid(&id, "an_threads")?;
        let id = ThreadId::new(id).map_err(|error| Refusal::invalid_request(error.to_string()))?;
        return record
            .with_thread(&id, |thread| thread.thread.id.clone())
            .ok_or_else(|| not_found(&id, " in this sandbox"));
    }
    let newest = record.change(|state| {
        let newest = state.threads.last()?;
        Some(newest.thread.id.clone())
    });
    if let Some(newest) = newest {
        return Ok(newest);
    }
    let name = text(members, "name").unwrap_or_else(|| name_after(turn));
    let thread = record.add_thread(Some(name)).ok_or_else(Refusal::crash)?;
    Ok(thread.id)
}

/// Sets the thread to `streaming`, before there is a stream.
///
/// A start-up can take minutes. During this time, there is nothing to resume or to cancel, as at the relay.
fn begin(record: &Record, thread_id: &ThreadId) {
    let now = Timestamp::from(SystemTime::now());
    record.with_thread(thread_id, |thread| {
        thread.thread.status = ThreadStatus::Streaming;
        thread.thread.error = None;
        thread.thread.completed_at = None;
        thread.thread.updated_at = Some(now.clone());
        thread.stream = None;
    });
    record.change(|state| {
        state.error = None;
        state.updated_at = now;
    });
}
