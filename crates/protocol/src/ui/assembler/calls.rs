use std::mem;
use std::sync::Arc;

use super::by_text::ByText;
use super::input::{Input, brackets};
use super::room::grown;
use super::tool_update::set;
use crate::ui::chunk::InputEncoding;
use crate::ui::held::{Held, allocation};
use crate::ui::joiner::Half;
use crate::ui::{Part, PartialJson, RawJson, Text, ToolPart, ToolState};

/// The tool calls whose input is streaming or has streamed, each with the text of its input.
///
/// A part shows the text and the value read from it. Both are written into the part only when the message is looked at. Writing
/// them for every delta would take time quadratic in the size of the input.
///
/// ```text
///          show, append_fresh            settle (the message is looked at)
///  a part ────────────────────► stale ───────────────────────────────────► up to date
///                                 ▲                                              │
///                                 └──────────────── append_fresh ────────────────┘
///
///  start, or append to another part ──► settle ──► released: keeps what it showed last
/// ```
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    calls: ByText<Box<Call>>,
    /// The parts that may not show the whole input of their call yet.
    stale: Vec<usize>,
    /// The parts that no longer show the input of their call, and keep what they showed last.
    released: Vec<usize>,
    /// The memory of all calls in bytes.
    size: usize,
}

/// A tool call whose input is streaming or has streamed.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) dynamic: bool,
    /// Whether the tool's name is unknown, because a delta has opened the call.
    pub(super) nameless: bool,
    names: Arc<Names>,
    encoding: Option<InputEncoding>,
    input: Input,
    half: Half,
    /// The part that shows the current input.
    shown: Option<Shown>,
    /// Whether that part does not show the whole input yet.
    stale: bool,
    /// Whether [`Calls::stale`] has a part of this call.
    listed: bool,
}

/// The names in the start of a call. Each delta may need them again, for a part in a later step.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) tool_name: Text<'static>,
    pub(super) title: Option<Text<'static>>,
    pub(super) tool_metadata: Option<RawJson<'static>>,
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    part: usize,
    /// Whether the part also shows the text.
    raw: bool,
    /// Whether the last change of the part was a delta.
    fresh: bool,
}

/// The growth of a call for a delta.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// The capacity that the text of the input needs.
    capacity: usize,
    /// An upper bound for the additional memory of the text, and of the part that shows it.
    pub(super) more: usize,
}

