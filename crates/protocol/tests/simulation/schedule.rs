//! A schedule: everything that its seed decides.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use twentyfirst_protocol::CallOptions;
use twentyfirst_protocol::runs::FollowPolicy;

use crate::faults::{Fault, Tally};
use crate::relay::{Alarm, At, Habits, Relay, Script};
use crate::rng::Rng;
use crate::truth::{End, Truth};
use crate::world::{Weather, World};

/// The id of the user's message, if it has one from the beginning.
pub(crate) const OUR_TURN: &str = "turn-k";

/// One schedule.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) beginning: Beginning,
    pub(crate) following: Following,
    pub(crate) script: Script,
    /// Whether a thread that streams is left alone, and a new sandbox is deleted if the run did not start.
    pub(crate) careful: bool,
    /// The id of the user's message, if it is given.
    pub(crate) user_message_id: Option<String>,
    /// The time at which the run is joined after a start whose response was lost, or after one in the background.
    pub(crate) joins_after: Duration,
    /// Whether a run that somebody else starts is joined before it begins.
    pub(crate) joins_early: bool,
    /// The limit for the silence of a stream, if there is one.
    silence: Option<Duration>,
    /// The time at which cancelling begins, counted from the beginning.
    pub(crate) cancels_at: Option<At>,
    pub(crate) history: Vec<Value>,
    others: Vec<Other>,
    /// The next turn of our thread, and the delay between the end of our run and its beginning.
    next_turn: Option<(Duration, Script)>,
    surprises: Vec<(At, Alarm)>,
    habits: Habits,
    weather: Weather,
}

/// The way in which the run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Our flow starts it, in existing resources or in new ones.
    Start { sandbox: bool, thread: bool },
    /// The same, in the background, and then our flow joins it.
    Background { sandbox: bool, thread: bool },
    /// Somebody else starts it at this time, and our flow joins it.
    Elsewhere(At),
}

/// The way in which the run is followed.
#[derive(Debug, Clone)]
pub(crate) struct Following {
    pub(crate) way: Way,
    pub(crate) ask_after: Option<Duration>,
    pub(crate) lost_after: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    /// Whether following began by joining, with no stream open.
    pub(crate) joins: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Wait,
    Live,
    Off,
}

/// Another thread of the sandbox.
#[derive(Debug, Clone)]
struct Other {
    /// Whether it is created before ours. Otherwise it is created when its run begins.
    is_older: bool,
    begins: At,
    script: Script,
}

impl Schedule {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let truth = Truth::random(&mut rng, "k");
        let length = truth.length();
        let dies = truth.end == End::Dies;
        let script = Script {
            truth: Rc::new(truth),
            starting: starting(&mut rng),
            fails_to_start: rng.percent(2),
        };

        let sandbox = rng.percent(70);
        let thread = sandbox && rng.percent(70);
        let beginning = match rng.below(10) {
            0..=5 => Beginning::Start { sandbox, thread },
            6 | 7 => Beginning::Background { sandbox, thread },
            _ => Beginning::Elsewhere(rng.millis(0, 60_000)),
        };
        // Anywhere in the run: while it starts, while it streams, after its end.
        let whole = script.starting + length;
        let some_time = |rng: &mut Rng| match rng.below(4) {
            0 => rng.millis(0, 3_000),
            1 => script.starting.mul_f64(rng.below(100) as f64 / 100.0),
            _ => whole.mul_f64(rng.below(115) as f64 / 100.0),
        };
        let cancels_at = rng.percent(25).then(|| some_time(&mut rng));

        let way = match rng.below(20) {
            0..=8 => Way::Wait,
            9..=16 => Way::Live,
            _ => Way::Off,
        };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let mut following = Following {
            way,
            ask_after: rng
                .percent(30)
                .then(|| *rng.pick(&[minutes(1), minutes(10)])),
            lost_after: match rng.below(10) {
                0 => Some(minutes(5)),
                1 => Some(minutes(60)),
                2 => None,
                _ => Some(minutes(30)),
            },
            deadline: rng.percent(10).then(|| some_time(&mut rng)),
            joins: false,
        };
        // Without a limit, a dead runtime is awaited for ever, as requested. While nothing was ever read, silence has no limit.
        let may_wait_for_ever =
            following.lost_after.is_none() || !matches!(beginning, Beginning::Start { .. });
        if dies || may_wait_for_ever {
            following.deadline = following.deadline.or_else(|| Some(minutes(90)));
        }

