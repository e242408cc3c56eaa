//! Attacks on the memory of an assembler.

use std::fmt::Write as _;

use twentyfirst_protocol::ui::{AssembleError, Assembler, Chunk};

use crate::measure::{Growth, MIB, check};
use crate::run_each;

const LIMIT: usize = 16 * MIB;

/// How many chunks come of an attack that may never reach the limit.
const MOST: usize = 150_000;

struct Attack {
    name: &'static str,
    lenient: bool,
    /// How many chunks come between two looks at the message.
    look: usize,
    first: &'static [&'static str],
    /// How many chunks come, unless the limit is reached before.
    most: usize,
    /// The chunk that comes as number so and so.
    next: fn(usize) -> String,
}

const ATTACK: Attack = Attack {
    name: "",
    lenient: false,
    look: 20_000,
    most: MOST,
    first: &[],
    next: |_| String::new(),
};

const TEXT: &str = r#"{"type":"text-start","id":"t"}"#;
const REASONING: &str = r#"{"type":"reasoning-start","id":"t"}"#;
const INPUT: &str = r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n"}"#;
const DYNAMIC: &str =
    r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n","dynamic":true}"#;
const INPUT_TEXT: &str =
    r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n","inputEncoding":"text"}"#;
const CALL: &str = r#"{"type":"tool-input-available","toolCallId":"c","toolName":"n","input":1}"#;

