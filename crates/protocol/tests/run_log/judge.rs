//! The guarantees for a user, whatever happens to instances, store and network.

use std::time::Duration;

use twentyfirst_protocol::run_log::{Entry, LogId, Logged, Position, ReaderEnd, RecorderEnd, Turn};
use twentyfirst_protocol::ui::Chunk;

use crate::answer::{Atom, aborted, atoms};
use crate::world::{CHAT, OWNER, World};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A log is a prefix of one answer: no chunk is repeated, and none is missing.
    Prefix,
    /// Only the instance that made a claim appends under it.
    Fence,
    /// Everything that a browser has seen is in the log, unless the store was given up.
    SeenIsLogged,
    /// A replay from chunk N returns the chunks of the log from N on.
    Replay,
    /// Nothing follows the end.
    OneEnd,
    /// The last chunk of an answer that has ended is a `finish`: some readers reconnect until they see one.
    Finish,
    /// A turn is posted once, and no run without its turn.
    OnePost,
    /// A recorded stop ends its run.
    Stop,
    /// Every reader and every log reaches an end.
    Ends,
    /// Logs, and the bytes that wait for the store, stay within their limits.
    Limits,
    /// A store that fails never fails a run.
    StoreFails,
    /// Turns are sent in order, and never two at once.
    Order,
    /// All turns of a chat take place in one sandbox.
    OneSandbox,
    /// The request of a turn that was cancelled for another is sent with that one, once.
    Carried,
}

/// A broken rule.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

pub(crate) fn judge(world: &World) -> Result<(), Violation> {
    for name in world.runs.keys() {
        log(world, name)?;
    }
    for index in 0..world.browsers.len() {
        browser(world, index)?;
    }
    // A block takes one more chunk before it is full, and escapes characters.
    if world.largest_window > world.limits.unacknowledged + 256 {
        let window = world.largest_window;
        broken(Rule::Limits, format!("{window} bytes wait for the store"))?;
    }
    posts(world)?;
    stops(world)?;
    starters(world)?;
    queue(world)
}

fn broken(rule: Rule, what: impl Into<String>) -> Result<(), Violation> {
    let what = what.into();
    Err(Violation { rule, what })
}

/// Returns the chunks of a log, its end if it has one, and whether it has overflowed.
fn chunks(world: &World, run: &str) -> Result<(Vec<String>, Option<String>, bool), Violation> {
    let mut chunks = Vec::new();
    let mut ended = None;
    let mut has_overflowed = false;
    let mut epoch = (0, usize::MAX);
    let mut last = Position::START;
    for (by, at, bytes) in world.store.history(&LogId::run(run)) {
        let logged = Logged::decode(&bytes).unwrap();
        if matches!(logged.entry, Entry::Claim(_)) {
            epoch = (at.epoch, by);
        } else if (at.epoch, by) != epoch {
            broken(
                Rule::Fence,
                format!("{run}: {at} is by instance {by}, the claim is {epoch:?}"),
            )?;
        }
        if at <= last {
            broken(Rule::Fence, format!("{run}: {at} follows {last}"))?;
        }
        last = at;
        match logged.entry {
            Entry::Claim(_) => {}
            Entry::End(end) => match &ended {
                None => ended = Some(end.end),
                Some(first) if *first == end.end => {}
                Some(_) => broken(Rule::OneEnd, format!("{run} has two ends"))?,
            },
            entry if ended.is_some() => {
                broken(Rule::OneEnd, format!("{run}: {entry:?} follows the end"))?;
            }
            Entry::Data(data) => {
                if logged.chunks != chunks.len() as u64 {
                    broken(
                        Rule::Prefix,
                        format!(
                            "{run}: {at} counts {} chunks, not {}",
                            logged.chunks,
                            chunks.len()
                        ),
                    )?;
                }
                chunks.extend(
                    data.iter()
                        .map(|line| String::from_utf8(line.to_vec()).unwrap()),
                );
            }
            Entry::Overflow => has_overflowed = true,
            _ => {}
        }
    }
    Ok((chunks, ended, has_overflowed))
}