impl Names {
    fn size(&self) -> usize {
        let own = allocation(size_of::<Self>() + 2 * size_of::<usize>());
        own + self.tool_name.held() + self.title.held() + self.tool_metadata.held()
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
            listed: false,
        }
    }

    /// Marks the tool's name as unknown.
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

    /// Returns the growth for a delta; `None` if there is no `room` for it.
    pub(super) fn growth(&self, delta: &Text<'_>, room: usize) -> Option<Growth> {
        // U+FFFD may be needed twice: for a half that stays alone, and for one that waits at the end.
        let added = delta.stored_len() + 2 * "\u{fffd}".len();
        let text = self.input.text().len() + added;
        let scratch = self.half.scratch(delta);
        let mut more = scratch + self.input.growth(added, added);
        if more > room {
            // The first estimate took every byte for a bracket, which is cheap and nearly always fits. Now count them.
            more = scratch + self.input.growth(added, brackets(delta));
        }
        let mut capacity = self.input.capacity();
        if text > capacity {
            capacity = grown(capacity, text, room.checked_sub(more)?, allocation)?;
            more += allocation(capacity);
        }
        (more <= room).then_some(Growth { capacity, more })
    }

    fn append(&mut self, delta: &Text<'_>, capacity: usize) {
        let piece = self.half.join(delta);
        self.input.push(&piece, capacity);
    }

    /// Returns the text to show, and the value read from it.
    fn read(&self) -> (String, Option<RawJson<'static>>) {
        if self.half.is_waiting() {
            return self.input.with("\u{fffd}").into_shown();
        }
        let value = self.input.value();
        (self.input.text().to_owned(), value)
    }

    /// Returns the memory of the input, in the call and in the part that shows it.
    fn size(&self) -> usize {
        let shown = if self.shown.is_some() {
            self.shown_size()
        } else {
            0
        };
        Self::EMPTY_SIZE + self.names.size() + self.input.held() + shown
    }

    /// The memory of an empty call, with its entries in the lists of parts.
    const EMPTY_SIZE: usize = allocation(size_of::<Self>()) + 6 * size_of::<usize>();

    /// Returns the memory of the input in a part that shows it: the text, the value, and the temporary memory to read it.
    pub(super) fn shown_size(&self) -> usize {
        let text = self.input.text().len();
        allocation(text + "\u{fffd}".len())
            + match &self.input {
                Input::Json(json) => {
                    allocation(text + json.depth() + "\u{fffd}false\"".len())
                        + Input::SCRATCH * json.depth()
                }
                Input::Text { json_size, .. } => allocation(*json_size + "\u{fffd}".len()),
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
        // Drop the old input before the new one is allocated: both together could exceed the limit.
        part.input = None;
        if shown.raw {
            part.raw_input = None;
        }
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
                call.append(text, text.stored_len());
            }
            calls.size += call.size();
            // If an id repeats, its last part is the one that continues.
            if let Some(old) = calls.calls.insert(&part.tool_call_id, Box::new(call)) {
                calls.size -= old.size();
            }
        }
        calls
    }

    pub(super) fn get(&self, tool_call_id: &Text<'_>) -> Option<&Call> {
        self.calls.get(tool_call_id).map(|call| &**call)
    }

    /// Returns the memory of all calls and of the inputs that their parts show.
    pub(super) fn held(&self) -> usize {
        self.size + self.calls.held()
    }

    /// Returns an upper bound for the additional memory of another call. `names` is the memory of its names.
    pub(super) fn call_growth(&self, tool_call_id: &Text<'_>, names: usize) -> usize {
        let names_size = allocation(size_of::<Names>() + 2 * size_of::<usize>()) + names;
        self.calls.growth(tool_call_id) + Call::EMPTY_SIZE + names_size + Input::EMPTY_SIZE
    }

    /// Returns the growth of a call for a delta; `None` if there is no `room` for it.
    pub(super) fn growth(
        &self,
        tool_call_id: &Text<'_>,
        delta: &Text<'_>,
        room: usize,
    ) -> Option<Growth> {
        self.calls.get(tool_call_id)?.growth(delta, room)
    }

    /// Marks the tool's name as known. If it was unknown before, also records whether the tool is dynamic, and returns `true`.
    pub(super) fn named(&mut self, tool_call_id: &Text<'_>, dynamic: bool) -> bool {
        let Some(call) = self.calls.get_mut(tool_call_id) else {
            return false;
        };
        call.dynamic |= call.nameless && dynamic;
        mem::take(&mut call.nameless)
    }

    /// Begins the input of a call, with an empty text. A part that showed an earlier input of the call keeps it.
    pub(super) fn start(&mut self, tool_call_id: &Text<'_>, mut call: Call, parts: &mut [Part]) {
        // A part of the old call may still be listed. The list finds calls by their id, so it must not get another entry.
        call.listed = self.get(tool_call_id).is_some_and(|old| old.listed);
        self.size += call.size();
        if let Some(mut old) = self.calls.insert(tool_call_id, Box::new(call)) {
            self.size -= old.size();
            // The old input is dropped with the old call, so its part has to show all of it now.
            old.settle(parts);
            self.released.extend(old.shown.map(|shown| shown.part));
        }
    }

    /// Appends to the input of a call if nothing but the input changes: a part from `step_start` on shows it, and the last change
    /// of that part was a delta, too. Returns that part; `None` otherwise, or if there is no `room`.
    pub(super) fn append_fresh(
        &mut self,
        tool_call_id: &Text<'_>,
        delta: &Text<'_>,
        step_start: usize,
        room: usize,
    ) -> Option<usize> {
        let call = self.calls.get_mut(tool_call_id)?;
        let shown = call.shown.filter(|shown| shown.raw && shown.fresh)?;
        // A delta in a later step creates a part there, so the part of the earlier step must not change.
        if shown.part < step_start {
            return None;
        }
        let growth = call.growth(delta, room)?;
        self.size -= call.size();
        call.append(delta, growth.capacity);
        self.size += call.size();
        call.stale = true;
        if !mem::replace(&mut call.listed, true) {
            self.stale.push(shown.part);
        }
        Some(shown.part)
    }

    /// Appends to the input of a call, with the [`growth`](Self::growth) for this delta. If another part than `part` shows the
    /// input, that part keeps the input as it was.
    pub(super) fn append(
        &mut self,
        tool_call_id: &Text<'_>,
        delta: &Text<'_>,
        growth: Growth,
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
                // That part shows the input up to here, without this delta.
                call.settle(parts);
                call.shown = None;
            }
            call.append(delta, growth.capacity);
        });
        self.released.extend(released);
    }

    /// Makes this part show the input of the call. `raw` says whether it also shows the text.
    pub(super) fn show(&mut self, tool_call_id: &Text<'_>, part: usize, raw: bool) {
        let mut listed = true;
        self.change(tool_call_id, |call| {
            listed = mem::replace(&mut call.listed, true);
            call.shown = Some(Shown {
                part,
                raw,
                fresh: true,
            });
            call.stale = true;
        });
        if !listed {
            self.stale.push(part);
        }
    }

    /// Records that something other than a delta has changed the part. The part keeps the input, and its text if `raw`.
    pub(super) fn keep(&mut self, tool_call_id: &Text<'_>, part: usize, raw: bool) {
        self.change(tool_call_id, |call| {
            if let Some(shown) = call.shown.as_mut().filter(|shown| shown.part == part) {
                shown.raw &= raw;
                // The next delta has to restore more than the input, so `append_fresh` must not take it.
                shown.fresh = false;
            }
        });
    }

    /// Records that the part no longer shows the input of the call.
    pub(super) fn hide(&mut self, tool_call_id: &Text<'_>, part: usize) {
        self.change(tool_call_id, |call| {
            call.shown = call.shown.filter(|shown| shown.part != part);
        });
    }

    /// Returns whether the part shows the input of its call.
    pub(super) fn shows(&self, part: &ToolPart, at: usize) -> bool {
        let call = self.calls.get(&part.tool_call_id);
        call.is_some_and(|call| call.shown.is_some_and(|shown| shown.part == at))
    }

    /// Changes a call, and updates the total size.
    fn change(&mut self, tool_call_id: &Text<'_>, change: impl FnOnce(&mut Call)) {
        let Some(call) = self.calls.get_mut(tool_call_id) else {
            return;
        };
        self.size -= call.size();
        change(call);
        self.size += call.size();
    }

    /// Forgets all calls. Their parts keep what they showed last.
    pub(super) fn clear(&mut self, parts: &mut [Part]) {
        // First, because the inputs are dropped with the calls.
        self.settle(parts);
        let calls = mem::take(self).calls;
        let shown = calls.into_values().filter_map(|call| call.shown);
        self.released.extend(shown.map(|shown| shown.part));
    }

    /// Returns the parts that stopped showing the input of their call since the last call of this function.
    pub(super) fn take_released(&mut self) -> Vec<usize> {
        mem::take(&mut self.released)
    }

    /// Writes every input into the part that shows it.
    pub(super) fn settle(&mut self, parts: &mut [Part]) {
        for at in mem::take(&mut self.stale) {
            // Meanwhile another part may show the input. The call knows which, and the listed part still has the call's id.
            if let Some(Part::Tool(part)) = parts.get(at)
                && let Some(call) = self.calls.get_mut(&part.tool_call_id)
            {
                call.listed = false;
                call.settle(parts);
            }
        }
    }
}
