//! Attacks on the memory of a followed run: all that it takes, from the bytes of its streams to the stored answer.

use twentyfirst_protocol::runs::FollowPolicy;

use crate::measure::{Growth, MIB, check};
use crate::relay::{Relay, Run};
use crate::run_each;

const LIMIT: usize = 32 * MIB;

/// How many small chunks a stream has: more than fit.
const MANY: usize = 120_000;

#[test]
fn a_followed_run_stays_within_its_limit() {
    let names = attacks().into_iter().map(|attack| attack.name);
    run_each("runs::attack", names);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn attack() {
    let name = std::env::var("ATTACK").unwrap();
    let attack = attacks().into_iter().find(|attack| attack.name == name);
    let growth = Growth::begin();
    let (told, _) = Relay::new(attack.unwrap(), || None).follow(LIMIT);
    check(&name, LIMIT, growth.peak(), &told.to_string());
}

#[test]
fn settling_takes_no_more_than_is_said_beside_the_limit() {
    let names = stored().into_iter().map(|stored| stored.0);
    run_each("runs::settling", names);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn settling() {
    let name = std::env::var("ATTACK").unwrap();
    let stored = stored().into_iter().find(|stored| stored.0 == name);
    let (_, stored, says) = stored.unwrap();
    let run = Run {
        name: "",
        follow: FollowPolicy::wait(),
        streams: 1,
        says,
    };
    let growth = Growth::begin();
    let mut relay = Relay::new(run, stored);
    let stored = relay.read_thread();
    // The thread as such a relay makes it, and as it is read.
    let reading = growth.peak();
    let (told, outcome) = relay.follow(LIMIT);
    let beside = growth.peak().saturating_sub(reading);
    let state = outcome.message_state;
    let further = format!("{told}, {state:?}, beside {reading} for reading {stored} bytes");
    check(&name, LIMIT, beside, &further);
}

/// What is stored when a run is over, and what was delivered of it.
type StoredRun = (
    &'static str,
    fn() -> Option<String>,
    fn(usize, usize) -> Option<String>,
);

fn stored() -> [StoredRun; 4] {
    const TEXT: fn(usize, usize) -> Option<String> = |_, n| match n {
        0 => Some(r#"{"type":"start","messageId":"m1"}"#.to_owned()),
        1 => Some(text_start("t")),
        n => (n <= 400).then(|| delta("t", &long(n, 10_000))),
    };
    const NOTHING: fn(usize, usize) -> Option<String> = |_, n| match n {
        0 => Some(r#"{"type":"start","messageId":"m1"}"#.to_owned()),
        _ => None,
    };
    [
        (
            "a long text that was delivered by half",
            || {
                Some(answer(&[part(
                    &(2..800).map(|n| long(n, 10_000)).collect::<String>(),
                )]))
            },
            TEXT,
        ),
        (
            "a long text behind another",
            || Some(answer(&[part(&"y".repeat(8 * MIB))])),
            TEXT,
        ),
        (
            "many parts",
            || {
                Some(answer(
                    &(0..100_000)
                        .map(|n| part(&n.to_string()))
                        .collect::<Vec<_>>(),
                ))
            },
            NOTHING,
        ),
        (
            "a long history",
            || {
                let history = (0..100_000).map(|n| format!(r#"{{"id":"{n}","role":"assistant","parts":[{{"type":"text","text":"{n}"}}]}}"#));
                let history = history.collect::<Vec<_>>().join(",");
                Some(format!("{history},{}", answer(&[part("The end.")])))
            },
            NOTHING,
        ),
    ]
}

fn part(text: &str) -> String {
    format!(r#"{{"type":"text","text":"{text}","state":"done"}}"#)
}

fn answer(parts: &[String]) -> String {
    format!(
        r#"{{"id":"m1","role":"assistant","parts":[{}]}}"#,
        parts.join(",")
    )
}

/// Streams that all say the same, up to so many chunks.
macro_rules! same {
    ($count:expr, $says:expr) => {
        |_, n| {
            let says: fn(usize) -> String = $says;
            match n {
                0 => Some(r#"{"type":"start","messageId":"m1"}"#.to_owned()),
                n => (n <= $count).then(|| says(n)),
            }
        }
    };
}

/// Streams of which the first says a little, and all others repeat that and go on.
macro_rules! goes_on {
    ($says:expr) => {
        |stream, n| {
            let says: fn(usize) -> String = $says;
            match (stream, n) {
                (_, 0) => Some(r#"{"type":"start","messageId":"m1"}"#.to_owned()),
                (_, 1) => Some(r#"{"type":"text-start","id":"t"}"#.to_owned()),
                (_, 2) => Some(delta("t", "So much that it is known again.")),
                (_, 3) => Some(r#"{"type":"text-end","id":"t"}"#.to_owned()),
                (0, _) => None,
                (_, n) => (n <= MANY).then(|| says(n)),
            }
        }
    };
}

fn attacks() -> Vec<Run> {
    let mut attacks = Vec::new();
    for (name, follow, streams) in [
        ("waiting", FollowPolicy::wait(), 1),
        ("live", FollowPolicy::live(), 3),
    ] {
        let mut attack = |what: &str, says| {
            attacks.push(Run {
                name: format!("{what}, {name}").leak(),
                follow,
                streams,
                says,
            });
        };
        attack(
            "ever new texts",
            same!(MANY, |n| text_start(&n.to_string())),
        );
        attack(
            "texts with long ids",
            same!(20_000, |n| text_start(&long(n, 5_000))),
        );
        attack(
            "texts that end",
            same!(MANY, |n| match n % 2 {
                1 => text_start(&n.to_string()),
                _ => format!(r#"{{"type":"text-end","id":"{}"}}"#, n - 1),
            }),
        );
        attack(
            "ever new reasonings",
            same!(MANY, |n| format!(
                r#"{{"type":"reasoning-start","id":"{n}"}}"#
            )),
        );
        attack(
            "ever new inputs",
            same!(MANY, |n| match n % 2 {
                1 => tool_start(&n.to_string()),
                _ => tool_delta(&(n - 1).to_string(), r#"{\"a\":["#),
            }),
        );
        attack(
            "inputs with long ids",
            same!(10_000, |n| tool_start(&long(n, 5_000))),
        );
        attack(
            "ever new metadata",
            same!(MANY, |n| format!(
                r#"{{"type":"message-metadata","messageMetadata":{{"{n}":1}}}}"#
            )),
        );
        attack(
            "the same metadata",
            same!(MANY, |_| {
                r#"{"type":"message-metadata","messageMetadata":{"a":1}}"#.to_owned()
            }),
        );
        attack(
            "ever new data",
            same!(MANY, |n| format!(
                r#"{{"type":"data-a","id":"{n}","data":1}}"#
            )),
        );
        attack(
            "ever new values of data",
            same!(MANY, |n| format!(
                r#"{{"type":"data-a","id":"a","data":{n}}}"#
            )),
        );
        attack(
            "transient data",
            same!(MANY, |n| format!(
                r#"{{"type":"data-a","id":"{n}","data":1,"transient":true}}"#
            )),
        );
        attack(
            "unknown chunks",
            same!(MANY, |n| format!(r#"{{"type":"new-{n}","id":"{n}"}}"#)),
        );
        attack("one text", |_, n| match n {
            0 => Some(text_start("t")),
            n => (n <= 10_000).then(|| delta("t", &long(n, 10_000))),
        });
        attack(
            "texts of some length",
            same!(20_000, |n| match n % 2 {
                1 => text_start(&n.to_string()),
                _ => delta(&(n - 1).to_string(), &long(n, 1_000)),
            }),
        );
        attack(
            "a gap in ever new texts",
            same!(MANY, |n| match n % 40_000 {
                30_000 => "{".to_owned(),
                _ => text_start(&n.to_string()),
            }),
        );
        attack(
            "gaps in texts with long ids",
            same!(20_000, |n| match n % 6_000 {
                0 => "{".to_owned(),
                _ => text_start(&long(n, 5_000)),
            }),
        );
        attack(
            "gaps in inputs with long ids",
            same!(10_000, |n| match n % 1_500 {
                0 => "{".to_owned(),
                _ => tool_start(&long(n, 5_000)),
            }),
        );
        attack(
            "preliminary outputs",
            same!(MANY, |n| match n % 2 {
                1 => format!(
                    r#"{{"type":"tool-input-available","toolCallId":"{n}","toolName":"n","input":1}}"#
                ),
                _ => format!(
                    r#"{{"type":"tool-output-available","toolCallId":"{}","output":1,"preliminary":true}}"#,
                    n - 1
                ),
            }),
        );
    }
    let mut attack = |name, says| {
        attacks.push(Run {
            name,
            follow: FollowPolicy::live(),
            streams: 3,
            says,
        });
    };
    attack(
        "a replay that goes on with ever new texts",
        goes_on!(|n| { text_start(&n.to_string()) }),
    );
    attack(
        "a replay that goes on with texts that end",
        goes_on!(|n| match n % 2 {
            0 => text_start(&n.to_string()),
            _ => format!(r#"{{"type":"text-end","id":"{}"}}"#, n - 1),
        }),
    );
    attack(
        "a replay that goes on with ever new inputs",
        goes_on!(|n| { tool_start(&n.to_string()) }),
    );
    attack(
        "a replay that goes on with ever new data",
        goes_on!(|n| { format!(r#"{{"type":"data-a","id":"{n}","data":1}}"#) }),
    );
    attack(
        "a replay that goes on with unknown chunks",
        goes_on!(|n| format!(r#"{{"type":"new-{n}","id":"{n}"}}"#)),
    );
    attack(
        "a replay that goes on behind what is not a chunk",
        goes_on!(|n| match n {
            4 => "{".to_owned(),
            n => text_start(&n.to_string()),
        }),
    );
    // Of a text of many pieces nothing has ended, and all that comes is known or may be.
    attack("a replay with long ids", |stream, n| match (stream, n) {
        (_, 0) => Some(text_start(&stream.to_string())),
        (0, n) => (n <= 20_000).then(|| delta("0", "x")),
        (_, n) => (n <= 20_000).then(|| match n {
            1 => text_start(&long(n, 100_000)),
            _ => delta(&long(1, 100_000), ""),
        }),
    });
    attack(
        "replays with ids that are longer than those before",
        |stream, n| {
            let id = |n: usize| match stream {
                0 => n.to_string(),
                _ => long(n, 5_000),
            };
            let text = |n: usize| match n % 3 {
                0 => text_start(&id(n / 3)),
                1 => delta(&id(n / 3), "as it was before"),
                _ => delta(&id(n / 3), "and that too"),
            };
            (n <= 30_000).then(|| text(n))
        },
    );
    attack(
        "long chunks that may be new in a long replay",
        |stream, n| match (stream, n) {
            (_, 0) => Some(text_start("t")),
            (_, 1..=200) => Some(delta("t", &long(n, 10_000))),
            (0, _) => Some(delta("t", "the end")).filter(|_| n == 201),
            (_, n) => (n <= 450).then(|| {
                format!(
                    r#"{{"type":"data-a","id":"{n}","data":"{}"}}"#,
                    long(n, 400_000)
                )
            }),
        },
    );
    attack("long chunks that may be new", |stream, n| {
        match (stream, n) {
            (_, 0) => Some(text_start("t")),
            (_, 1) => Some(delta("t", "So much that it is known again.")),
            (0, _) => Some(delta("t", "the end")).filter(|_| n == 2),
            (_, n) => (n <= 250).then(|| {
                format!(
                    r#"{{"type":"data-a","id":"{n}","data":"{}"}}"#,
                    long(n, 400_000)
                )
            }),
        }
    });
    attacks
}

fn text_start(id: &str) -> String {
    format!(r#"{{"type":"text-start","id":"{id}"}}"#)
}

fn delta(id: &str, delta: &str) -> String {
    format!(r#"{{"type":"text-delta","id":"{id}","delta":"{delta}"}}"#)
}

fn tool_start(id: &str) -> String {
    format!(r#"{{"type":"tool-input-start","toolCallId":"{id}","toolName":"n"}}"#)
}

fn tool_delta(id: &str, delta: &str) -> String {
    format!(r#"{{"type":"tool-input-delta","toolCallId":"{id}","inputTextDelta":"{delta}"}}"#)
}

/// So many bytes that are different for other numbers.
fn long(n: usize, length: usize) -> String {
    format!("{n:09}{}", "x".repeat(length))
}