fn log(world: &World, name: &str) -> Result<(), Violation> {
    let (chunks, ended, has_overflowed) = chunks(world, name)?;
    let run = &world.runs[name];
    let said: Vec<_> = chunks
        .iter()
        .flat_map(|json| atoms(&Chunk::decode(json).unwrap()))
        .collect();
    let whole: Vec<_> = run.chunks.iter().flat_map(atoms).collect();
    let aborted = aborted();
    let body = match ended.as_deref() {
        // The answer consists of that error only.
        _ if matches!(said.first(), Some(Atom::Whole(json)) if json.contains("is gone, try again")) => {
            &[]
        }
        _ => said.strip_suffix(&aborted[..]).unwrap_or(&said),
    };
    if ended.as_deref() == Some("lost") && is_calm(world, name) {
        broken(
            Rule::Ends,
            format!("{name} is called lost, although its starter lives"),
        )?;
    }
    if !whole.starts_with(body) {
        broken(
            Rule::Prefix,
            format!("{name}: its log is not a prefix of its answer: {body:?}"),
        )?;
    }
    if ended.is_some() && !has_overflowed {
        let last = chunks.last().map(|json| Chunk::decode(json).unwrap());
        if !matches!(last, Some(Chunk::Finish(_))) {
            broken(Rule::Finish, format!("{name} ends with {last:?}"))?;
        }
    }
    let is_whole = said == whole;
    match ended.as_deref() {
        Some("completed") if !is_whole && !has_overflowed => {
            broken(
                Rule::Prefix,
                format!(
                    "{name} is called complete after {} atoms of {}",
                    said.len(),
                    whole.len()
                ),
            )?;
        }
        None if !world.store.is_gone(&LogId::run(name))
            && !was_alone(world, name)
            && is_read(world, name) =>
        {
            broken(Rule::Ends, format!("the log of {name} has no end"))?;
        }
        _ => {}
    }
    let bytes: usize = chunks.iter().map(|json| json.len() + 1).sum();
    if bytes > world.limits.log_size {
        broken(Rule::Limits, format!("the log of {name} has {bytes} bytes"))?;
    }
    Ok(())
}

/// Returns whether no fault has struck the starter of a run, or the store.
fn is_calm(world: &World, run: &str) -> bool {
    let starter = world.instances.iter().find(|instance| {
        let mut recorders = instance.recorders.iter();
        recorders.any(|recorded| recorded.run == run && recorded.starts > 0)
    });
    world.lossy == 0
        && world.outages.is_empty()
        && starter.is_some_and(|starter| starter.is_alive && starter.paused_until == world.begun)
}

/// Returns whether a browser reads the run to its end.
fn is_read(world: &World, run: &str) -> bool {
    world
        .browsers
        .iter()
        .any(|browser| browser.run() == Some(run) && browser.end.is_some())
}

/// Returns whether this instance is alive and has recorded the run without the store.
fn is_on_recorder(world: &World, instance: usize, run: &str) -> bool {
    let instance = &world.instances[instance];
    let local = instance.local.get(run);
    instance.is_alive && local.is_some_and(|local| local.is_alone)
}

fn was_alone(world: &World, run: &str) -> bool {
    let recorders = world
        .instances
        .iter()
        .flat_map(|instance| &instance.recorders);
    recorders
        .filter(|recorded| recorded.run == run)
        .any(|recorded| recorded.was_alone)
}

