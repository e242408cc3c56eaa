//! The measured streams. They are generated from a seed, so that every run measures the same.

use std::fmt::Write;

use bytes::Bytes;

/// A UI message stream.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) stream: Bytes,
    /// The number of chunks.
    pub(crate) events: usize,
    /// The bytes of text in the deltas.
    pub(crate) text: usize,
}

impl Load {
    /// Returns the stream in pieces of 16 KB, as from a connection.
    pub(crate) fn in_large_pieces(&self) -> Vec<Bytes> {
        self.cut(|| 16 << 10)
    }

    /// Returns the stream in random pieces of 1 to 64 bytes.
    pub(crate) fn in_small_pieces(&self) -> Vec<Bytes> {
        let mut random = Random::new(4);
        self.cut(|| 1 + random.below(64))
    }

    fn cut(&self, mut length: impl FnMut() -> usize) -> Vec<Bytes> {
        let mut rest = self.stream.clone();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(length().min(rest.len())));
        }
        pieces
    }
}

/// T: returns a long answer, 200 000 text deltas whose JSON is 62 bytes in the mean.
pub(crate) fn text() -> Load {
    let mut random = Random::new(1);
    let mut events = Events::default();
    for _ in 0..200_000 {
        let mut delta = String::new();
        for _ in 0..1 + random.below(5) {
            delta.push_str(random.word());
        }
        events.add(
            "{\"type\":\"text-delta\",\"id\":\"txt_1\",\"delta\":",
            &delta,
            "}",
        );
    }
    events.load("T")
}

/// I: returns one tool input of `bytes`, 1 MB by default, in deltas of 100 bytes.
pub(crate) fn tool_input(bytes: usize) -> Load {
    let mut random = Random::new(2);
    let mut events = Events::default();
    let mut input = random.object(bytes);
    while !input.is_empty() {
        let end = (100.min(input.len())..).find(|&end| input.is_char_boundary(end));
        let rest = input.split_off(end.unwrap_or(input.len()));
        events.add(
            "{\"type\":\"tool-input-delta\",\"toolCallId\":\"toolu_1\",\"inputTextDelta\":",
            &input,
            "}",
        );
        input = rest;
    }
    events.load("I")
}

/// B: returns 200 tool outputs of 256 KB.
pub(crate) fn tool_outputs() -> Load {
    let mut random = Random::new(3);
    let mut events = Events::default();
    for _ in 0..200 {
        let output = random.object(256 << 10);
        events.add_raw(format_args!(
            "{{\"type\":\"tool-output-available\",\"toolCallId\":\"toolu_1\",\"output\":{output}}}"
        ));
    }
    events.load("B")
}

#[derive(Default)]
struct Events {
    stream: String,
    count: usize,
    text: usize,
}

impl Events {
    fn add(&mut self, before: &str, text: &str, after: &str) {
        self.text += text.len();
        let text = serde_json::Value::from(text);
        self.add_raw(format_args!("{before}{text}{after}"));
    }

    fn add_raw(&mut self, data: std::fmt::Arguments<'_>) {
        self.count += 1;
        write!(self.stream, "data: {data}\n\n").expect("a string takes everything");
    }

    fn load(mut self, name: &'static str) -> Load {
        self.stream.push_str("data: [DONE]\n\n");
        Load {
            name,
            stream: self.stream.into(),
            events: self.count,
            text: self.text,
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Returns a token as models write them; about one in twenty needs an escape in JSON, or is not ASCII.
    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 40] = [
            " the",
            " of",
            " a",
            " function",
            " returns",
            " value",
            ".",
            ",",
            " and",
            " to",
            " in",
            " request",
            " response",
            " stream",
            " that",
            " is",
            " when",
            " error",
            " handler",
            " module",
            " test",
            " build",
            " message",
            " with",
            " for",
            " one",
            " part",
            " file",
            " directory",
            " it",
            " there",
            " which",
            " parser",
            " client",
            " server",
            " sandbox",
            "\n\n",
            " \"quoted\"",
            " Zürich",
            " — and",
        ];
        const RARE: usize = 4;
        let common = WORDS.len() - RARE;
        if self.below(10) == 0 {
            WORDS[common + self.below(RARE)]
        } else {
            WORDS[self.below(common)]
        }
    }

    /// Returns a JSON object of about `length` bytes, like inputs and outputs of tools: half of it lists of small objects and
    /// half long texts.
    fn object(&mut self, length: usize) -> String {
        let mut json = String::from("{\"path\":\"/home/user/project/src/main.rs\",\"items\":[");
        let mut number = 0;
        while json.len() < length / 2 {
            if number > 0 {
                json.push(',');
            }
            let (line, score) = (self.below(2_000), self.below(1_000));
            write!(
                json,
                "{{\"index\":{number},\"line\":{line},\"score\":0.{score},\"open\":{},\"tags\":[\"a{line}\",null],\"text\":{}}}",
                line % 2 == 0,
                serde_json::Value::from(self.sentence(60)),
            )
            .expect("a string takes everything");
            number += 1;
        }
        let rest = length.saturating_sub(json.len() + 16);
        let content = serde_json::Value::from(self.sentence(rest));
        write!(json, "],\"content\":{content}}}").expect("a string takes everything");
        json
    }

    /// Returns text of about `length` bytes in lines.
    fn sentence(&mut self, length: usize) -> String {
        let mut text = String::new();
        let mut line = 0;
        while text.len() < length {
            text.push_str(self.word());
            if text.len() - line > 60 {
                text.push('\n');
                line = text.len();
            }
        }
        text
    }
}
