//! The protocol's flows over `ureq`, with no async at all: `cargo run --example blocking`. Arguments are the prompt.

use std::convert::Infallible;
use std::error::Error;
use std::io::Read;
use std::time::{Instant, SystemTime};

use twentyfirst_client::protocol::flow::{
    Execute, Failure, Flow, Now, SendRequest, Sent, Slot, Step,
};
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, DeleteSandbox};
use twentyfirst_client::protocol::ui::{Chunk, Decoder};
use twentyfirst_client::protocol::{self};
use twentyfirst_client::{CallOptions, StartRun};
use twentyfirst_local_relay::LocalRelay;

#[path = "common/prompt.rs"]
mod prompt;

use prompt::prompt;

type Body = Box<dyn Read>;
type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

struct Relay {
    agent: ureq::Agent,
    base_url: protocol::BaseUrl,
    key: protocol::ApiKey,
}

impl Relay {
    fn send(&self, send: SendRequest) -> Result<ureq::http::Response<Body>> {
        let mut request = send.request.map(|body| body.as_bytes().to_vec());
        *request.uri_mut() = self.base_url.join(request.uri())?;
        self.key.authorize(&mut request);
        let config = self.agent.configure_request(request);
        let request = config
            .timeout_connect(send.timeouts.connect)
            .timeout_recv_response(send.timeouts.head)
            .timeout_global(send.timeouts.total)
            .build();
        let response = self.agent.run(request)?;
        Ok(response.map(|body| Box::new(body.into_reader()) as Body))
    }

    /// Does what a flow asks for until it is done: its output, and the body that is open then.
    fn drive<F: Flow<Item = Infallible>>(&self, mut flow: F) -> (F::Output, Option<Body>) {
        let failure = |error| Failure::new(Sent::Maybe, error);
        let mut open: Option<Body> = None;
        loop {
            let (mono, wall) = (Instant::now(), SystemTime::now());
            match flow.poll(Now { mono, wall }) {
                Step::Send(send) => {
                    let slot = send.slot;
                    let answer = self.send(send).and_then(|response| {
                        let (head, mut body) = response.into_parts();
                        let mut content = Vec::new();
                        match slot {
                            Slot::Stream => open = Some(body),
                            Slot::Exchange => drop(body.read_to_end(&mut content)?),
                        }
                        Ok((head, content.into()))
                    });
                    match answer {
                        Ok((head, content)) => flow.handle_answer(slot, head, content),
                        Err(error) => flow.handle_failure(slot, failure(error)),
                    }
                }
                Step::Read { until } => match (&mut open, until) {
                    (Some(body), _) => {
                        let mut piece = vec![0; 16 * 1024];
                        match body.read(&mut piece) {
                            Ok(0) => flow.handle_end(),
                            Ok(length) => flow.handle_data(piece[..length].to_vec().into()),
                            Err(error) => flow.handle_failure(Slot::Stream, failure(error.into())),
                        }
                    }
                    (None, Some(until)) => std::thread::sleep(until - mono),
                    (None, None) => {}
                },
                Step::Close(_) => open = None,
                Step::Done(output) => return (output, open),
            }
        }
    }

    fn execute<O: protocol::Operation>(&self, operation: &O) -> Result<O::Output> {
        let flow = Execute::new(operation, &CallOptions::new(), 0)?;
        Ok(self.drive(flow).0?)
    }
}

fn main() -> Result<()> {
    let local = LocalRelay::start()?;
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let relay = Relay {
        agent: config.build().into(),
        base_url: local.url().parse()?,
        key: protocol::ApiKey::new(local.api_key())?,
    };

    let create = CreateSandbox::new("shell").file("/home/user/notes.txt", "No async here.\n");
    let sandbox = relay.execute(&create)?;
    let start = StartRun::new("shell", prompt("cat notes.txt")).sandbox_id(&sandbox.id);
    let (started, body) = relay.drive(start.flow(None, &CallOptions::new(), 0)?);
    println!("Thread {}:", started?.thread_id);

    let (mut body, mut decoder) = (body.ok_or("no stream")?, Decoder::new());
    let mut piece = [0; 4096];
    while let length @ 1.. = body.read(&mut piece)? {
        decoder.push(piece[..length].to_vec());
        while let Some(chunk) = decoder.next_chunk() {
            match chunk? {
                Chunk::TextDelta(text) => print!("{}", text.delta.to_string_lossy()),
                Chunk::ToolOutputAvailable(tool) => println!("{:?}", tool.output),
                _ => {}
            }
        }
    }
    println!();
    relay.execute(&DeleteSandbox::new(&sandbox.id))
}
