//! The protocol's flows over `ureq`: no async at all. The driver is the function `drive`.
//!
//! ```text
//! cargo run --example blocking
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io::Read;
use std::time::{Instant, SystemTime};

use twentyfirst_client::protocol::runs::StartRun;
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, DeleteSandbox, Exec};
use twentyfirst_client::protocol::ui::{Chunk, Decoder};
use twentyfirst_client::protocol::{
    ApiKey, BaseUrl, CallOptions, ExchangeError, Execute, Failure, Flow, Now, Operation,
    SendRequest, Sent, Slot, Step,
};
use twentyfirst_local_relay::LocalRelay;
use ureq::http::Response;

type Body = Box<dyn Read + Send>;

struct Relay {
    agent: ureq::Agent,
    base_url: BaseUrl,
    key: ApiKey,
}

impl Relay {
    fn send(&self, send: SendRequest) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        let mut request = send
            .request
            .map(twentyfirst_client::protocol::Body::into_bytes)
            .map(|body| body.to_vec());
        *request.uri_mut() = self.base_url.join(request.uri())?;
        self.key.authorize(&mut request);
        let request = self
            .agent
            .configure_request(request)
            .timeout_connect(send.timeouts.connect)
            .timeout_recv_response(send.timeouts.head)
            .timeout_global(send.timeouts.total)
            .build();
        Ok(self
            .agent
            .run(request)?
            .map(|body| Box::new(body.into_reader()) as Body))
    }

    /// Does what a flow asks for, until it is done: its output, and the body that is open then.
    fn drive<F: Flow<Item = Infallible>>(&self, mut flow: F) -> (F::Output, Option<Body>) {
        let mut open: Option<Body> = None;
        loop {
            match flow.poll(Now {
                mono: Instant::now(),
                wall: SystemTime::now(),
            }) {
                Step::Send(send) => {
                    let slot = send.slot;
                    match self.send(send).map(Response::into_parts) {
                        Err(error) => flow.handle_failure(slot, Failure::new(Sent::Maybe, error)),
                        Ok((head, body)) if slot == Slot::Stream => {
                            open = Some(body);
                            flow.handle_answer(slot, head, Vec::new().into());
                        }
                        Ok((head, body)) => {
                            let mut content = Vec::new();
                            match body.take(32 * 1024 * 1024).read_to_end(&mut content) {
                                Ok(_) => flow.handle_answer(slot, head, content.into()),
                                Err(error) => {
                                    flow.handle_failure(slot, Failure::new(Sent::Maybe, error))
                                }
                            }
                        }
                    }
                }
                Step::Read { until } => match &mut open {
                    Some(body) => {
                        let mut piece = vec![0; 16 * 1024];
                        match body.read(&mut piece) {
                            Ok(0) => flow.handle_end(),
                            Ok(length) => flow.handle_data(piece[..length].to_vec().into()),
                            Err(error) => {
                                flow.handle_failure(Slot::Stream, Failure::new(Sent::Maybe, error))
                            }
                        }
                    }
                    None => std::thread::sleep(
                        until.map_or_else(Default::default, |until| until - Instant::now()),
                    ),
                },
                Step::Close(_) => open = None,
                Step::Done(output) => return (output, open),
                Step::Item(never) => match never {},
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn execute<O: Operation>(&self, operation: &O) -> Result<O::Output, ExchangeError> {
        self.drive(Execute::new(operation, &CallOptions::new(), 0)?)
            .0
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let local = LocalRelay::start()?;
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build(),
    );
    let relay = Relay {
        agent,
        base_url: BaseUrl::new(local.url())?,
        key: ApiKey::new(local.api_key())?,
    };

    let sandbox = relay
        .execute(&CreateSandbox::new("shell").file("/home/user/notes.txt", "no async here\n"))?;
    print!(
        "{}",
        relay
            .execute(&Exec::new(&sandbox.id, "ls /home/user"))?
            .stdout
    );

    let start = StartRun::new("shell", "cat notes.txt").sandbox_id(&sandbox.id);
    let (started, body) = relay.drive(start.flow(None, &CallOptions::new(), 0)?);
    println!("Thread {}:", started?.thread_id);
    let (mut body, mut decoder, mut piece) = (body.ok_or("no stream")?, Decoder::new(), [0; 4096]);
    while let length @ 1.. = body.read(&mut piece)? {
        decoder.push(piece[..length].to_vec());
        while let Some(chunk) = decoder.next_chunk() {
            match chunk? {
                Chunk::TextDelta(text) => print!("{}", text.delta.to_string_lossy()),
                Chunk::ToolOutputAvailable(tool) => {
                    println!("> {}", tool.output.as_ref().map_or("", |json| json.get()))
                }
                _ => {}
            }
        }
    }
    println!();
    Ok(relay.execute(&DeleteSandbox::new(&sandbox.id))?)
}
