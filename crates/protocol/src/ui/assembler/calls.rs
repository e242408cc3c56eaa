use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use super::by_text::ByText;
use super::size::{input_growth, json_size, length};
use super::tool_update::set;
use crate::ui::chunk::InputEncoding;
use crate::ui::joiner::Half;
use crate::ui::{Part, PartialJson, RawJson, Text, ToolPart, ToolState};

/// The tool calls whose input is streaming or was, each with the text of its input.
///
/// A part shows the text and what can be read of it, but only when somebody looks at the message: writing both anew for every delta
/// would take time that grows with the square of the input.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    calls: ByText<Call>,
    /// The ids of calls whose parts may not show everything yet.
    stale: Vec<Text<'static>>,
    /// Parts that no longer show the input of their call, and have what they showed last.
    released: Vec<usize>,
    /// What all calls hold in memory, in bytes, about.
    size: usize,
}

/// A tool call whose input is streaming or was.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) dynamic: bool,
    /// Whether it was opened by a delta, so that nobody knows the tool's name.
    pub(super) nameless: bool,
    names: Arc<Names>,
    encoding: Option<InputEncoding>,
    input: Input,
    half: Half,
    /// The part that shows the input as it is now.
    shown: Option<Shown>,
    /// Whether that part does not show everything yet.
    stale: bool,
}

/// What a call's start says about it, and what each delta says again.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) tool_name: Text<'static>,
    pub(super) title: Option<Text<'static>>,
    pub(super) tool_metadata: Option<RawJson<'static>>,
}

#[derive(Clone, Debug)]
enum Input {
    Json(PartialJson),
    Text {
        text: String,
        /// How long the text is as a JSON string.
        json_size: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    part: usize,
    /// Whether the part has the text too.
    raw: bool,
    /// Whether a delta was the last that changed the part.
    fresh: bool,
}

impl Names {
    fn size(&self) -> usize {
        let title = self.title.as_ref().map_or(0, length);
        let metadata = self.tool_metadata.as_ref().map_or(0, |raw| raw.get().len());
        length(&self.tool_name) + title + metadata
    }
}

impl Call {
    pub(super) fn new(names: Names, dynamic: bool, encoding: Option<InputEncoding>) -> Self {
        Self {
            dynamic,
            nameless: false,
            names: Arc::new(names),
            encoding,
            input: match encoding {
                Some(InputEncoding::Text) => Input::Text {
                    text: String::new(),
                    json_size: "\"\"".len(),
                },
                _ => Input::Json(PartialJson::new()),
            },
            half: Half::default(),
            shown: None,
            stale: false,
        }
    }

    /// The same call, of which nobody knows the tool's name.
    pub(super) fn nameless(mut self) -> Self {
        self.nameless = true;
        self
    }

    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }

    pub(super) fn encoding(&self) -> Option<InputEncoding> {
        self.encoding
    }

    fn append(&mut self, delta: &Text<'_>) {
        let piece = self.half.join(delta);
        self.input.push(&piece);
    }

    /// The whole text, and what can be read of it.
    fn read(&self) -> (String, Option<RawJson<'static>>) {
        let mut input = Cow::Borrowed(&self.input);
        if self.half.is_waiting() {
            input.to_mut().push("\u{fffd}");
        }
        (input.text().to_owned(), input.value())
    }

    /// What it and the part that shows it hold of the input, in bytes, about.
    fn size(&self) -> usize {
        let shown = if self.shown.is_some() {
            self.shown_size()
        } else {
            0
        };
        size_of::<Self>()
            + self.names.size()
            + self.input.text().len()
            + 2 * self.input.depth()
            + shown
    }

    /// What a part that shows the input holds of it, in bytes, about: the text, and what can be read of it.
    pub(super) fn shown_size(&self) -> usize {
        let text = self.input.text().len();
        text + match &self.input {
            Input::Json(json) => text + json.depth(),
            Input::Text { json_size, .. } => *json_size,
        }
    }

    /// Writes the input into the part that shows it.
    fn settle(&mut self, parts: &mut [Part]) {
        if !mem::take(&mut self.stale) {
            return;
        }
        let Some(shown) = self.shown else {
            return;
        };
        let Some(Part::Tool(part)) = parts.get_mut(shown.part) else {
            return;
        };
        let (text, value) = self.read();
        set(&mut part.input, value, "input", &mut part.other);
        if shown.raw {
            set(
                &mut part.raw_input,
                Some(text.into()),
                "rawInput",
                &mut part.other,
            );
        }
    }
}

impl Calls {
    pub(super) fn of(parts: &[Part]) -> Self {
        let mut calls = Self::default();
        for part in parts.iter().filter_map(Part::as_tool) {
            if part.state != ToolState::InputStreaming {
                continue;
            }
            let names = Names {
                tool_name: part.tool_name.clone(),
                title: part.title.clone(),
                tool_metadata: part.tool_metadata.clone(),
            };
            let mut call = Call::new(names, part.dynamic, part.input_encoding);
            if let Some(text) = &part.raw_input {
                call.append(text);
            }
            calls.size += call.size();
            if let Some(old) = calls.calls.insert(&part.tool_call_id, call) {
                calls.size -= old.size();
            }
        }
        calls
    }

    pub(super) fn get(&self, tool_call_id: &Text<'_>) -> Option<&Call> {
        self.calls.get(tool_call_id)
    }