fn browser(world: &World, index: usize) -> Result<(), Violation> {
    let browser = &world.browsers[index];
    let Some(run) = browser.run() else {
        return Ok(());
    };
    for (count, (at, _)) in browser.got.iter().enumerate() {
        if *at != browser.first + count as u64 {
            broken(
                Rule::Replay,
                format!(
                    "browser {index} got chunk {at} as number {count} from {}",
                    browser.first
                ),
            )?;
        }
    }
    let (chunks, _, _) = chunks(world, run)?;
    if !browser.is_degraded {
        for (at, json) in &browser.got {
            let logged = usize::try_from(*at).ok().and_then(|at| chunks.get(at));
            if logged.map(String::as_bytes) != Some(&json[..]) {
                broken(
                    Rule::SeenIsLogged,
                    format!(
                        "browser {index} saw {json:?} as chunk {at} of {run}, the log has {logged:?}"
                    ),
                )?;
            }
        }
        if let Some(ReaderEnd::Ended(_)) = browser.end
            && browser.first + (browser.got.len() as u64) < chunks.len() as u64
        {
            broken(
                Rule::Replay,
                format!(
                    "browser {index} came to the end of {run} with {} chunks from {} on of {}",
                    browser.got.len(),
                    browser.first,
                    chunks.len()
                ),
            )?;
        }
    }
    match &browser.end {
        Some(ReaderEnd::Unreadable(error)) => broken(
            Rule::Prefix,
            format!("browser {index} cannot read {run}: {error}"),
        ),
        Some(ReaderEnd::Missing)
            if !world.evicted.iter().any(|evicted| evicted == run)
                && !was_alone(world, run)
                && !world.store.history(&LogId::run(run)).is_empty() =>
        {
            broken(Rule::Ends, format!("browser {index} does not find {run}"))
        }
        None if browser.has_begun()
            && (!was_alone(world, run) || is_on_recorder(world, browser.instance, run)) =>
        {
            broken(Rule::Ends, format!("browser {index} still reads {run}"))
        }
        _ => Ok(()),
    }
}

fn turns(world: &World) -> Vec<Turn> {
    let entries = world.store.history(&LogId::chat(OWNER, CHAT));
    entries
        .iter()
        .filter_map(|(_, _, bytes)| match Logged::decode(bytes).unwrap().entry {
            Entry::Turn(turn) => Some(turn),
            _ => None,
        })
        .collect()
}

fn posts(world: &World) -> Result<(), Violation> {
    let turns: Vec<String> = turns(world).into_iter().map(|turn| turn.run).collect();
    for instance in &world.instances {
        for recorded in &instance.recorders {
            if recorded.starts > 1 {
                broken(
                    Rule::OnePost,
                    format!("{} is started {} times", recorded.run, recorded.starts),
                )?;
            }
            let has_turn = turns.iter().filter(|turn| **turn == recorded.run).count() == 1;
            if recorded.starts == 1 && !recorded.was_alone && !has_turn {
                broken(
                    Rule::OnePost,
                    format!("{} has started without its turn", recorded.run),
                )?;
            }
        }
    }
    match world.runs.iter().find(|(_, run)| run.posts > 1) {
        Some((name, run)) => broken(
            Rule::OnePost,
            format!("{name} was posted {} times", run.posts),
        ),
        None => Ok(()),
    }
}

/// Returns whether no fault strikes any instance, the store or its contents.
fn is_quiet(world: &World) -> bool {
    let mut instances = world.instances.iter();
    world.lossy == 0
        && world.outages.is_empty()
        && world.evicted.is_empty()
        && instances.all(|instance| instance.is_alive && instance.paused_until == world.begun)
}

