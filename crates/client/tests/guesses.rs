//! Guesses at the API: forty everyday tasks, written by people who knew the documents of the Node client and the style of reqwest, kube
//! and the AWS SDK, but had not seen this crate. Guesses that compile are kept as they were written. There, `sandbox` is a handle
//! ([`AgentClient::sandbox`]), and `created` is the result of [`Sandboxes::create`](twentyfirst_client::Sandboxes::create). The other
//! guesses are comments, with the correct code below.
//!
//! Nothing here is run: it only has to compile.

#![expect(dead_code, reason = "it is compiled, not run")]

use std::time::Duration;

use futures_util::StreamExt;
use twentyfirst_client::{AgentClient, Run, Sandbox, SandboxHandle, Session};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// As it was guessed: 21 of 40.
async fn as_guessed(
    client: AgentClient,
    sandbox: SandboxHandle,
    created: Sandbox,
    run: Run,
) -> Result {
    let _ = AgentClient::from_env()?;
    let _ = AgentClient::new("an_sk_123");
    let _ = client.sandboxes().create("my-agent").send().await?;
    let _ = client
        .sandboxes()
        .create("my-agent")
        .env("DATABASE_URL", "postgres://...")
        .file("data/input.json", r#"{"items":[1,2,3]}"#)
        .setup(["npm install"])
        .timeout(Duration::from_secs(3600))
        .send()
        .await?;
    let detail = client.sandboxes().get("sbx_abc123").await?;
    println!("{} {:?}", detail.id, detail.status);
    client.sandboxes().delete(&created.id).await?;
    let _ = sandbox.exec("ls -la /home/user/repo").await?;
    let output = sandbox
        .exec("cargo test")
        .cwd("/home/user/repo")
        .env("RUST_LOG", "debug")
        .timeout(Duration::from_secs(30))
        .await?;
    if output.success() {
        println!("{}", output.stdout);
    } else {
        eprintln!("exit {}: {}", output.exit_code, output.stderr);
    }
    sandbox
        .files()
        .write("src/config.json", r#"{"debug":true}"#)
        .await?;
    sandbox
        .files()
        .write("logo.png", std::fs::read("logo.png")?)
        .await?;
    let _: String = sandbox.files().read_to_string("src/config.json").await?;
    sandbox
        .files()
        .upload_dir("./project", "/home/user/project")
        .await?;
    sandbox
        .files()
        .upload("./data.csv", "/home/user/data.csv")
        .await?;
    sandbox
        .files()
        .download("/home/user/report.pdf", "./report.pdf")
        .await?;
    sandbox
        .files()
        .download_dir("/home/user/out", "./out")
        .await?;
    let _ = client
        .threads()
        .create(&created.id)
        .name("Code Review")
        .send()
        .await?;
    for t in client.threads().list(&created.id).await? {
        println!("{} {:?}", t.id, t.status);
    }
    let _ = client
        .run("my-agent", "Review this")
        .model("claude-sonnet-4-6")
        .max_turns(25)
        .max_budget_usd(1.0)
        .system_prompt("Be terse")
        .disallowed_tools(["Bash"])
        .await?;
    run.cancel().await?;
    let _ = futures_util::future::join_all(
        ["a.rs", "b.rs"].map(|f| sandbox.exec(format!("wc -l {f}")).into_future()),
    )
    .await;
    let c = client.clone();
    let handle = tokio::spawn(async move { c.run("my-agent", "Hello").await });
    let _ = handle.await??;
    match client.sandboxes().get("sbx_x").await {
        Ok(s) => println!("{}", s.id),
        Err(e) if e.is_not_found() => {}
        Err(e) if e.is_timeout() || e.is_rate_limited() || e.is_retryable() => {
            tokio::time::sleep(e.retry_after().unwrap_or(Duration::from_secs(1))).await;
        }
        Err(e) => eprintln!("{:?} {:?}: {e}", e.status(), e.code()),
    }
    Ok(())
}

/// The wrong guesses, with the correct code.
async fn instead(client: AgentClient, sandbox: SandboxHandle, session: Session) -> Result {
    // .timeout(…).connect_timeout(…).max_retries(3): options, for a client or for one call.
    let quick = client.options().deadline(Duration::from_secs(20));
    let _ = client.vaults().list().with_options(quick).await?;
    // threads().get(…).messages.len(): a relay may leave the messages out.
    let thread = client.threads().get("sbx_abc123", "thr_xyz").await?;
    println!(
        "{} messages",
        thread.messages.map_or(0, |messages| messages.len())
    );
    // files().read_bytes(…)
    let _ = sandbox.files().read("logo.png").await?;
    // println!("{}", entry.size): a relay may leave the size out.
    for entry in sandbox.files().list("/home/user/repo").await? {
        println!("{} {:?}", entry.path, entry.size);
    }
    // git().clone(…): that is Rust's own.
    let clone = sandbox
        .git()
        .clone_repository("https://github.com/org/repo.git");
    let _ = clone
        .branch("main")
        .depth(1)
        .token(std::env::var("GITHUB_TOKEN")?)
        .await?;
    // reply.text(): the answer is still coming.
    let mut run = client.run("my-agent", "Find bugs in /src").await?;
    println!("{}", run.text().await?);
    // .stream().await?: a run is the stream.
    let mut run = client.run("my-agent", "Find bugs in /src").await?;
    while let Some(chunk) = run.next().await {
        println!("{:?}", chunk?);
    }
    // .sandbox(&sandbox.id).thread(&thread.id)
    let _ = client
        .run("my-agent", "Check order #1234")
        .sandbox_id(session.sandbox_id.as_ref().ok_or("no sandbox")?)
        .await?;
    // .background()
    let started = client
        .run("my-agent", "Refactor the crate")
        .in_background()
        .await?;
    println!("{} {}", started.run.sandbox_id, started.run.thread_id);
    // threads().resume(&sandbox_id, &thread_id)
    let mut run = client.threads().follow(&started)?;
    // reply.usage()
    println!("{:?}", run.outcome().await.usage);
    // thread.run("…")
    let _ = client
        .threads()
        .start(session.run("And now fix them"))
        .await?;
    // expires_in(Duration::from_secs(3600)): checked where it is made.
    let token = client.tokens().create().agent("my-agent");
    let token = token.user_id("user_123").expires_in("1h".parse()?).await?;
    println!("{} {}", token.token.expose(), token.expires_at);
    // exec("…").spawn()
    let build = sandbox
        .spawn("cargo build --release")
        .cwd("/home/user/repo")
        .await?;
    let mut output = build.output();
    while let Some(chunk) = output.next_chunk().await {
        print!("{}", String::from_utf8_lossy(&chunk?.bytes));
    }
    println!("{}", build.wait().await?);
    Ok(())
}
