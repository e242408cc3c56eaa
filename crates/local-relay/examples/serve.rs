//! Runs a local relay until standard input ends: `cargo run -p twentyfirst-local-relay --example serve -- 8080`
//!
//! Prints its URL and its key, each on a line.

use std::error::Error;

use twentyfirst_local_relay::LocalRelay;

fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => 0,
    };
    let relay = LocalRelay::builder().port(port).start()?;
    println!("{}\n{}", relay.url(), relay.api_key());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
