//! Tests that `unused_must_use` finds a call that is never awaited, a flow that is never driven and the like: nothing would be sent.

macro_rules! must_be_used {
    ($($name:ident: $statement:literal;)*) => {$(
        #[doc = concat!(
            "```compile_fail\n#![deny(unused_must_use)]\n",
            "use twentyfirst_client::protocol::{runs::Started, sandboxes::Exec};\n",
            "use twentyfirst_client::{AgentClient, Error, FollowPolicy, RunRef, SandboxId, Session, StartRun};\n",
            "async fn example(client: AgentClient, session: Session, run: RunRef, started: Started) -> Result<(), Error> {\n",
            $statement, ";\nOk(())\n}\n```\n",
            // Compiles if the value is used, so nothing else is wrong with the statement.
            "```\n#![deny(unused_must_use)]\n",
            "use twentyfirst_client::protocol::{runs::Started, sandboxes::Exec};\n",
            "use twentyfirst_client::{AgentClient, Error, FollowPolicy, RunRef, SandboxId, Session, StartRun};\n",
            "async fn example(client: AgentClient, session: Session, run: RunRef, started: Started) -> Result<(), Error> {\n",
            "let _ = ", $statement, ";\nOk(())\n}\n```",
        )]
        struct $name;
    )*};
}

must_be_used! {
    Cancel: "client.threads().cancel(started.run)";
    CancelFlow: "run.cancel(client.options(), 7)?";
    CurrentRun: "session.current_run()?";
    FollowRun: "run.follow()";
    Hydrate: "session.hydrate()?";
    RunOfSession: "session.run(\"Hi\")";
    Operation: "Exec::new(SandboxId::new(\"sbx_1\")?, \"ls\")";
    Setter: "StartRun::new(\"my-agent\", \"Hi\").name(\"a\")";
    ExecCall: "client.sandboxes().exec(\"sbx_1\", \"ls\").cwd(\"/srv\")";
    Options: "client.options().follow(FollowPolicy::off())";
    Builder: "AgentClient::builder().api_key(\"k\")";
}