/// Checks that the turns of the chat wait for each other.
fn queue(world: &World) -> Result<(), Violation> {
    let mut recorders = world
        .instances
        .iter()
        .flat_map(|instance| &instance.recorders);
    let is_sure = !recorders.any(|recorded| recorded.was_alone) && world.evicted.is_empty();
    if let Some(run) = world.overlaps.first().filter(|_| is_sure) {
        broken(
            Rule::Order,
            format!("{run} was sent while another run went on"),
        )?;
    }
    let turns = turns(world);
    let sent: Vec<(&str, &crate::world::Run)> = turns
        .iter()
        .filter_map(|turn| Some((&*turn.run, world.runs.get(&turn.run)?)))
        .collect();
    for pair in sent.windows(2) {
        let [(before, one), (after, other)] = pair else {
            continue;
        };
        if is_sure && other.began < one.ends {
            broken(Rule::Order, format!("{after} began while {before} went on"))?;
        }
    }
    if !is_quiet(world) {
        return Ok(());
    }
    if world.sandboxes > 1 {
        let count = world.sandboxes;
        broken(Rule::OneSandbox, format!("{count} sandboxes were made"))?;
    }
    // A turn that a user stopped is not sent again.
    if world.is_stopped_by_user {
        return Ok(());
    }
    let mut lost: Vec<&str> = Vec::new();
    for turn in &turns {
        if !turn.interrupts.is_empty() {
            let expected = lost.clone();
            let carried = world.carried.get(&turn.run);
            // A turn that is cancelled before it starts carries nothing.
            if let Some(carried) = carried.filter(|carried| **carried != expected) {
                broken(
                    Rule::Carried,
                    format!("{} carries {carried:?}, not {expected:?}", turn.run),
                )?;
            }
        }
        let run = world.runs.get(&turn.run);
        if run.is_some_and(|run| !run.is_cancelled) {
            lost.clear();
        } else {
            lost.push(&turn.run);
        }
    }
    Ok(())
}

/// Checks that a stop ends the run at once if store and starter are well. A run that is starting ends as soon as it has started.
fn stops(world: &World) -> Result<(), Violation> {
    for stop in &world.stops {
        let (Some(done), Some(run)) = (stop.done, world.runs.get(&stop.run)) else {
            continue;
        };
        let Some(known) = run.known else {
            continue;
        };
        let deadline = done.max(known) + Duration::from_secs(1);
        if !run.is_cancelled
            && run.ends > deadline
            && is_calm(world, &stop.run)
            && !world.evicted.contains(&stop.run)
        {
            broken(Rule::Stop, format!("{} was stopped, and goes on", stop.run))?;
        }
    }
    Ok(())
}

/// Checks that a living instance delivers the answer to its poster, whatever happens to the store.
fn starters(world: &World) -> Result<(), Violation> {
    for (index, instance) in world
        .instances
        .iter()
        .enumerate()
        .filter(|(_, instance)| instance.is_alive)
    {
        for recorded in instance
            .recorders
            .iter()
            .filter(|recorded| recorded.starts == 1)
        {
            let Some(run) = world.runs.get(&recorded.run) else {
                continue;
            };
            let Some(end) = &recorded.over else {
                broken(
                    Rule::StoreFails,
                    format!("instance {index} still records {}", recorded.run),
                )?;
                continue;
            };
            let local = instance.left.get(&recorded.run);
            let local = local.or_else(|| instance.local.get(&recorded.run));
            if *end != RecorderEnd::Ended || run.is_cancelled || local.is_none() {
                continue;
            }
            let mut said = Vec::new();
            let mut has_overflowed = false;
            for (_, entry) in local.map(|local| &local.entries[..]).unwrap_or_default() {
                match Logged::decode(entry).unwrap().entry {
                    Entry::Data(data) => {
                        for line in data.iter() {
                            let json = std::str::from_utf8(&line).unwrap();
                            said.extend(atoms(&Chunk::decode(json).unwrap()));
                        }
                    }
                    Entry::Overflow => has_overflowed = true,
                    _ => {}
                }
            }
            let whole: Vec<_> = run.chunks.iter().flat_map(atoms).collect();
            if said != whole && !has_overflowed {
                broken(
                    Rule::StoreFails,
                    format!(
                        "instance {index} has delivered {} atoms of {} of {}",
                        said.len(),
                        whole.len(),
                        recorded.run
                    ),
                )?;
            }
        }
    }
    Ok(())
}
