//! The memory that an assembler counts is the memory that it holds. Counting less would break the limit; counting much more would
//! waste it.

#[path = "assembler_support/any_chunk.rs"]
mod any_chunk;

use any_chunk::any_chunk;
use proptest::prelude::*;
use twentyfirst_protocol::ui::{AssembleError, Assembler, Chunk};

/// Returns the bytes allocated after all chunks were applied, and the peak on the way.
fn allocated(assembler: &mut Assembler, chunks: &[Chunk<'static>]) -> (usize, usize) {
    let allocated = allocation_counter::measure(|| {
        for chunk in chunks {
            let _ = assembler.apply(chunk);
        }
    });
    let bytes = |bytes: i64| usize::try_from(bytes).unwrap_or_default();
    (bytes(allocated.bytes_current), allocated.bytes_max as usize)
}

/// Returns whether a reset of the step removes everything of the chunk.
fn is_undone(chunk: &Chunk<'static>) -> bool {
    !matches!(
        chunk,
        Chunk::Start(_)
            | Chunk::Finish(_)
            | Chunk::MessageMetadata(_)
            | Chunk::StartStep
            | Chunk::ResetStep
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_more_than_the_limit_is_allocated(
        chunks in prop::collection::vec(any_chunk(), 0..24),
        lenient: bool,
        share in 0.0..1.2_f64,
    ) {
        let mut assembler = Assembler::new().lenient(lenient);
        allocated(&mut assembler, &chunks);
        let limit = (assembler.size() as f64 * share) as usize;
        let mut assembler = Assembler::new().lenient(lenient).with_limit(limit);
        let (_, most) = allocated(&mut assembler, &chunks);
        // The memory of an error belongs to the caller.
        prop_assert!(most <= limit.max(256), "{most} bytes of {limit}");
    }

    #[test]
    fn the_counted_size_is_close_to_the_allocated_size(chunks in prop::collection::vec(any_chunk(), 0..120), lenient: bool) {
        let mut assembler = Assembler::new().lenient(lenient);
        let (held, _) = allocated(&mut assembler, &chunks);
        let most = Assembler::new().size() + 1536 + held + held / 2;
        prop_assert!(assembler.size() <= most, "{} for {held} bytes", assembler.size());
    }

    #[test]
    fn undone_changes_no_longer_count(chunks in prop::collection::vec(any_chunk(), 0..24), lenient: bool) {
        let chunks: Vec<_> = chunks.into_iter().filter(is_undone).collect();
        let mut assembler = Assembler::new().lenient(lenient);
        let mut sizes = Vec::new();
        for _ in 0..3 {
            allocated(&mut assembler, &chunks);
            let _ = assembler.apply(&Chunk::ResetStep);
            sizes.push(assembler.size());
        }
        prop_assert_eq!(sizes[0], sizes[1]);
        prop_assert_eq!(sizes[1], sizes[2]);
    }
}

/// Returns the share of the limit that such chunks have as JSON until no other fits, after these chunks.
fn share(limit: usize, before: &[&str], chunk: impl Fn(usize) -> String) -> f64 {
    let mut assembler = Assembler::new().with_limit(limit);
    for chunk in before {
        assembler.apply(&Chunk::decode(chunk).unwrap()).unwrap();
    }
    let mut bytes = 0;
    for number in 0.. {
        let chunk = chunk(number);
        match assembler.apply(&Chunk::decode(&chunk).unwrap()) {
            Ok(_) => bytes += chunk.len(),
            Err(error) => {
                assert_eq!(error, AssembleError::TooLarge { limit });
                break;
            }
        }
    }
    bytes as f64 / limit as f64
}

#[test]
fn the_documented_share_of_the_limit_fits() {
    let x = "x".repeat(1000);
    let start = |encoding: &str| {
        format!(r#"{{"type":"tool-input-start","toolCallId":"a","toolName":"n"{encoding}}}"#)
    };
    let (json, as_text) = (start(""), start(r#","inputEncoding":"text""#));
    let text = [r#"{"type":"text-start","id":"a"}"#];
    let delta = |delta: &str| {
        format!(r#"{{"type":"tool-input-delta","toolCallId":"a","inputTextDelta":"{delta}"}}"#)
    };
    for limit in [300_000, 1_000_000] {
        let check = |what: &str, least: f64, before: &[&str], chunk: &dyn Fn(usize) -> String| {
            let share = share(limit, before, chunk);
            assert!(share >= least, "{what}: {share} of {limit}");
        };
        check("a text", 0.49, &text, &|_| {
            format!(r#"{{"type":"text-delta","id":"a","delta":"{x}"}}"#)
        });
        check("an input", 0.22, &[&json], &|_| delta(&x));
        check("an array as input", 0.22, &[&json], &|_| {
            delta(&format!("[{}", "1,".repeat(500)))
        });
        check("an input that opens objects", 0.037, &[&json], &|_| {
            delta(&"[".repeat(1000))
        });
        check("an input that is text", 0.25, &[&as_text], &|_| delta(&x));
        check("an input of control characters", 0.58, &[&as_text], &|_| {
            delta(&r"\u0001\n".repeat(500))
        });
        check("short texts", 0.065, &[], &|n| {
            format!(r#"{{"type":"text-start","id":"{n}"}}"#)
        });
        check("long ids", 0.75, &[], &|n| {
            format!(r#"{{"type":"text-start","id":"{n}{x}"}}"#)
        });
        check("ids with half a character", 0.43, &[], &|n| {
            format!(r#"{{"type":"text-start","id":"{n}{x}\ud83d"}}"#)
        });
        check("reasoning", 0.43, &[], &|n| {
            format!(r#"{{"type":"reasoning-start","id":"{n}{x}"}}"#)
        });
        check("short data", 0.07, &[], &|n| {
            format!(r#"{{"type":"data-x","id":"{n}","data":1}}"#)
        });
        check("data", 0.54, &[], &|n| {
            format!(r#"{{"type":"data-x","id":"{n}{x}","data":"{x}"}}"#)
        });
        check("calls", 0.039, &[], &|n| {
            format!(r#"{{"type":"tool-input-start","toolCallId":"{n}","toolName":"n"}}"#)
        });
        check("calls with long names", 0.34, &[], &|n| {
            format!(
                r#"{{"type":"tool-input-start","toolCallId":"{n}{x}","toolName":"{x}","title":"{x}"}}"#
            )
        });
        check("calls with their inputs", 0.675, &[], &|n| {
            format!(
                r#"{{"type":"tool-input-available","toolCallId":"{n}","toolName":"{x}","input":"{x}"}}"#
            )
        });
        check("files", 0.83, &[], &|_| {
            format!(r#"{{"type":"file","url":"{x}","mediaType":"t"}}"#)
        });
        check("steps", 0.07, &[], &|_| {
            r#"{"type":"start-step"}"#.to_owned()
        });
        check("metadata", 0.46, &[], &|n| {
            format!(r#"{{"type":"message-metadata","messageMetadata":{{"{n}":"{x}"}}}}"#)
        });
        check("short metadata", 0.21, &[], &|n| {
            format!(r#"{{"type":"message-metadata","messageMetadata":{{"{n}":1}}}}"#)
        });
        check("deep metadata", 0.033, &[], &|n| {
            format!(
                r#"{{"type":"message-metadata","messageMetadata":{{"{n}":{{"a":{{"b":1}}}}}}}}"#
            )
        });
    }
}

/// Returns the counted bytes after these chunks.
fn counted(chunks: &[&str]) -> usize {
    let mut assembler = Assembler::new();
    for chunk in chunks {
        assembler.apply(&Chunk::decode(chunk).unwrap()).unwrap();
    }
    assembler.size()
}

#[test]
fn the_id_of_an_ended_text_no_longer_counts() {
    let text = |id: &str| {
        let start = format!(r#"{{"type":"text-start","id":"{id}"}}"#);
        let end = format!(r#"{{"type":"text-end","id":"{id}"}}"#);
        (counted(&[&start]), counted(&[&start, &end]))
    };
    let (short, long) = (text("a"), text(&"a".repeat(1000)));
    assert!(long.0 > short.0 + 900, "{long:?}, {short:?}");
    assert_eq!(long.1, short.1);
}

#[test]
fn the_input_of_a_call_counts_its_text_and_its_value_alone() {
    let start = r#"{"type":"tool-input-start","toolCallId":"a","toolName":"n"}"#;
    let as_text =
        r#"{"type":"tool-input-start","toolCallId":"a","toolName":"n","inputEncoding":"text"}"#;
    let delta = |delta: &str| {
        format!(r#"{{"type":"tool-input-delta","toolCallId":"a","inputTextDelta":"{delta}"}}"#)
    };
    // The text exists twice, and the value read from it once. As a JSON string, escaped text is longer.
    for (start, piece, times) in [
        (start, "x", 3),
        (as_text, "x", 3),
        (as_text, r"\n", 4),
        (as_text, r"\u0001", 8),
    ] {
        let more =
            counted(&[start, &delta(&piece.repeat(1000))]) - counted(&[start, &delta(piece)]);
        assert!(
            (times * 999 - 100..times * 999 + 100).contains(&more),
            "{start} {piece}: {more}"
        );
    }
}

#[test]
fn the_copy_of_a_delta_after_half_a_character_counts() {
    let delta = |text: &str| format!(r#"{{"type":"text-delta","id":"t","delta":"{text}"}}"#);
    let mut assembler = Assembler::new();
    // The text has grown to twice its length, so the last delta fits its capacity.
    for chunk in [
        r#"{"type":"text-start","id":"t"}"#.to_owned(),
        delta(&"x".repeat(1_000)),
        delta("x"),
        delta(r"\ud83d"),
    ] {
        assembler.apply(&Chunk::decode(&chunk).unwrap()).unwrap();
    }
    let limit = assembler.size() + 100;
    let mut assembler = assembler.with_limit(limit);
    let before = assembler.message().clone();
    let chunk = delta(&"y".repeat(900));
    let chunk = Chunk::decode(&chunk).unwrap();
    let allocated = allocation_counter::measure(|| {
        let result = assembler.apply(&chunk);
        assert_eq!(result, Err(AssembleError::TooLarge { limit }));
    });
    assert!(allocated.bytes_max < 100, "{allocated:?}");
    assert_eq!(assembler.message(), &before);
}

/// Applies the chunks made from each number, and checks that all their memory is counted.
fn is_counted(what: &str, chunks: impl Fn(usize) -> Vec<String>) {
    let chunks: Vec<Chunk<'static>> = (0..300)
        .flat_map(chunks)
        .map(|chunk| Chunk::decode(&chunk).unwrap().into_owned())
        .collect();
    let mut assembler = Assembler::new();
    let empty = assembler.size();
    let (held, _) = allocated(&mut assembler, &chunks);
    let size = assembler.size();
    assert!(held <= size, "{what}: {held} bytes are {size}");
    let most = empty + 1536 + held + held * 3 / 5;
    assert!(size <= most, "{what}: {held} bytes are {size}");
}

#[test]
fn the_index_of_parts_counts() {
    let x = "x".repeat(100);
    is_counted("texts", |n| {
        vec![format!(r#"{{"type":"text-start","id":"{n}"}}"#)]
    });
    is_counted("texts with halves of characters", |n| {
        vec![format!(r#"{{"type":"text-start","id":"{n}{x}\ud83d"}}"#)]
    });
    is_counted("data", |n| {
        vec![format!(r#"{{"type":"data-x","id":"{n}","data":1}}"#)]
    });
    is_counted("calls", |n| {
        vec![format!(
            r#"{{"type":"tool-input-start","toolCallId":"{n}","toolName":"{x}","title":"{x}"}}"#
        )]
    });
    is_counted("calls with their inputs", |n| {
        vec![format!(
            r#"{{"type":"tool-input-available","toolCallId":"{n}","toolName":"n","input":"{x}"}}"#
        )]
    });
    let call = r#"{"type":"tool-input-available","toolCallId":"c","toolName":"n","input":1}"#;
    is_counted("approvals", |n| {
        let call = call.replace(r#""c""#, &format!(r#""c{n}""#));
        let approval = format!(
            r#"{{"type":"tool-approval-request","toolCallId":"c{n}","approvalId":"{n}{x}"}}"#
        );
        vec![call, approval]
    });
    is_counted("calls with one approval", |n| {
        let call = call.replace(r#""c""#, &format!(r#""c{n}""#));
        let approval =
            format!(r#"{{"type":"tool-approval-request","toolCallId":"c{n}","approvalId":"a"}}"#);
        vec![call, approval]
    });
    is_counted("metadata", |n| {
        vec![format!(
            r#"{{"type":"message-metadata","messageMetadata":{{"{n}":{{"a":{n}}}}}}}"#
        )]
    });
}

#[test]
fn an_input_counts_after_its_call_has_restarted() {
    let x = "x".repeat(1000);
    for piece in ["", r#"{"type":"start-step"}"#] {
        is_counted("inputs", |_| {
            let start = r#"{"type":"tool-input-start","toolCallId":"c","toolName":"n"}"#;
            let delta = format!(
                r#"{{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"[\"{x}"}}"#
            );
            let chunks = [piece, start, &delta]
                .into_iter()
                .filter(|chunk| !chunk.is_empty());
            chunks.map(str::to_owned).collect()
        });
    }
}