        let mut others = Vec::new();
        for index in 0..*rng.pick(&[0, 0, 1, 1, 2, 3]) {
            let tag = ["p", "q", "s"][index];
            others.push(Other {
                is_older: rng.percent(50),
                begins: some_time(&mut rng),
                script: Script {
                    truth: Rc::new(Truth::short(&mut rng, tag)),
                    starting: starting(&mut rng),
                    fails_to_start: false,
                },
            });
        }
        let mut surprises = Vec::new();
        if rng.percent(4) {
            surprises.push((some_time(&mut rng), Alarm::DeleteThread));
        } else if rng.percent(4) {
            surprises.push((some_time(&mut rng), Alarm::DeleteSandbox));
        }
        if rng.percent(8) {
            surprises.push((some_time(&mut rng), Alarm::ForeignReader));
        }
        let weather = Weather {
            exchanges: *rng.pick(&[0, 0, 5, 30]),
            streams: *rng.pick(&[0, 50, 80, 95, 95]),
            latency: *rng.pick(&[20, 200, 1_500]),
            revoked: rng.percent(3).then(|| some_time(&mut rng)),
            spared: BTreeSet::new(),
        };
        let habits = Habits {
            replays: *rng.pick(&[0, 50, 100, 100]),
            denies: *rng.pick(&[0, 0, 30]),
            resumed_stores: *rng.pick(&[0, 30, 100]),
            tells_cancelled: 40,
        };
        let joins_early = rng.percent(5);
        let user_message_id = rng.percent(70).then(|| OUR_TURN.to_owned());
        let mut next_turn = None;
        // A turn without an id of its own is recognized by its position only.
        if user_message_id.is_some() && rng.percent(30) {
            let script = Script {
                truth: Rc::new(Truth::short(&mut rng, "n")),
                starting: starting(&mut rng),
                fails_to_start: rng.percent(5),
            };
            next_turn = Some((rng.millis(0, 5_000), script));
        }
        Self {
            seed,
            joins_early,
            beginning,
            following,
            silence: rng.percent(10).then(|| minutes(7)),
            careful: rng.percent(30),
            user_message_id,
            joins_after: *rng.pick(&[Duration::ZERO, Duration::ZERO, minutes(1), minutes(60)]),
            cancels_at,
            // In a thread with a history, a follower that joins too early takes its last answer for ours.
            history: if joins_early {
                Vec::new()
            } else {
                history(&mut rng, &script.truth)
            },
            script,
            others,
            next_turn,
            surprises,
            habits,
            weather,
        }
    }

    /// Returns simpler schedules, each with one thing less. `drawn` is the number of network faults that were drawn when this one
    /// was played.
    pub(crate) fn simpler(&self, drawn: usize) -> Vec<Self> {
        let without = |change: &dyn Fn(&mut Self)| {
            let mut simpler = self.clone();
            change(&mut simpler);
            simpler
        };
        let mut all = Vec::new();
        if self.cancels_at.is_some() {
            all.push(without(&|simpler| simpler.cancels_at = None));
        }
        if self.next_turn.is_some() {
            all.push(without(&|simpler| simpler.next_turn = None));
        }
        if self.weather.revoked.is_some() {
            all.push(without(&|simpler| simpler.weather.revoked = None));
        }
        if !self.history.is_empty() {
            all.push(without(&|simpler| simpler.history.clear()));
        }
        if self.following.deadline.is_some() {
            all.push(without(&|simpler| simpler.following.deadline = None));
        }
        for other in 0..self.others.len() {
            all.push(without(&|simpler| drop(simpler.others.remove(other))));
        }
        for surprise in 0..self.surprises.len() {
            all.push(without(&|simpler| drop(simpler.surprises.remove(surprise))));
        }
        for fault in (0..drawn.min(200)).filter(|fault| !self.weather.spared.contains(fault)) {
            all.push(without(&|simpler| {
                simpler.weather.spared.insert(fault);
            }));
        }
        all
    }

    pub(crate) fn world(&self, tracing: bool) -> World {
        // A separate generator, so that the network does not change when the schedule draws in another order.
        let mut rng = Rng::new(self.seed ^ 0x5157_u64);
        let mut relay = Relay::new(self.habits.clone(), rng.fork());
        if let Some((after, script)) = &self.next_turn {
            relay.set_next_turn(*after, script.clone());
        }
        World::new(relay, self.weather.clone(), rng, tracing)
    }

    /// Prepares the world: existing resources, and events that happen by themselves. Returns the sandbox and the thread, if they
    /// exist.
    pub(crate) fn prepare(&self, world: &mut World) -> (Option<String>, Option<String>) {
        let (sandbox, thread) = match self.beginning {
            Beginning::Start { sandbox, thread } | Beginning::Background { sandbox, thread } => {
                (sandbox, thread)
            }
            Beginning::Elsewhere(_) => (true, true),
        };
        if !sandbox {
            // A sandbox that our flow creates is empty at first.
            for other in self.others.iter().filter(|other| !other.is_older) {
                world.alarm(other.begins + Duration::from_secs(5), other.begin(None));
            }
            self.surprise(world);
            return (None, None);
        }
        let home = world.relay.create_sandbox();
        let older: Vec<_> = self.others.iter().filter(|other| other.is_older).collect();
        for other in older {
            let thread = world.relay.create_thread(At::ZERO, home, Vec::new());
            world.alarm(other.begins, other.begin(Some(thread)));
        }
        let ours = thread.then(|| {
            world
                .relay
                .create_thread(Duration::from_millis(1), home, self.history.clone())
        });
        for other in self.others.iter().filter(|other| !other.is_older) {
            world.alarm(other.begins + Duration::from_millis(2), other.begin(None));
        }
        if let (Beginning::Elsewhere(at), Some(thread)) = (self.beginning, &ours) {
            let id = self
                .user_message_id
                .clone()
                .unwrap_or_else(|| "u1".to_owned());
            let user =
                json!({"id": id, "role": "user", "parts": [{"type": "text", "text": "Hello"}]});
            let begin = Alarm::Begin {
                thread: Some(thread.clone()),
                script: self.script.clone(),
                user: Some(user),
                ours: true,
            };
            world.alarm(at, begin);
        }
        self.surprise(world);
        (Some(world.relay.sandbox_id(home)), ours)
    }

    fn surprise(&self, world: &mut World) {
        for (at, surprise) in &self.surprises {
            world.alarm(*at, surprise.clone());
        }
    }

    pub(crate) fn options(&self) -> CallOptions {
        let following = &self.following;
        let mut follow = match following.way {
            Way::Wait => FollowPolicy::wait(),
            Way::Live => FollowPolicy::live(),
            Way::Off => FollowPolicy::off(),
        };
        if let Some(ask_after) = following.ask_after {
            follow = follow.ask_after(ask_after);
        }
        let follow = follow
            .lost_after(following.lost_after)
            .deadline(following.deadline);
        let options = CallOptions::new().follow(follow);
        match self.silence {
            Some(silence) => options.silence_timeout(silence),
            None => options,
        }
    }

    /// Counts the kinds that the script itself contains.
    pub(crate) fn count(&self, tally: &mut Tally) {
        if self.script.fails_to_start {
            tally.struck(Fault::FailsToStart);
            return;
        }
        match self.script.truth.end {
            End::Fails { .. } => tally.struck(Fault::RunFails),
            End::FailsInStorage { .. } => tally.struck(Fault::FailsInStorage),
            End::Completes | End::Dies => {}
        }
    }
}

