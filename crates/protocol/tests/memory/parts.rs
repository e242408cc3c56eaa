//! Attacks with ever more parts, data and metadata.

use crate::assembler::*;

/// Ever new parts, and their index.
pub(crate) fn small_parts() -> Vec<Attack> {
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

pub(crate) fn data_and_metadata() -> Vec<Attack> {
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