    /// What all calls hold in memory, in bytes, about.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether the call had no name, which it now gets.
    pub(super) fn named(&mut self, tool_call_id: &Text<'_>, dynamic: bool) -> bool {
        let Some(call) = self.calls.get_mut(tool_call_id) else {
            return false;
        };
        call.dynamic |= call.nameless && dynamic;
        mem::take(&mut call.nameless)
    }

    /// Begins the input of a call, from nothing.
    pub(super) fn start(&mut self, tool_call_id: &Text<'_>, call: Call, parts: &mut [Part]) {
        self.size += call.size();
        if let Some(mut old) = self.calls.insert(tool_call_id, call) {
            self.size -= old.size();
            old.settle(parts);
            self.released.extend(old.shown.map(|shown| shown.part));
        }
    }

    /// Appends to the input of a call, if there is `room`, and if a part from `step_start` on shows all else that a delta says. Gives that
    /// part.
    pub(super) fn append_fresh(
        &mut self,
        tool_call_id: &Text<'_>,
        delta: &Text<'_>,
        step_start: usize,
        room: usize,
    ) -> Option<usize> {
        let call = self.calls.get_mut(tool_call_id)?;
        let shown = call.shown.filter(|shown| shown.raw && shown.fresh)?;
        if shown.part < step_start || input_growth(delta) > room {
            return None;
        }
        self.size -= call.size();
        call.append(delta);
        self.size += call.size();
        if !mem::replace(&mut call.stale, true) {
            self.stale.push(tool_call_id.clone().into_owned());
        }
        Some(shown.part)
    }

    /// Appends to the input of a call. If another part than this shows it, that part shows it as it was.
    pub(super) fn append(
        &mut self,
        tool_call_id: &Text<'_>,
        delta: &Text<'_>,
        part: Option<usize>,
        parts: &mut [Part],
    ) {
        let mut released = None;
        self.change(tool_call_id, |call| {
            released = call
                .shown
                .map(|shown| shown.part)
                .filter(|&shown| Some(shown) != part);
            if released.is_some() {
                call.settle(parts);
                call.shown = None;
            }
            call.append(delta);
            !mem::replace(&mut call.stale, true)
        });
        self.released.extend(released);
    }

    /// From now on, and until it is told otherwise, this part shows the input of the call.
    pub(super) fn show(&mut self, tool_call_id: &Text<'_>, part: usize, raw: bool) {
        self.change(tool_call_id, |call| {
            call.shown = Some(Shown {
                part,
                raw,
                fresh: true,
            });
            !mem::replace(&mut call.stale, true)
        });
    }

    /// Something but a delta has changed the part, which keeps the input, and its text or not.
    pub(super) fn keep(&mut self, tool_call_id: &Text<'_>, part: usize, raw: bool) {
        self.change(tool_call_id, |call| {
            if let Some(shown) = call.shown.as_mut().filter(|shown| shown.part == part) {
                shown.raw &= raw;
                shown.fresh = false;
            }
            false
        });
    }

    /// The part has an input of its own.
    pub(super) fn hide(&mut self, tool_call_id: &Text<'_>, part: usize) {
        self.change(tool_call_id, |call| {
            call.shown = call.shown.filter(|shown| shown.part != part);
            false
        });
    }

    /// Whether the part shows the input of its call.
    pub(super) fn shows(&self, part: &ToolPart, at: usize) -> bool {
        let call = self.calls.get(&part.tool_call_id);
        call.is_some_and(|call| call.shown.is_some_and(|shown| shown.part == at))
    }

    /// Changes a call, and keeps the size. `change` says whether the call has become stale.
    fn change(&mut self, tool_call_id: &Text<'_>, change: impl FnOnce(&mut Call) -> bool) {
        let Some(call) = self.calls.get_mut(tool_call_id) else {
            return;
        };
        self.size -= call.size();
        if change(call) {
            self.stale.push(tool_call_id.clone().into_owned());
        }
        self.size += call.size();
    }

    /// Forgets all calls. Their parts have what they showed last.
    pub(super) fn clear(&mut self, parts: &mut [Part]) {
        self.settle(parts);
        let calls = mem::take(self).calls;
        let shown = calls.into_values().filter_map(|call| call.shown);
        self.released.extend(shown.map(|shown| shown.part));
    }

    /// Parts that no longer show the input of their call, since the last time that this was asked.
    pub(super) fn take_released(&mut self) -> Vec<usize> {
        mem::take(&mut self.released)
    }

    /// Writes every input into the part that shows it.
    pub(super) fn settle(&mut self, parts: &mut [Part]) {
        for tool_call_id in mem::take(&mut self.stale) {
            if let Some(call) = self.calls.get_mut(&tool_call_id) {
                call.settle(parts);
            }
        }
    }
}

impl Input {
    fn push(&mut self, piece: &str) {
        match self {
            Self::Json(json) => json.push(piece),
            Self::Text {
                text,
                json_size: size,
            } => {
                text.push_str(piece);
                *size += json_size(&piece) - "\"\"".len();
            }
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Json(json) => json.text(),
            Self::Text { text, .. } => text,
        }
    }

    fn value(&self) -> Option<RawJson<'static>> {
        match self {
            Self::Json(json) => json.value(),
            Self::Text { text, .. } => RawJson::from_value(text).ok(),
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Json(json) => json.depth(),
            Self::Text { .. } => 0,
        }
    }
}
