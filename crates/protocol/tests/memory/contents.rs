//! Attacks with the content of parts: inputs, texts and large chunks.

use crate::assembler::*;

pub(crate) fn inputs() -> Vec<Attack> {
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

pub(crate) fn texts() -> Vec<Attack> {
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

/// Large chunks.
pub(crate) fn large_chunks() -> Vec<Attack> {
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
