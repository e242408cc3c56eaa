use serde::{Deserialize, Serialize};

use super::StartRun;
use crate::error::{InvalidRequest, Problem};
use crate::setters::setters;

/// The settings of an agent that a single run overrides.
///
/// If one member is invalid or unknown, the relay silently drops all of them, including a cost cap. So the list is closed, and
/// every member is checked before the request is sent.
///
/// ```
/// use twentyfirst_protocol::runs::{PermissionMode, RunOptions};
///
/// let options = RunOptions::new()
///     .model("claude-sonnet-4-6")
///     .max_turns(25)
///     .max_budget_usd(1.0)
///     .permission_mode(PermissionMode::BypassPermissions);
/// assert_eq!(options.validate(), Ok(()));
///
/// let error = options.max_turns(0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "`options.max_turns` must be at least 1");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct RunOptions {
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<SystemPrompt>,
    /// The limit of reasoning steps, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// The cost cap of this run in US dollars, above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_budget_usd: Option<f64>,
    /// The cost cap of the sandbox in US dollars; 0 removes the agent's own. It needs an `an_sk_` key: with any other, the relay
    /// responds with 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sandbox_budget_usd: Option<f64>,
    /// The permissions of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// The tools that the agent may not use, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disallowed_tools: Option<Vec<String>>,
}

impl RunOptions {
    /// Creates options that override nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks every member against the relay's rules.
    ///
    /// # Errors
    /// Names the first member that would make the relay drop all of them.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        let wrong = |field: &'static str, problem| Err(InvalidRequest::new(field, problem));
        if self.model.as_ref().is_some_and(String::is_empty) {
            return wrong("options.model", Problem::Empty);
        }
        if self.max_turns == Some(0) {
            return wrong("options.max_turns", Problem::MustBe("at least 1"));
        }
        if self
            .max_budget_usd
            .is_some_and(|dollars| !dollars.is_finite() || dollars <= 0.0)
        {
            return wrong(
                "options.max_budget_usd",
                Problem::MustBe("a number above 0"),
            );
        }
        if self
            .max_sandbox_budget_usd
            .is_some_and(|dollars| !dollars.is_finite() || dollars < 0.0)
        {
            return wrong(
                "options.max_sandbox_budget_usd",
                Problem::MustBe("a number of at least 0"),
            );
        }
        match &self.disallowed_tools {
            Some(tools) if tools.is_empty() => wrong("options.disallowed_tools", Problem::Empty),
            Some(tools) if tools.iter().any(String::is_empty) => wrong(
                "options.disallowed_tools",
                Problem::MustContain("no empty names"),
            ),
            _ => Ok(()),
        }
    }
}

setters! {
    RunOptions, run_options_setters, in StartRun.options;

    /// Sets the model.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the system prompt: a text, or a [`SystemPrompt`].
    pub fn system_prompt(mut self, prompt: impl Into<SystemPrompt>) -> Self {
        self.system_prompt = Some(prompt.into());
        self
    }

    /// Sets the limit of reasoning steps.
    pub fn max_turns(mut self, turns: u32) -> Self {
        self.max_turns = Some(turns);
        self
    }

    /// Sets the cost cap of this run in US dollars.
    pub fn max_budget_usd(mut self, dollars: f64) -> Self {
        self.max_budget_usd = Some(dollars);
        self
    }

    /// Sets the cost cap of the sandbox in US dollars.
    pub fn max_sandbox_budget_usd(mut self, dollars: f64) -> Self {
        self.max_sandbox_budget_usd = Some(dollars);
        self
    }

    /// Sets the permissions of the agent.
    pub fn permission_mode(mut self, mode: PermissionMode) -> Self {
        self.permission_mode = Some(mode);
        self
    }

    /// Sets the tools that the agent may not use.
    pub fn disallowed_tools(mut self, tools: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.disallowed_tools = Some(tools.into_iter().map(Into::into).collect());
        self
    }
}

/// A system prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SystemPrompt {
    /// This text, in place of the agent's own.
    Text(String),
    /// The prompt of Claude Code.
    Preset(Preset),
}

impl SystemPrompt {
    /// Returns the prompt of Claude Code.
    pub fn claude_code() -> Self {
        Self::Preset(Preset {
            kind: PresetKind::Preset,
            preset: PresetName::ClaudeCode,
            append: None,
        })
    }

    /// Returns the prompt of Claude Code, followed by a text.
    pub fn claude_code_and(append: impl Into<String>) -> Self {
        Self::Preset(Preset {
            kind: PresetKind::Preset,
            preset: PresetName::ClaudeCode,
            append: Some(append.into()),
        })
    }
}

impl<T: Into<String>> From<T> for SystemPrompt {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// A prompt that the relay knows by name. Create it with [`SystemPrompt::claude_code`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    #[serde(rename = "type")]
    kind: PresetKind,
    preset: PresetName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    append: Option<String>,
}

impl Preset {
    /// Returns the text that follows the prompt.
    pub fn append(&self) -> Option<&str> {
        self.append.as_deref()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PresetKind {
    Preset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PresetName {
    ClaudeCode,
}

/// The permissions of an agent. The relay drops all options if it gets any other mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PermissionMode {
    /// Uses the agent's own configuration.
    Default,
    /// Allows editing files.
    AcceptEdits,
    /// Allows everything.
    BypassPermissions,
    /// Allows nothing: the agent only plans.
    Plan,
    /// Allows what was allowed beforehand, and refuses everything else without asking.
    DontAsk,
}
