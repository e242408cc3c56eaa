//! The agent's answer, and the position of chunks in it.

use twentyfirst_protocol::runs::RunEnd;
use twentyfirst_protocol::ui::Chunk;
use twentyfirst_protocol::ui::chunk::{
    Abort, Finish, ReasoningDelta, Start, TextDelta, TextEnd, TextStart,
};

/// The smallest piece of an answer: a chunk that is not a delta, or one character of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Atom {
    Whole(String),
    Char(&'static str, String, char),
}

pub(crate) fn atoms(chunk: &Chunk<'_>) -> Vec<Atom> {
    let (kind, id, text) = match chunk {
        Chunk::TextDelta(delta) => ("text", &delta.id, &delta.delta),
        Chunk::ReasoningDelta(delta) => ("reasoning", &delta.id, &delta.delta),
        // Reports waiting, and is not part of the answer.
        Chunk::Data(data) if data.name == "queued" => return Vec::new(),
        chunk => return vec![Atom::Whole(chunk.encode())],
    };
    let id = id.to_string_lossy().into_owned();
    let text = text.to_string_lossy().into_owned();
    text.chars()
        .map(|char| Atom::Char(kind, id.clone(), char))
        .collect()
}

/// Returns the chunks of a run's answer, with about this many words.
pub(crate) fn answer(run: &str, words: usize) -> Vec<Chunk<'static>> {
    let mut chunks: Vec<Chunk<'static>> = vec![
        Start::new().message_id(format!("m-{run}")).into(),
        TextStart::new("t").into(),
    ];
    for word in 0..words {
        let text = format!("{word} ");
        chunks.push(match word % 7 {
            6 => ReasoningDelta::new("r", text).into(),
            _ => TextDelta::new("t", text).into(),
        });
    }
    chunks.push(TextEnd::new("t").into());
    chunks.push(Finish::new().into());
    chunks
}

/// Returns the end of a cancelled answer.
pub(crate) fn aborted() -> Vec<Atom> {
    [Abort::new().into(), Finish::new().into()]
        .iter()
        .flat_map(atoms)
        .collect()
}

/// Returns the rest of an answer after these atoms, as chunks of one atom each. Returns `None` if they are not its beginning.
pub(crate) fn rest(answer: &[Chunk<'_>], after: &[Atom]) -> Option<Vec<Chunk<'static>>> {
    let whole: Vec<Atom> = answer.iter().flat_map(atoms).collect();
    let rest = whole.strip_prefix(after)?;
    let chunks = rest.iter().map(|atom| match atom {
        Atom::Whole(json) => Chunk::decode(json).unwrap().into_owned(),
        Atom::Char("text", id, char) => TextDelta::new(id.clone(), char.to_string()).into(),
        Atom::Char(_, id, char) => ReasoningDelta::new(id.clone(), char.to_string()).into(),
    });
    Some(chunks.collect())
}

/// Returns the end of a run at the relay.
pub(crate) fn end_of(is_cancelled: bool) -> RunEnd {
    match is_cancelled {
        true => RunEnd::Cancelled,
        false => RunEnd::Completed,
    }
}
