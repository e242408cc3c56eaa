//! The exact bytes that an assembler counts towards its limit.

use twentyfirst_protocol::ui::{AssembleError, Assembler, Chunk};

fn assembled(chunks: &[&str]) -> Assembler {
    let mut assembler = Assembler::new();
    for chunk in chunks {
        assembler.apply(&Chunk::decode(chunk).unwrap()).unwrap();
    }
    assembler
}

#[test]
fn replaced_data_counts_like_first_data() {
    let short = r#"{"type":"data-x","id":"d","data":1}"#;
    let long = r#"{"type":"data-x","id":"d","data":"a text that is longer than a number"}"#;
    for (first, last) in [(short, long), (long, short), (long, long)] {
        let other = r#"{"type":"file","url":"data:,","mediaType":"text/plain"}"#;
        assert_eq!(
            assembled(&[first, other, last]).size(),
            assembled(&[last, other]).size(),
            "{first} {last}"
        );
    }
}

#[test]
fn metadata_counts_twice_because_it_is_held_twice() {
    const METADATA: &str = r#"{"model":"a name"}"#;
    let chunk = format!(r#"{{"type":"message-metadata","messageMetadata":{METADATA}}}"#);
    let chunk = Chunk::decode(&chunk).unwrap();
    let empty = assembled(&[r#"{"type":"start"}"#]);
    let mut assembler = empty.clone();
    assembler.apply(&chunk).unwrap();
    let limit = assembler.size();
    assert!(limit >= empty.size() + 2 * METADATA.len(), "{limit}");

    // This much fits, and not a byte less.
    let mut assembler = empty.clone().with_limit(limit);
    assembler.apply(&chunk).unwrap();
    let limit = limit - 1;
    let mut assembler = empty.with_limit(limit);
    assert_eq!(
        assembler.apply(&chunk),
        Err(AssembleError::TooLarge { limit })
    );
}

#[test]
fn metadata_is_merged_down_to_the_documented_depth() {
    let deep = |depth: usize| {
        let metadata = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        format!(r#"{{"type":"message-metadata","messageMetadata":{metadata}}}"#)
    };
    let shallow = r#"{"type":"message-metadata","messageMetadata":{"b":1}}"#;
    let limit = deep(Assembler::MAX_METADATA_DEPTH);
    assembled(&[shallow, &limit, &limit]);

    let beyond = deep(Assembler::MAX_METADATA_DEPTH + 1);
    let mut assembler = assembled(&[shallow]);
    assert_eq!(
        assembler.apply(&Chunk::decode(&beyond).unwrap()),
        Err(AssembleError::MetadataTooDeep)
    );
}

/// Returns the message after these metadata, one chunk each.
fn merged(metadata: &[&str]) -> Result<String, AssembleError> {
    let mut assembler = Assembler::new();
    for metadata in metadata {
        let chunk = format!(r#"{{"type":"message-metadata","messageMetadata":{metadata}}}"#);
        let _ = assembler.apply(&Chunk::decode(&chunk).unwrap())?;
    }
    let metadata = assembler.into_message().metadata.unwrap();
    Ok(metadata.get().to_owned())
}

#[test]
fn metadata_is_merged_with_any_whitespace() {
    let spaced = "{ \"a\" : 1 ,\n\t\"b\":\r\n{ \"c\" : [ 1 , 2 ] } , \"d\" : { } }";
    let dense = r#"{"a":1,"b":{"c":[ 1 , 2 ]},"d":{}}"#;
    assert_eq!(merged(&["{}", spaced]).unwrap(), dense);
    assert_eq!(merged(&[dense, spaced]).unwrap(), dense);
    assert_eq!(
        merged(&[spaced, " [ 7 , 8 ] "]).unwrap(),
        r#"{"a":1,"b":{"c":[ 1 , 2 ]},"d":{},"0":7,"1":8}"#
    );
}

#[test]
fn a_string_is_spread_up_to_65_536_code_units_in_any_spelling() {
    for unit in ["a", r"\u0001"] {
        let string = |units: usize| format!("\"{}\"", unit.repeat(units));
        let spread = merged(&["{}", &string(65_536)]).unwrap();
        assert!(spread.ends_with(&format!(r#","65535":"{unit}"}}"#)));
        let beyond = merged(&["{}", &string(65_537)]);
        assert_eq!(beyond, Err(AssembleError::MetadataNotAnObject));
    }
    let elements = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
    assert!(merged(&["{}", &elements(65_536)]).is_ok());
    let beyond = merged(&["{}", &elements(65_537)]);
    assert_eq!(beyond, Err(AssembleError::MetadataNotAnObject));
}

#[test]
fn an_assembler_reports_whether_it_is_lenient() {
    assert!(!Assembler::new().is_lenient());
    assert!(Assembler::new().lenient(true).is_lenient());
    assert!(!Assembler::new().lenient(true).lenient(false).is_lenient());
}
