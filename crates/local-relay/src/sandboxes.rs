use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use twentyfirst_protocol::files::FileText;
use twentyfirst_protocol::sandboxes::{
    CreateSandbox, DeleteSandbox, Exec, GetSandbox, Sandbox, SandboxAgent, SandboxStatus,
};
use twentyfirst_protocol::{ErrorCode, Secret};

use crate::records::new_id;
use crate::request::{Call, text};
use crate::responses::{Refusal, RelayResponse, empty, json_response};
use crate::sandbox::{Command, ExecError};

/// `POST /v1/sandboxes`
pub(crate) async fn create(call: Call) -> Result<RelayResponse, Refusal> {
    let members = call.needed_members("agent")?;
    let slug = text(&members, "agent")
        .ok_or_else(|| Refusal::invalid_request("agent slug is required"))?;
    call.relay.agent(&slug)?;
    let create: CreateSandbox = call.operation()?;
    let envs = expose(create.envs);
    let record = call
        .relay
        .create_sandbox(new_id()?, &call.caller.team, &slug, envs)
        .await?;
    for FileText { path, content, .. } in create.files.unwrap_or_default() {
        record
            .sandbox
            .write(path, content)
            .await
            .map_err(|error| crate::files::refuse_write(&error))?;
    }
    for command in create.setup.unwrap_or_default() {
        let command = Command::new(command)
            .cwd("/home/user")
            .env("HOME", record.sandbox.path("/home/user"))
            .timeout(Duration::from_secs(600));
        // As at the relay, the call succeeds even if a command fails. It fails only if this relay refuses all commands.
        if let Err(error @ ExecError::Refused(_)) = record.sandbox.exec(command).await {
            return Err(Refusal::internal(error.to_string()));
        }
    }
    let sandbox = json!({
        "id": record.id,
        "sandboxId": record.machine_id,
        "status": SandboxStatus::Active,
        "createdAt": record.created_at,
    });
    Ok(json_response(StatusCode::CREATED, &sandbox))
}

/// `GET /v1/sandboxes/{sandboxId}`
pub(crate) async fn get(call: Call) -> Result<RelayResponse, Refusal> {
    let GetSandbox { sandbox_id, .. } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    let agent = call.relay.agent(&record.agent)?;
    let name = agent.name.clone().unwrap_or_else(|| record.agent.clone());
    let sandbox = record.change(|state| {
        let status = match state.error {
            Some(_) => SandboxStatus::Error,
            None => SandboxStatus::Active,
        };
        let mut sandbox = Sandbox::new(record.id.clone(), status);
        sandbox.machine_id = Some(record.machine_id.clone());
        sandbox.provider = Some("local".to_owned());
        sandbox.error.clone_from(&state.error);
        sandbox.agent = Some(SandboxAgent::new(record.agent.clone(), Some(name)));
        sandbox.threads = state
            .threads
            .iter()
            .rev()
            .map(|thread| thread.summary(false))
            .collect();
        sandbox.created_at = Some(record.created_at.clone());
        sandbox.updated_at = Some(state.updated_at.clone());
        sandbox
    });
    let mut sandbox = json!(sandbox);
    // The relay sends `null` if there is no error, where the type leaves the member out.
    if let Value::Object(members) = &mut sandbox {
        members.entry("error").or_insert(Value::Null);
    }
    Ok(json_response(StatusCode::OK, &sandbox))
}

/// `DELETE /v1/sandboxes/{sandboxId}`
pub(crate) async fn delete(call: Call) -> Result<RelayResponse, Refusal> {
    let DeleteSandbox { sandbox_id, .. } = call.operation()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    call.relay
        .records()
        .retain(|other| !Arc::ptr_eq(other, &record));
    // A run that goes on finds no thread, and stores nothing.
    record.change(|state| state.threads.clear());
    record.sandbox.close().await;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `POST /v1/sandboxes/{sandboxId}/exec`
pub(crate) async fn exec(call: Call) -> Result<RelayResponse, Refusal> {
    let members = call.needed_members("command")?;
    let sandbox_id = call.sandbox_id()?;
    let record = call.relay.record(&sandbox_id, &call.caller.team)?;
    text(&members, "command").ok_or_else(|| Refusal::invalid_request("command is required"))?;
    let exec: Exec = call.operation()?;
    let mut command = Command::new(exec.command);
    if let Some(cwd) = exec.cwd.filter(|cwd| !cwd.is_empty()) {
        command = command.cwd(cwd);
    }
    for (name, value) in expose(exec.envs) {
        command = command.env(name, value);
    }
    if let Some(timeout) = exec.timeout {
        command = command.timeout(timeout);
    }
    match record.sandbox.exec(command).await {
        Ok(output) => Ok(json_response(StatusCode::OK, &output)),
        Err(ExecError::TimedOut(_)) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::CommandTimeout,
            "Command execution timed out",
        )),
        Err(error) => Err(Refusal::internal(error.to_string())),
    }
}

fn expose(envs: Option<BTreeMap<String, Secret>>) -> BTreeMap<String, String> {
    envs.unwrap_or_default()
        .into_iter()
        .map(|(name, value)| (name, value.expose().to_owned()))
        .collect()
}