fn text_delta(delta: &str) -> String {
    format!(r#"{{"type":"text-delta","id":"t","delta":"{delta}"}}"#)
}

fn input_delta(delta: &str) -> String {
    format!(r#"{{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{delta}"}}"#)
}

fn metadata(value: &str) -> String {
    format!(r#"{{"type":"message-metadata","messageMetadata":{value}}}"#)
}

/// So many members, all different from those of other numbers.
fn members(n: usize, count: usize) -> String {
    let mut members = String::new();
    for member in 0..count {
        let comma = if member > 0 { "," } else { "" };
        write!(members, r#"{comma}"{n}.{member}":1"#).unwrap();
    }
    members
}

fn attacks() -> Vec<Attack> {
    let mut attacks = small_parts();
    attacks.extend(data_and_metadata());
    attacks.extend(inputs());
    attacks.extend(texts());
    attacks.extend(large_chunks());
    attacks
}

/// Ever new parts, and what finds them again.
fn small_parts() -> Vec<Attack> {
    vec![
        Attack {
            name: "ever new texts",
            next: |n| format!(r#"{{"type":"text-start","id":"{n}"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new texts that end",
            next: |n| match n % 2 {
                0 => format!(r#"{{"type":"text-start","id":"{n}"}}"#),
                _ => format!(r#"{{"type":"text-end","id":"{}"}}"#, n - 1),
            },
            ..ATTACK
        },
        Attack {
            name: "ever new texts with ill-formed ids",
            next: |n| format!(r#"{{"type":"text-start","id":"\ud83d{n}"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new reasoning",
            next: |n| format!(r#"{{"type":"reasoning-start","id":"{n}"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new reasoning with ill-formed ids",
            next: |n| format!(r#"{{"type":"reasoning-start","id":"\ud83d{n}"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new calls",
            next: |n| format!(r#"{{"type":"tool-input-start","toolCallId":"{n}","toolName":"n"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new calls with a delta each",
            next: |n| match n % 2 {
                0 => format!(r#"{{"type":"tool-input-start","toolCallId":"{n}","toolName":"n"}}"#),
                _ => format!(
                    r#"{{"type":"tool-input-delta","toolCallId":"{}","inputTextDelta":"["}}"#,
                    n - 1
                ),
            },
            ..ATTACK
        },
        Attack {
            name: "ever new calls with ill-formed ids",
            next: |n| {
                format!(r#"{{"type":"tool-input-start","toolCallId":"\ud83d{n}","toolName":"n"}}"#)
            },
            ..ATTACK
        },
        Attack {
            name: "ever new whole calls",
            next: |n| {
                format!(r#"{{"type":"tool-input-available","toolCallId":"{n}","toolName":"n"}}"#)
            },
            ..ATTACK
        },
        Attack {
            name: "ever new failed calls",
            next: |n| {
                format!(
                    r#"{{"type":"tool-input-error","toolCallId":"{n}","toolName":"n","errorText":""}}"#
                )
            },
            ..ATTACK
        },
        Attack {
            name: "ever new texts, opened by deltas",
            lenient: true,
            next: |n| format!(r#"{{"type":"text-delta","id":"{n}","delta":"x"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new reasoning, opened by deltas",
            lenient: true,
            next: |n| format!(r#"{{"type":"reasoning-delta","id":"{n}","delta":"x"}}"#),
            ..ATTACK
        },
        Attack {
            name: "ever new calls, opened by deltas",
            lenient: true,
            next: |n| {
                format!(r#"{{"type":"tool-input-delta","toolCallId":"{n}","inputTextDelta":"x"}}"#)
            },
            ..ATTACK
        },
        Attack {
            name: "steps that do not show",
            next: |_| r#"{"type":"start-step"}"#.into(),
            ..ATTACK
        },
        Attack {
            name: "a call in ever new steps",
            next: |n| match n % 3 {
                0 => r#"{"type":"start-step"}"#.into(),
                1 => INPUT.into(),
                _ => input_delta("[1"),
            },
            ..ATTACK
        },
        Attack {
            name: "steps that are taken back",
            next: |n| match n % 30_000 {
                0 => r#"{"type":"reset-step"}"#.into(),
                place if n / 30_000 % 2 == 0 => {
                    format!(
                        r#"{{"type":"tool-input-start","toolCallId":"{place}","toolName":"n"}}"#
                    )
                }
                place => format!(r#"{{"type":"data-{place}","id":"a"}}"#),
            },
            ..ATTACK
        },
        Attack {
            name: "ever new approvals of a call",
            first: &[CALL],
            next: |n| {
                format!(r#"{{"type":"tool-approval-request","approvalId":"{n}","toolCallId":"c"}}"#)
            },
            ..ATTACK
        },
        Attack {
            name: "ever new calls with an approval each",
            next: |n| match n % 3 {
                0 => format!(
                    r#"{{"type":"tool-input-available","toolCallId":"{n}","toolName":"n","input":1}}"#
                ),
                1 => format!(
                    r#"{{"type":"tool-approval-request","approvalId":"{n}","toolCallId":"{}"}}"#,
                    n - 1
                ),
                _ => format!(
                    r#"{{"type":"tool-approval-response","approvalId":"{}","approved":true,"reason":"y"}}"#,
                    n - 1
                ),
            },
            ..ATTACK
        },
        Attack {
            name: "one approval of ever new calls",
            next: |n| match n % 2 {
                0 => format!(
                    r#"{{"type":"tool-input-available","toolCallId":"{n}","toolName":"n"}}"#
                ),
                _ => format!(
                    r#"{{"type":"tool-approval-request","approvalId":"a","toolCallId":"{}"}}"#,
                    n - 1
                ),
            },
            ..ATTACK
        },
        Attack {
            name: "pages",
            next: |_| r#"{"type":"source-url","sourceId":"","url":""}"#.into(),
            ..ATTACK
        },
        Attack {
            name: "documents",
            next: |_| {
                r#"{"type":"source-document","sourceId":"","mediaType":"a","title":"b","filename":"c"}"#.into()
            },
            ..ATTACK
        },
        Attack {
            name: "files",
            next: |_| {
                r#"{"type":"file","url":"a","mediaType":"b","providerMetadata":{"a":{}}}"#.into()
            },
            ..ATTACK
        },
        Attack {
            name: "parts of a provider's own",
            next: |_| r#"{"type":"custom","kind":"a.b"}"#.into(),
            ..ATTACK
        },
        Attack {
            name: "steering messages",
            next: |_| {
                r#"{"type":"steering-message","id":"s","parts":[{"type":"text","text":"","a":1,"b":2,"c":3,"d":4,"e":5}]}"#.into()
            },
            ..ATTACK
        },
        Attack {
            name: "unknown chunks",
            next: |n| format!(r#"{{"type":"new-{n}","id":"{n}"}}"#),
            ..ATTACK
        },
    ]
}

fn data_and_metadata() -> Vec<Attack> {
    vec![
        Attack {
            name: "data without ids",
            next: |_| r#"{"type":"data-a","data":1}"#.into(),
            ..ATTACK
        },
        Attack {
            name: "data with ever new ids",
            next: |n| format!(r#"{{"type":"data-a","id":"{n}","data":1}}"#),
            ..ATTACK
        },
        Attack {
            name: "data with ever new ill-formed ids",
            next: |n| format!(r#"{{"type":"data-a","id":"\ud83d{n}","data":1}}"#),
            ..ATTACK
        },
        Attack {
            name: "data with ever new names",
            next: |n| format!(r#"{{"type":"data-{n}","id":"a","data":1}}"#),
            ..ATTACK
        },
        Attack {
            name: "data with members of their own",
            next: |n| format!(r#"{{"type":"data-a",{}}}"#, members(n, 5)),
            ..ATTACK
        },
        Attack {
            name: "data that grow",
            next: |n| {
                format!(
                    r#"{{"type":"data-a","id":"{}","data":"{}"}}"#,
                    n / 10,
                    "x".repeat((n % 10 + 1) * 40_000)
                )
            },
            look: 20,
            ..ATTACK
        },
        Attack {
            name: "ever new metadata",
            next: |n| metadata(&format!("{{{}}}", members(n, 3))),
            ..ATTACK
        },
        Attack {
            name: "ever new metadata inside of metadata",
            next: |n| metadata(&format!(r#"{{"a":{{"b":{{"{n}":{{"a":{{}}}}}}}}}}"#)),
            ..ATTACK
        },
        Attack {
            name: "ever new deep metadata",
            next: |n| {
                metadata(&format!(
                    r#"{{"{n}":{}1{}}}"#,
                    r#"{"a":"#.repeat(100),
                    "}".repeat(100)
                ))
            },
            look: 1_000,
            ..ATTACK
        },
        Attack {
            name: "metadata that grow",
            next: |n| {
                metadata(&format!(
                    r#"{{"{}":"{}"}}"#,
                    n / 10,
                    "x".repeat((n % 10 + 1) * 40_000)
                ))
            },
            look: 20,
            ..ATTACK
        },
    ]
}

fn inputs() -> Vec<Attack> {
    vec![
        Attack {
            name: "an input of brackets, one by one",
            first: &[INPUT],
            next: |_| input_delta("["),
            look: 10_000_000,
            most: usize::MAX,
            ..ATTACK
        },
        Attack {
            name: "an input of brackets",
            first: &[INPUT],
            next: |_| input_delta(&"[".repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "an input of objects",
            first: &[INPUT],
            next: |_| input_delta(&r#"{\"a\":"#.repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "an input of numbers",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"[1"}"#,
            ],
            next: |_| input_delta(&",1".repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "an input of escapes",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"\""}"#,
            ],
            next: |_| input_delta(&r"\\u0041".repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "a dynamic tool's input",
            first: &[DYNAMIC],
            next: |_| input_delta(&"[1,".repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "a text input of controls",
            first: &[INPUT_TEXT],
            next: |_| input_delta(&r"\u0001".repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "an input with half a character at its end",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"[\""}"#,
            ],
            next: |_| input_delta(&format!(r"{}\ud83d", "x".repeat(10_000))),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "an input that is not JSON",
            first: &[INPUT],
            next: |_| input_delta(r#"[[[[[[[[[[[[[[[[[[[[1e+1[[[[[[{\"a\\\"b\":[[[[[[["#),
            look: 1_000,
            ..ATTACK
        },
        Attack {
            name: "brackets and then something that is not JSON",
            first: &[INPUT],
            next: |n| match n {
                ..40 => input_delta(&"[".repeat(100_000)),
                40 => input_delta("x"),
                _ => input_delta(&r"\ud83d[".repeat(10_000)),
            },
            look: 40,
            ..ATTACK
        },
        Attack {
            name: "brackets under a key to be looked at",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"constructor\":"}"#,
            ],
            next: |_| input_delta(&"[".repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "objects under a key to be looked at",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"constructor\":"}"#,
            ],
            next: |_| input_delta(&r#"{\"\":"#.repeat(10_000)),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "members beside a key to be looked at",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"constructor\":1"}"#,
            ],
            next: |n| input_delta(&format!(",{}", members(n, 2_000).replace('"', r#"\""#))),
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "members that are refused",
            first: &[
                INPUT,
                r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"constructor\":1"}"#,
            ],
            next: |n| {
                input_delta(&format!(
                    ",{}",
                    members(n, 2_000)
                        .replace(":1", r#":{"__proto__":1}"#)
                        .replace('"', r#"\""#)
                ))
            },
            look: 10,
            ..ATTACK
        },
        Attack {
            name: "an input that begins again",
            most: 1_000,
            next: |n| match n % 20 {
                0 => INPUT.into(),
                _ => input_delta(&"[".repeat(100_000)),
            },
            look: 7,
            ..ATTACK
        },
    ]
}

fn texts() -> Vec<Attack> {
    vec![
        Attack {
            name: "a text, byte by byte",
            first: &[TEXT],
            next: |_| text_delta("x"),
            look: 10_000_000,
            most: usize::MAX,
            ..ATTACK
        },
        Attack {
            name: "a text",
            first: &[TEXT],
            next: |_| text_delta(&"x".repeat(10_000)),
            ..ATTACK
        },
        Attack {
            name: "a text of halves",
            first: &[TEXT],
            next: |_| text_delta(r"\ud83d\ude00\ud83d"),
            ..ATTACK
        },
        Attack {
            name: "reasoning",
            first: &[REASONING],
            next: |_| {
                format!(
                    r#"{{"type":"reasoning-delta","id":"t","delta":"{}"}}"#,
                    "x".repeat(10_000)
                )
            },
            ..ATTACK
        },
        Attack {
            name: "empty deltas",
            first: &[TEXT],
            next: |_| text_delta(""),
            ..ATTACK
        },
        Attack {
            name: "a provider's metadata that grow",
            most: 100,
            first: &[TEXT],
            next: |n| {
                format!(
                    r#"{{"type":"text-delta","id":"t","delta":"","providerMetadata":{{"a":{{"a":"{}"}}}}}}"#,
                    "x".repeat((n % 10 + 1) * 40_000)
                )
            },
            ..ATTACK
        },
        Attack {
            name: "many texts at once",
            lenient: true,
            next: |n| {
                let delta = "x".repeat(1_000);
                format!(
                    r#"{{"type":"text-delta","id":"{}","delta":"{delta}"}}"#,
                    n % 100
                )
            },
            ..ATTACK
        },
        Attack {
            name: "one text after the other",
            lenient: true,
            next: |n| {
                let delta = "x".repeat(1_000);
                format!(
                    r#"{{"type":"text-delta","id":"{}","delta":"{delta}"}}"#,
                    n / 1_500
                )
            },
            ..ATTACK
        },
        Attack {
            name: "many inputs at once",
            lenient: true,
            next: |n| {
                let delta = "[1,2,3".repeat(200);
                format!(
                    r#"{{"type":"tool-input-delta","toolCallId":"{}","inputTextDelta":"{delta}"}}"#,
                    n % 100
                )
            },
            look: 5_000,
            ..ATTACK
        },
    ]
}

/// Chunks that say much at once.
fn large_chunks() -> Vec<Attack> {
    vec![
        Attack {
            name: "large metadata of small members",
            next: |n| metadata(&format!("{{{}}}", members(n, 100_000))),
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large metadata of empty objects",
            next: |n| metadata(&format!("{{{}}}", members(n, 50_000).replace(":1", ":{}"))),
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large metadata that are an array",
            most: 20,
            next: |n| {
                metadata(&match n % 2 {
                    0 => r#"{"a":1}"#.into(),
                    _ => format!("[{}1]", "1,".repeat(300_000)),
                })
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large metadata that are a text",
            most: 20,
            next: |n| {
                metadata(&match n % 2 {
                    0 => r#"{"a":1}"#.into(),
                    _ => format!("\"{}\"", "x".repeat(1_000_000)),
                })
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "new messages with large metadata",
            most: 20,
            next: |n| {
                format!(
                    r#"{{"type":"start","messageId":"{n}","messageMetadata":"{}"}}"#,
                    "x".repeat(500_000 * (n % 4))
                )
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "a large steering message of small parts",
            next: |_| {
                let part = r#"{"type":"text","text":"","a":1,"b":1,"c":1},"#.repeat(20_000);
                format!(
                    r#"{{"type":"steering-message","id":"s","parts":[{}]}}"#,
                    part.trim_end_matches(',')
                )
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large data of small members",
            next: |n| format!(r#"{{"type":"data-a",{}}}"#, members(n, 5_000)),
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large files",
            next: |_| {
                format!(
                    r#"{{"type":"file","url":"{}","mediaType":"b"}}"#,
                    "x".repeat(300_000)
                )
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large outputs",
            most: 100,
            next: |n| match n {
                0 => CALL.into(),
                n => format!(
                    r#"{{"type":"tool-output-available","toolCallId":"c","output":"{}"}}"#,
                    "x".repeat(100_000 * n.min(5))
                ),
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large approvals",
            most: 100,
            next: |n| match n {
                0 => CALL.into(),
                1 => r#"{"type":"tool-approval-request","approvalId":"a","toolCallId":"c"}"#.into(),
                n => format!(
                    r#"{{"type":"tool-approval-response","approvalId":"a","approved":true,"reason":"{}"}}"#,
                    "x".repeat(100_000 * n.min(5))
                ),
            },
            look: 1,
            ..ATTACK
        },
        Attack {
            name: "large deltas",
            first: &[TEXT],
            next: |_| text_delta(&"x".repeat(300_000)),
            ..ATTACK
        },
        Attack {
            name: "large deltas behind half a character",
            first: &[TEXT],
            next: |_| text_delta(&format!(r"{}\ud83d", "x".repeat(300_000))),
            ..ATTACK
        },
    ]
}

#[test]
fn an_assembler_stays_within_its_limit() {
    let names = attacks().into_iter().map(|attack| attack.name);
    run_each("assembler::attack", names);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn attack() {
    let name = std::env::var("ATTACK").unwrap();
    let attack = attacks().into_iter().find(|attack| attack.name == name);
    let attack = attack.unwrap();
    let growth = Growth::begin();
    let mut assembler = Assembler::new().lenient(attack.lenient).with_limit(LIMIT);
    let fits = |assembler: &mut Assembler, data: &str| {
        let chunk = Chunk::decode(data).unwrap();
        assembler.apply(&chunk) != Err(AssembleError::TooLarge { limit: LIMIT })
    };
    for data in attack.first {
        assert!(fits(&mut assembler, data));
    }
    let most = attack.most;
    let mut applied = 0;
    while applied < most && fits(&mut assembler, &(attack.next)(applied)) {
        applied += 1;
        if applied % attack.look == 0 {
            assembler.message();
        }
    }
    assembler.message();
    let filled = growth.peak();
    let size = assembler.size();
    // Ten times as many come, or twice as many bytes as the limit.
    let mut bytes = 0;
    for further in applied..11 * applied.min(MOST) {
        let data = (attack.next)(further);
        bytes += data.len();
        if bytes > 2 * LIMIT {
            break;
        }
        fits(&mut assembler, &data);
    }
    assembler.message();
    let peak = growth.peak();
    check(
        &name,
        LIMIT,
        peak,
        &format!(
            ", {:.2} when full after {applied} chunks, counted {:.2}, then {:.2}",
            filled as f64 / LIMIT as f64,
            size as f64 / LIMIT as f64,
            assembler.size() as f64 / LIMIT as f64,
        ),
    );
    assert!(assembler.size() <= LIMIT);
    if applied < most {
        // Smaller chunks may still fit, and where parts are taken back others come in their place.
        let full = filled.max(LIMIT) + LIMIT / 8;
        assert!(peak <= full, "{name} grows when full");
    }
}
