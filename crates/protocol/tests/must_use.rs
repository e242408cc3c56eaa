//! An operation or a flow that nobody executes does nothing. Each of them is `#[must_use]`, so that the compiler warns.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Returns the names that follow `text` in the source.
fn names<'a>(source: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    source.match_indices(text).map(|(at, text)| {
        let rest = &source[at + text.len()..];
        let length = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        &rest[..length.unwrap_or(rest.len())]
    })
}

#[test]
fn every_operation_and_every_flow_must_be_used() {
    let mut source = String::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut source,
    );
    let types: BTreeSet<&str> = names(&source, "impl Endpoint for ")
        .chain(names(&source, " Flow for "))
        .collect();
    assert!(types.len() > 35, "{types:?}");
    let lines: Vec<&str> = source.lines().collect();
    let is_marked = |name: &&str| {
        let at = lines.iter().position(|line| {
            let rest = line
                .strip_prefix("pub struct ")
                .and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with([' ', '<', ';', '(']))
        });
        // A type that is not public is not found here: users cannot forget to execute it.
        at.is_none_or(|at| {
            let attributes = lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#["));
            attributes
                .copied()
                .any(|line| line.starts_with("#[must_use"))
        })
    };
    let unmarked: Vec<&str> = types.into_iter().filter(|name| !is_marked(name)).collect();
    assert_eq!(unmarked, [""; 0]);
}
