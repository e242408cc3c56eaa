use super::calls::{Call, Names};
use super::change::Change;
use super::error::AssembleError;
use super::machine::{Assembler, not_started, own, own_raw};
use super::tool_update::{NewInput, ToolUpdate, set};
use crate::ui::chunk::{
    ToolApprovalRequest, ToolApprovalResponse, ToolInputAvailable, ToolInputDelta, ToolInputError,
    ToolInputStart, ToolOutputAvailable, ToolOutputError,
};
use crate::ui::held::{Held, OwnedSize};
use crate::ui::{Approval, Part, Text, ToolPart, ToolState};

impl Assembler {
    pub(super) fn tool_input_start<'c>(
        &mut self,
        chunk: &ToolInputStart<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let dynamic = chunk.dynamic == Some(true);
        let id = &chunk.tool_call_id;
        let update = ToolUpdate {
            tool_name: Some(&chunk.tool_name),
            encoding: chunk.input_encoding,
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            title: chunk.title.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::InputStreaming)
        };
        // Names exist twice: in the part, and in the call for later deltas.
        let call = self.calls.call_growth(id, update.names_size());
        self.fits_part(id, update.size(id) + call)?;
        let names = Names {
            tool_name: own(&chunk.tool_name),
            title: chunk.title.as_ref().map(own),
            tool_metadata: chunk.tool_metadata.as_ref().map(own_raw),
        };
        let call = Call::new(names, dynamic, chunk.input_encoding);
        self.name_tool(id, dynamic);
        self.calls.start(id, call, &mut self.message.parts);
        // The part that showed an earlier input of this id now owns that input, so it counts with the part.
        self.resize_released();
        Ok(self.update_tool(id, dynamic, self.index.tool_in_step(id, dynamic), &update))
    }

    pub(super) fn tool_input_delta<'c>(
        &mut self,
        chunk: &ToolInputDelta<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let id = &chunk.tool_call_id;
        let delta = &chunk.input_text_delta;
        let room = self.room();
        let step_start = self.index.step_start();
        if let Some(at) = self.calls.append_fresh(id, delta, step_start, room) {
            // The usual case: one delta after another. Only the input of the part changes, and perhaps its state.
            if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
                part.state = ToolState::InputStreaming;
            }
            return Ok(self.changed(at));
        }
        let Some(call) = self.calls.get(id) else {
            return self.open_tool(chunk);
        };
        let (dynamic, nameless) = (call.dynamic, call.nameless);
        let at = self.index.tool_in_step(id, dynamic);
        let at = at.or_else(|| {
            let opened = self.index.any_tool_in_step(id);
            opened.filter(|_| nameless)
        });
        let names = call.names();
        let update = ToolUpdate {
            tool_name: Some(&names.tool_name),
            encoding: call.encoding(),
            title: names.title.as_ref(),
            tool_metadata: names.tool_metadata.as_ref(),
            input: NewInput::Streaming,
            raw_input: true,
            ..ToolUpdate::new(ToolState::InputStreaming)
        };
        // The part may not have shown any of the input before.
        let more = update.size(id) + call.shown_size();
        let growth = self
            .calls
            .growth(id, delta, room.saturating_sub(more))
            .ok_or_else(|| self.too_large())?;
        self.fits_part(id, more + growth.more)?;
        let parts = &mut self.message.parts;
        self.calls.append(id, delta, growth, at, parts);
        self.resize_released();
        Ok(self.update_tool(id, dynamic, at, &update))
    }

    /// Opens the call for a delta that was never started, if the assembler is lenient. The tool's name is unknown.
    pub(super) fn open_tool<'c>(
        &mut self,
        chunk: &ToolInputDelta<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let id = &chunk.tool_call_id;
        if !self.lenient {
            return Err(not_started("tool-input-delta", id));
        }
        if self.index.tool(id).is_some() {
            // The call was started before, but its input is no longer streaming.
            return Err(not_started("tool-input-delta", id));
        }
        let update = ToolUpdate::new(ToolState::InputStreaming);
        // Only the call knows how much it grows for the delta, so check first that the call itself fits.
        let opened = self.calls.call_growth(id, 0) + update.size(id);
        self.fits_part(id, opened)?;
        let call = Call::new(Names::default(), false, None).nameless();
        let growth = call
            .growth(&chunk.input_text_delta, self.room())
            .ok_or_else(|| self.too_large())?;
        // Check the amount that `tool_input_delta` checks below, because an error must leave the message unchanged.
        self.fits_part(id, opened + call.shown_size() + growth.more)?;
        self.calls.start(id, call, &mut self.message.parts);
        self.tool_input_delta(chunk)
    }

    /// Records that the name of a call is known. If the call was opened without a name, its part becomes dynamic, or not, as the
    /// chunk with the name says.
    pub(super) fn name_tool(&mut self, id: &Text<'_>, dynamic: bool) {
        if !self.calls.named(id, dynamic) || self.index.tool_in_step(id, dynamic).is_some() {
            return;
        }
        let Some(at) = self.index.any_tool_in_step(id) else {
            return;
        };
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            part.dynamic = dynamic;
            self.index.kind_changed(at, part);
        }
    }

    pub(super) fn tool_input_available<'c>(
        &mut self,
        chunk: &ToolInputAvailable<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let dynamic = chunk.dynamic == Some(true);
        let id = &chunk.tool_call_id;
        let update = ToolUpdate {
            tool_name: Some(&chunk.tool_name),
            input: NewInput::of(chunk.input.as_ref()),
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            title: chunk.title.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::InputAvailable)
        };
        self.fits_part(id, update.size(id))?;
        self.name_tool(id, dynamic);
        Ok(self.update_tool(id, dynamic, self.index.tool_in_step(id, dynamic), &update))
    }

    pub(super) fn tool_input_error<'c>(
        &mut self,
        chunk: &ToolInputError<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let id = &chunk.tool_call_id;
        let update = ToolUpdate {
            tool_name: Some(&chunk.tool_name),
            input: NewInput::of(chunk.input.as_ref()),
            error_text: Some(&chunk.error_text),
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            // The title of the chunk is ignored, as in the AI SDK.
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::OutputError)
        };
        self.fits_part(id, update.size(id))?;
        self.name_tool(id, chunk.dynamic == Some(true));
        // As in the AI SDK, the part that exists decides whether the tool is dynamic, and not the chunk.
        let existing = self.index.any_tool_in_step(id);
        let existing = existing.and_then(|at| self.message.parts.get(at)?.as_tool());
        let dynamic = match existing {
            Some(part) => part.dynamic,
            None => chunk.dynamic == Some(true),
        };
        Ok(self.update_tool(id, dynamic, self.index.tool_in_step(id, dynamic), &update))
    }

    pub(super) fn tool_output_available<'c>(
        &mut self,
        chunk: &ToolOutputAvailable<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, dynamic) = self.existing_tool(&chunk.tool_call_id)?;
        let update = ToolUpdate {
            input: NewInput::Kept,
            output: chunk.output.as_ref(),
            preliminary: chunk.preliminary,
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::OutputAvailable)
        };
        self.fits(update.size(&chunk.tool_call_id))?;
        Ok(self.update_tool(&chunk.tool_call_id, dynamic, Some(at), &update))
    }

    pub(super) fn tool_output_error<'c>(
        &mut self,
        chunk: &ToolOutputError<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, dynamic) = self.existing_tool(&chunk.tool_call_id)?;
        let update = ToolUpdate {
            input: NewInput::Kept,
            // As in the AI SDK, only the part of a static tool keeps the text after an error.
            raw_input: !dynamic,
            error_text: Some(&chunk.error_text),
            provider_executed: chunk.provider_executed,
            provider_metadata: chunk.provider_metadata.as_ref(),
            tool_metadata: chunk.tool_metadata.as_ref(),
            ..ToolUpdate::new(ToolState::OutputError)
        };
        self.fits(update.size(&chunk.tool_call_id))?;
        Ok(self.update_tool(&chunk.tool_call_id, dynamic, Some(at), &update))
    }

    pub(super) fn tool_output_denied<'c>(
        &mut self,
        tool_call_id: &Text<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, _) = self.existing_tool(tool_call_id)?;
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            part.state = ToolState::OutputDenied;
        }
        Ok(self.changed(at))
    }

    pub(super) fn tool_approval_request<'c>(
        &mut self,
        chunk: &ToolApprovalRequest<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let (at, _) = self.existing_tool(&chunk.tool_call_id)?;
        let index = self.index.approval_growth(&chunk.approval_id);
        self.fits(chunk.owned_size() + index)?;
        let mut approval = Approval::new(own(&chunk.approval_id));
        // As in the AI SDK, a `null` descriptor and `isAutomatic: false` are left out.
        approval.descriptor = chunk
            .approval_descriptor
            .as_ref()
            .filter(|descriptor| !descriptor.is_null())
            .map(own_raw);
        approval.input_schema_input = chunk.input_schema_input.as_ref().map(own_raw);
        approval.request_reason = chunk.reason.as_ref().map(own);
        approval.is_automatic = chunk.is_automatic.filter(|&automatic| automatic);
        approval.signature = chunk.signature.as_ref().map(own);
        self.set_approval(at, approval, ToolState::ApprovalRequested);
        Ok(self.changed(at))
    }

    pub(super) fn tool_approval_response<'c>(
        &mut self,
        chunk: &ToolApprovalResponse<'_>,
    ) -> Result<Change<'c>, AssembleError> {
        let missing = || AssembleError::NoApproval {
            approval_id: own(&chunk.approval_id),
        };
        let at = self
            .index
            .approval(&chunk.approval_id)
            .ok_or_else(missing)?;
        let part = self.message.parts.get(at).and_then(Part::as_tool);
        let approval = part.and_then(|part| part.approval.as_ref());
        let approval = approval.ok_or_else(missing)?;
        // The approval exists twice while it changes.
        self.fits(2 * approval.held() + chunk.owned_size())?;
        let mut approval = approval.clone();
        set(
            &mut approval.approved,
            Some(chunk.approved),
            "approved",
            &mut approval.other,
        );
        if let Some(reason) = &chunk.reason {
            set(
                &mut approval.reason,
                Some(own(reason)),
                "reason",
                &mut approval.other,
            );
        }
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            if let Some(provider_executed) = chunk.provider_executed {
                let (field, other) = (&mut part.provider_executed, &mut part.other);
                set(field, Some(provider_executed), "providerExecuted", other);
            }
            if let Some(metadata) = &chunk.provider_metadata {
                part.call_provider_metadata = Some(own_raw(metadata));
            }
        }
        self.set_approval(at, approval, ToolState::ApprovalResponded);
        Ok(self.changed(at))
    }

    pub(super) fn set_approval(&mut self, at: usize, approval: Approval, state: ToolState) {
        if let Some(Part::Tool(part)) = self.message.parts.get_mut(at) {
            // The new approval may have another id, under which the part has to be found.
            self.index.approval_removed(at, part);
            set(
                &mut part.approval,
                Some(approval),
                "approval",
                &mut part.other,
            );
            part.state = state;
            self.index.approval_added(at, part);
        }
        self.resize_tool(at);
    }

    pub(super) fn existing_tool(
        &self,
        tool_call_id: &Text<'_>,
    ) -> Result<(usize, bool), AssembleError> {
        let at = self.index.tool(tool_call_id);
        let part = at.and_then(|at| self.message.parts.get(at)?.as_tool());
        match (at, part) {
            (Some(at), Some(part)) => Ok((at, part.dynamic)),
            _ => Err(AssembleError::NoToolCall {
                tool_call_id: own(tool_call_id),
            }),
        }
    }

    /// Applies an update to the part of a call, or to a new one if there is none. The caller has checked that it fits.
    pub(super) fn update_tool<'c>(
        &mut self,
        id: &Text<'_>,
        dynamic: bool,
        existing: Option<usize>,
        update: &ToolUpdate<'_>,
    ) -> Change<'c> {
        let (at, change) = match existing {
            Some(at) => (at, self.changed(at)),
            None => {
                let steps = self.show();
                let mut part = ToolPart::new("", own(id), update.state.clone());
                part.dynamic = dynamic;
                let at = self.push(Part::Tool(Box::new(part)));
                let first = steps.unwrap_or(at);
                (at, Change::Added { first })
            }
        };
        let Some(Part::Tool(part)) = self.message.parts.get_mut(at) else {
            return change;
        };
        update.apply(part);
        match update.input {
            NewInput::Streaming => {
                // As in the AI SDK, the part of a dynamic tool shows the text only from its second delta on.
                let raw = existing.is_some() || !dynamic;
                self.calls.show(id, at, raw);
            }
            NewInput::Kept => self.calls.keep(id, at, update.raw_input),
            NewInput::Value(_) | NewInput::Absent => self.calls.hide(id, at),
        }
        self.resize_tool(at);
        change
    }

    /// Measures the part of a call. It leaves out an input that streams, because the call counts it.
    pub(super) fn resize_tool(&mut self, at: usize) {
        if let Some(part) = self.message.parts.get(at)
            && let Some(tool) = part.as_tool()
        {
            let input = if self.calls.shows(tool, at) {
                tool.input.held() + tool.raw_input.held()
            } else {
                0
            };
            self.resize(at, part.held() - input);
        }
    }

    /// Checks that another part of a call fits, in case one is needed, with this many bytes in addition to its entry.
    fn fits_part(&mut self, tool_call_id: &Text<'_>, more: usize) -> Result<(), AssembleError> {
        let index = self.index.call_growth(tool_call_id);
        self.fits_parts(1, more + index)
    }

    pub(super) fn resize_released(&mut self) {
        for at in self.calls.take_released() {
            self.resize_tool(at);
        }
    }
}
