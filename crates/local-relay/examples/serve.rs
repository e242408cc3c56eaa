//! Runs a local relay until standard input ends: `cargo run -p twentyfirst-local-relay --example serve -- 8080`
//!
//! Prints the URL and the key, each on a line. A number of seconds after the port, such as `8080 1`, cuts every stream after this time.

use std::error::Error;
use std::time::Duration;

use twentyfirst_local_relay::{Fault, LocalRelay};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut relay = LocalRelay::builder();
    if let Some(port) = arguments.next() {
        relay = relay.port(port.parse()?);
    }
    if let Some(seconds) = arguments.next() {
        let life = Duration::try_from_secs_f64(seconds.parse()?)?;
        relay = relay.fault(Fault::cut_after(life).always());
    }
    let relay = relay.start()?;
    println!("{}\n{}", relay.url(), relay.api_key());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
