//! The requests of process calls.

use std::time::Duration;

use twentyfirst_protocol::flow::drive::finish;
use twentyfirst_protocol::processes::{
    KillProcess, ListProcesses, ProcessId, SCRIPT, Spawn, WaitForPort,
};
use twentyfirst_protocol::sandboxes::{Exec, ExecOutput};
use twentyfirst_protocol::{CallOptions, Secret};

use crate::support::{CommandResult, Relay, process, sandbox};

/// Returns the request without the script, and with the values of the variables, which are nowhere else in it.
fn shown(exec: &Exec) -> String {
    let script = format!("'{}'", SCRIPT.replace('\'', r"'\''"));
    assert_eq!(exec.command.matches(&script).count(), 1);
    let command = exec.command.replace(&script, "SCRIPT");
    let envs: Vec<_> = exec
        .envs
        .iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.expose()))
        .collect();
    format!(
        "{command}\n  cwd {:?}, envs {envs:?}, timeout {:?}\n",
        exec.cwd, exec.timeout
    )
}

#[test]
fn each_call_sends_the_script_with_its_function() {
    let mut sent = String::new();
    let mut relay = Relay::new(|exec: Exec, _| {
        sent += &shown(&exec);
        CommandResult::Output(ExecOutput::new(0, "state exited 0 -\nend\n", ""))
    });
    let (options, p) = (CallOptions::new(), process("p"));
    let spawn = Spawn::new(
        sandbox(),
        ProcessId::new("p").unwrap(),
        "echo 'it''s' \"$A\"",
    )
    .cwd("/srv")
    .env("A", "one")
    .envs([("B-b", Secret::from("two"))])
    .stdin(true)
    .timeout(Duration::from_millis(1500));
    finish(&mut spawn.flow(&options, 7).unwrap(), &mut relay).unwrap();
    finish(&mut p.wait(&options, 7).unwrap(), &mut relay).unwrap();
    let grace = KillProcess::new(p.clone()).grace(Duration::from_millis(120));
    finish(&mut grace.flow(&options, 7).unwrap(), &mut relay).unwrap();
    finish(&mut p.close_stdin(&options, 7).unwrap(), &mut relay).unwrap();
    finish(&mut p.remove(&options, 7).unwrap(), &mut relay).unwrap();
    finish(&mut p.status(&options, 7).unwrap(), &mut relay).unwrap_err();
    finish(
        &mut ListProcesses::new(sandbox()).flow(&options, 7).unwrap(),
        &mut relay,
    )
    .unwrap_err();
    let port = WaitForPort::new(sandbox(), 3000).timeout(Duration::from_secs(5));
    finish(&mut port.flow(&options, 7).unwrap(), &mut relay).unwrap();
    insta::assert_snapshot!(sent);
}

#[test]
fn input_is_sent_in_pieces_each_with_a_nonce_of_its_own() {
    let mut pieces = Vec::new();
    let mut cuts = [false, true, false, false].into_iter();
    let mut relay = Relay::new(|exec: Exec, _| {
        let words = crate::support::words(&exec);
        pieces.push((words[2].to_owned(), words[3].to_owned(), words[4].len()));
        assert!(exec.command.len() < 128 * 1024);
        match cuts.next() {
            Some(true) => CommandResult::Cut,
            _ => CommandResult::Output(ExecOutput::new(0, "state running\nend\n", "")),
        }
    });
    let input = vec![7; 64 * 1024 + 10];
    let mut write = process("p")
        .write_stdin(input, &CallOptions::new(), 7)
        .unwrap();
    finish(&mut write, &mut relay).unwrap();
    let data = "data".to_owned();
    let piece = |number, length| (format!("0000000000000007-{number}"), data.clone(), length);
    // The second piece was cut off and is sent again unchanged.
    assert_eq!(pieces, [piece(1, 87_384), piece(2, 16), piece(2, 16)]);
}

#[test]
fn invalid_requests_are_refused() {
    let (options, p) = (CallOptions::new(), process("p"));
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let spawn = |command: &str| Spawn::new(sandbox(), &p.id, command);
    let mut refused = Vec::new();
    for spawn in [
        spawn(""),
        spawn("a\0b"),
        spawn(&"x".repeat(100 * 1024)),
        spawn("true").env("", "x"),
        spawn("true").env("A=B", "x"),
    ] {
        refused.push(spawn.flow(&options, 7).unwrap_err().to_string());
    }
    let kill = KillProcess::new(p.clone()).grace(minutes(6));
    refused.push(kill.flow(&options, 7).unwrap_err().to_string());
    for wait in [
        WaitForPort::new(sandbox(), 0),
        WaitForPort::new(sandbox(), 1).timeout(minutes(10)),
    ] {
        refused.push(wait.flow(&options, 7).unwrap_err().to_string());
    }
    for id in ["", "../x", &"x".repeat(65)] {
        refused.push(ProcessId::new(id).unwrap_err().to_string());
    }
    insta::assert_snapshot!(refused.join("\n"));
}
