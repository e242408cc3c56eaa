//! The setters of operations, as methods of calls. Each macro stands beside its operation in the protocol crate, and defines the
//! setters of both.

use std::time::Duration;

use serde_json::{Map, Value};
use twentyfirst_protocol::files::{ListFiles, WriteStream};
use twentyfirst_protocol::git::CloneRepository;
use twentyfirst_protocol::processes::{KillProcess, Spawn, WaitForPort};
use twentyfirst_protocol::runs::{PermissionMode, RunOptions, RunRef, StartRun, SystemPrompt};
use twentyfirst_protocol::sandboxes::{CreateSandbox, Exec};
use twentyfirst_protocol::threads::CreateThread;
use twentyfirst_protocol::tokens::{CreateToken, TokenLifetime};
use twentyfirst_protocol::vaults::{CreateVault, DeleteCredential, DeleteVault, UpdateVault};
use twentyfirst_protocol::{SandboxId, Secret, ThreadId, VaultId};

use super::Call;

twentyfirst_protocol::clone_repository_setters!();
twentyfirst_protocol::create_sandbox_setters!();
twentyfirst_protocol::create_thread_setters!();
twentyfirst_protocol::create_token_setters!();
twentyfirst_protocol::create_vault_setters!();
twentyfirst_protocol::delete_credential_setters!();
twentyfirst_protocol::delete_vault_setters!();
twentyfirst_protocol::exec_setters!();
twentyfirst_protocol::kill_process_setters!();
twentyfirst_protocol::list_files_setters!();
twentyfirst_protocol::run_options_setters!();
twentyfirst_protocol::spawn_setters!();
twentyfirst_protocol::start_run_setters!();
twentyfirst_protocol::update_vault_setters!();
twentyfirst_protocol::wait_for_port_setters!();
twentyfirst_protocol::write_stream_setters!();
