//! Outputs of the script, and outputs that it never writes.

use proptest::prelude::*;
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::flow::drive::finish;
use twentyfirst_protocol::processes::{
    ExitStatus, KillProcess, ListProcesses, Offsets, ProcessId, ProcessState, Spawn,
};
use twentyfirst_protocol::sandboxes::{ExecOutput, Sandbox};

use crate::support::{CommandResult, Relay, process, sandbox};

/// Returns the result of each call for this output.
fn read(output: &ExecOutput) -> Vec<String> {
    let options = CallOptions::new();
    let relay = || Relay::new(|_, _| CommandResult::Output(output.clone()));
    let p = process("p");
    let spawn = Spawn::new(sandbox(), &p.id, "true").env("TOKEN", "s3cr3t");
    vec![
        shown(
            "spawn",
            &finish(&mut spawn.flow(&options, 7).unwrap(), &mut relay()),
        ),
        shown(
            "output",
            &finish(
                &mut p.output(Offsets::START, &options, 7).unwrap(),
                &mut relay(),
            ),
        ),
        shown(
            "status",
            &finish(&mut p.status(&options, 7).unwrap(), &mut relay()),
        ),
        shown(
            "kill",
            &finish(
                &mut KillProcess::new(p.clone()).flow(&options, 7).unwrap(),
                &mut relay(),
            ),
        ),
        shown(
            "write",
            &finish(&mut p.write_stdin("x", &options, 7).unwrap(), &mut relay()),
        ),
        shown(
            "close",
            &finish(&mut p.close_stdin(&options, 7).unwrap(), &mut relay()),
        ),
        shown(
            "remove",
            &finish(&mut p.remove(&options, 7).unwrap(), &mut relay()),
        ),
        shown(
            "list",
            &finish(
                &mut ListProcesses::new(sandbox()).flow(&options, 7).unwrap(),
                &mut relay(),
            ),
        ),
    ]
}

fn shown<T: std::fmt::Debug, E: std::fmt::Display>(call: &str, result: &Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{call}: {value:?}"),
        Err(error) => format!("{call}: {error}"),
    }
}

#[test]
fn each_call_reports_each_state() {
    let mut told = String::new();
    for lines in [
        "state exited 0 -\n",
        "state gone\n",
        "state unknown\n",
        "state starting\n",
        "state exited 137 timeout\ninput none\n",
        "state exited 0\n",
        "state 7\n",
        "stdout !\nstate exited 0 -\n",
        "other\nstate exited 0 -\ninput closed\n",
        "",
    ] {
        let output = ExecOutput::new(0, format!("{lines}end\n"), "");
        told += &format!("{lines:?}\n  {}\n", read(&output).join("\n  "));
    }
    for output in [
        ExecOutput::new(0, "state runn", ""),
        ExecOutput::new(127, "", "sh: 7: base64: not found, TOKEN=s3cr3t\n"),
        ExecOutput::new(-1, "", ""),
    ] {
        told += &format!("{output:?}\n  {}\n", read(&output).join("\n  "));
    }
    let spawned = told
        .lines()
        .filter(|line| line.trim().starts_with("spawn:"));
    assert!(spawned.into_iter().all(|line| !line.contains("s3cr3t")));
    insta::assert_snapshot!(told);
}

#[test]
fn a_list_is_read() {
    let text = "process a\nstate exited 1 -\npid 12\nstarted 1700000000\ncommand ZXhpdCAx\n\
                process b-2\nstate running\nend\n";
    let mut relay = Relay::new(|_, _| CommandResult::Output(ExecOutput::new(0, text, "")));
    let options = CallOptions::new();
    let list = finish(
        &mut ListProcesses::new(sandbox()).flow(&options, 7).unwrap(),
        &mut relay,
    );
    let list = list.unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].state, ProcessState::Exited(ExitStatus::new(1)));
    assert_eq!(
        (list[0].command.as_str(), list[0].pid),
        ("exit 1", Some(12))
    );
    insta::assert_snapshot!(
        serde_json::to_string(&list[0]).unwrap(),
        @r#"{"id":"a","state":{"state":"exited","code":1,"timedOut":false},"command":"exit 1","pid":12,"startedAt":{"secs_since_epoch":1700000000,"nanos_since_epoch":0}}"#
    );
}

#[test]
fn the_address_of_a_port_is_known_for_e2b_alone() {
    let url = |json: &str, port| {
        let sandbox: Sandbox = serde_json::from_str(json).unwrap();
        match sandbox.preview_url(port) {
            Ok(url) => url.to_string(),
            Err(error) => error.to_string(),
        }
    };
    let of = |provider: &str, machine: &str| {
        let json = format!(r#"{{"id":"s","status":"active"{provider}{machine}}}"#);
        url(&json, 3000)
    };
    let e2b = r#","provider":"e2b""#;
    insta::assert_snapshot!(of(e2b, r#","sandboxId":"i62mff4ahtr""#), @"https://3000-i62mff4ahtr.e2b.app/");
    insta::assert_snapshot!(of("", r#","sandboxId":"i6""#), @"the address of a port is unknown: the relay names no provider of the sandbox; read the sandbox first");
    insta::assert_snapshot!(of(r#","provider":"daytona""#, ""), @"the address of a port is unknown for the provider `daytona`: only `e2b` is supported");
    let none = "the address of a port is unknown: the relay names no machine that can be part of a host name";
    let long = format!(r#","sandboxId":"{}""#, "x".repeat(59));
    for machine in [
        "",
        r#","sandboxId":"a.evil.example/""#,
        r#","sandboxId":"a@b""#,
        r#","sandboxId":"a-""#,
        &long,
    ] {
        assert_eq!(of(e2b, machine), none, "{machine}");
    }
}

proptest! {
    #[test]
    fn no_output_makes_a_call_panic(
        stdout in "((state|stdout|stderr|process|pid|started|command|input|port)? ?[ -~]{0,12}\n){0,6}(end\n)?",
        exit_code in prop_oneof![Just(0), any::<i32>()],
    ) {
        // A process that is always reported as running is polled forever.
        prop_assume!(!stdout.contains("running"));
        read(&ExecOutput::new(exit_code, stdout, "said"));
    }

    #[test]
    fn an_id_has_no_special_meaning_in_shells_and_paths(text in "[a-c./$' _-]{0,70}|\\PC{0,10}") {
        let plain = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
        let is_id = text.len() <= 64
            && text.chars().all(plain)
            && text.starts_with(|char: char| char.is_ascii_alphanumeric());
        prop_assert_eq!(ProcessId::new(text).is_ok(), is_id);
    }

    #[test]
    fn a_random_id_is_an_id(number: u64) {
        let id = ProcessId::random(number);
        prop_assert_eq!(&ProcessId::new(id.as_str()).unwrap(), &id);
    }
}
