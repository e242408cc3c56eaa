//! The protocol's flows without the client, driven by hand over `ureq`: a run that is followed through a cut.
//!
//! ```text
//! cargo run --example sans_io
//! cargo run --example sans_io -- 'wc -l notes.txt' 'cat notes.txt'   # each argument is a line
//! ```
//!
//! `Relay` is all the code that another HTTP library needs: it sends the requests of a flow, and returns what happens to them.

#[path = "common/prompt.rs"]
mod prompt;

use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Instant, SystemTime};

use twentyfirst_client::protocol::flow::drive::{self, BlockingIo, Io};
use twentyfirst_client::protocol::flow::{
    Event, ExecuteFlow, Failure, Now, SendRequest, Sent, Slot,
};
use twentyfirst_client::protocol::sandboxes::{CreateSandbox, DeleteSandbox};
use twentyfirst_client::protocol::{ApiKey, BaseUrl, Operation};
use twentyfirst_client::{CallOptions, Chunk, RunEvent, StartRun};
use twentyfirst_local_relay::{After, Fault, LocalRelay};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Each request has its own thread, which reads the response and sends the events. It ends early when its request is closed or replaced.
struct Relay {
    agent: ureq::Agent,
    base_url: BaseUrl,
    key: ApiKey,
    events: Receiver<(u64, Event)>,
    sender: Sender<(u64, Event)>,
    /// The number of the request that is under way in each slot; 0 for none.
    under_way: Arc<[AtomicU64; 2]>,
    sent: u64,
}

impl Io for Relay {
    fn send(&mut self, send: SendRequest) {
        self.sent += 1;
        let (number, slot) = (self.sent, send.slot);
        self.under_way[slot as usize].store(number, Ordering::Relaxed);
        let mut request = send.request.map(|body| body.as_bytes().to_vec());
        if let Ok(uri) = self.base_url.join(request.uri()) {
            *request.uri_mut() = uri;
        }
        self.key.authorize(&mut request);
        let config = self.agent.configure_request(request);
        let request = config
            .timeout_connect(send.timeouts.connect)
            .timeout_recv_response(send.timeouts.head)
            .timeout_global(send.timeouts.total)
            .build();
        let (agent, sender) = (self.agent.clone(), self.sender.clone());
        let under_way = Arc::clone(&self.under_way);
        thread::spawn(move || {
            let tell = |event| {
                let now = under_way[slot as usize].load(Ordering::Relaxed);
                now == number && sender.send((number, event)).is_ok()
            };
            if let Err(error) = exchange(&agent, request, slot, tell) {
                tell(Event::Failure(slot, Failure::new(Sent::Maybe, error)));
            }
        });
    }

    fn close(&mut self, slot: Slot) {
        self.under_way[slot as usize].store(0, Ordering::Relaxed);
    }
}

impl BlockingIo for Relay {
    fn now(&mut self) -> Now {
        let (mono, wall) = (Instant::now(), SystemTime::now());
        Now { mono, wall }
    }

    fn wait(&mut self, until: Option<Instant>) -> Option<Event> {
        loop {
            let event = match until {
                Some(until) => self.events.recv_timeout(until - Instant::now()).ok()?,
                None => self.events.recv().ok()?,
            };
            // An event that was sent just before its request was closed counts no more.
            let is_open = |slot: &AtomicU64| slot.load(Ordering::Relaxed) == event.0;
            if self.under_way.iter().any(is_open) {
                return Some(event.1);
            }
        }
    }
}

/// Sends a request and tells what happens to it, piece by piece. Ends early when `tell` returns `false`.
fn exchange(
    agent: &ureq::Agent,
    request: ureq::http::Request<Vec<u8>>,
    slot: Slot,
    tell: impl Fn(Event) -> bool,
) -> Result<()> {
    let (head, body) = agent.run(request)?.into_parts();
    let mut reader = body.into_reader();
    let mut body = Vec::new();
    if slot == Slot::Exchange {
        reader.read_to_end(&mut body)?;
    }
    let body = body.into();
    let mut is_open = tell(Event::Response { slot, head, body });
    let mut piece = vec![0; 16 * 1024];
    while slot == Slot::Stream && is_open {
        let length = reader.read(&mut piece)?;
        if length == 0 {
            tell(Event::End);
            break;
        }
        is_open = tell(Event::Data(piece[..length].to_vec().into()));
    }
    Ok(())
}

impl Relay {
    fn new(local: &LocalRelay) -> Result<Self> {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let (sender, events) = channel();
        Ok(Self {
            agent: config.build().into(),
            base_url: local.url().parse()?,
            key: ApiKey::new(local.api_key())?,
            events,
            sender,
            under_way: Arc::default(),
            sent: 0,
        })
    }

    fn execute<O: Operation>(&mut self, operation: &O) -> Result<O::Output> {
        let mut flow = ExecuteFlow::new(operation, &CallOptions::new(), 0)?;
        Ok(drive::finish(&mut flow, self)?)
    }
}

fn main() -> Result<()> {
    let prompt = prompt::prompt("cat notes.txt\nwc -w notes.txt");
    // The first stream of the relay breaks off after three events.
    let cut = Fault::cut_after(After::Events(3));
    let local = LocalRelay::builder().fault(cut).start()?;
    let mut relay = Relay::new(&local)?;

    let create = CreateSandbox::new("shell").file("/home/user/notes.txt", "No async here.\n");
    let sandbox = relay.execute(&create)?;
    let options = CallOptions::new();
    let start = StartRun::new("shell", prompt).sandbox_id(&sandbox.id);
    let started = drive::finish(&mut start.flow(None, &options, 0)?, &mut relay)?;
    println!("Thread {}:", started.run.thread_id);

    // The stream is open: the flow that follows the run reads it.
    let mut run = started.run.follow().read(&options, 0)?;
    let outcome = loop {
        match drive::next(&mut run, &mut relay) {
            Ok(RunEvent::Chunk(Chunk::TextDelta(text))) => {
                print!("{}", text.delta.to_string_lossy());
            }
            Ok(RunEvent::Chunk(Chunk::ToolOutputAvailable(tool))) => println!("{:?}", tool.output),
            Ok(RunEvent::Cut(_)) => println!("(the stream broke off)"),
            Ok(_) => {}
            Err(outcome) => break outcome,
        }
    };
    println!("\n{}", outcome.end);
    relay.execute(&DeleteSandbox::new(&sandbox.id))
}
