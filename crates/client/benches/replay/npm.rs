use std::process::Command;

use crate::ticking::PACE;
use crate::{CHUNKS, REPLAYS, Result};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/replay/npm");

/// Measures npm `resumable-stream` on Node, over this Redis.
pub(crate) fn measure(redis: &str, streams: usize, deltas: u32, rounds: usize) -> Result<()> {
    if Command::new("node").arg("--version").output().is_err() {
        println!("\nskipped npm `resumable-stream`: there is no node");
        return Ok(());
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--silent", "--no-audit", "--no-fund"]);
    run(install.current_dir(FOLDER))?;
    println!("\nnpm `resumable-stream`, on Node");
    let pace = PACE.as_millis().to_string();
    let mut peer = Command::new("node");
    peer.args(["peer.mjs", &streams.to_string(), &pace, &deltas.to_string()]);
    peer.args([rounds, CHUNKS as usize, REPLAYS].map(|it| it.to_string()));
    run(peer.env("REDIS_URL", redis).current_dir(FOLDER))
}

fn run(command: &mut Command) -> Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} fails").into()),
    }
}