impl Other {
    fn begin(&self, thread: Option<String>) -> Alarm {
        Alarm::Begin {
            thread,
            script: self.script.clone(),
            user: None,
            ours: false,
        }
    }
}

fn starting(rng: &mut Rng) -> Duration {
    match rng.below(20) {
        0..=11 => rng.millis(5, 500),
        12..=17 => rng.millis(500, 10_000),
        18 => rng.millis(10_000, 200_000),
        // Longer than cancelling is retried.
        _ => rng.millis(200_000, 900_000),
    }
}

/// Returns earlier turns, among them one that begins as the truth does, and one of the old form.
fn history(rng: &mut Rng, truth: &Truth) -> Vec<Value> {
    let mut history = Vec::new();
    for turn in 0..*rng.pick(&[0, 0, 1, 3]) {
        if rng.percent(20) {
            history.push(json!({"role": "user", "content": "An old question"}));
            history.push(json!({"role": "assistant", "content": "An old answer"}));
            continue;
        }
        history.push(json!({"id": format!("u{turn}"), "role": "user", "parts": [{"type": "text", "text": "Hello"}]}));
        let parts = if rng.percent(50) {
            serde_json::to_value(&truth.message.parts[..truth.message.parts.len().min(1)]).unwrap()
        } else {
            json!([{"type": "text", "text": "An earlier answer", "state": "done"}])
        };
        history.push(json!({"id": format!("msg_old_{turn}"), "role": "assistant", "parts": parts}));
    }
    history
}
