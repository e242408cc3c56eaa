use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use twentyfirst_protocol::Session;
use twentyfirst_protocol::runs::typed::{Answered, TypedQuestion, TypedStep};
use twentyfirst_protocol::runs::{Created, StartRun};
use twentyfirst_protocol::threads::Usage;
use twentyfirst_protocol::ui::{Part, UiMessage};

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::Error;
use crate::run::Run;

impl Call<StartRun, Run> {
    /// Reads the answer as a `T`, and asks the agent to follow its JSON Schema. Feature `schemars`.
    ///
    /// The schema is added to the turn after the user's text. If the answer contains no such value, the call asks once more: a
    /// second run in the same thread tells the agent what was wrong. See
    /// [`protocol::runs::typed`](twentyfirst_protocol::runs::typed) for the way values are found in an answer.
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, schemars};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Report {
    ///     /// The number of bugs.
    ///     bugs: u32,
    ///     files: Vec<String>,
    /// }
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let typed = client.threads().run("my-agent", "How many bugs are in /src?").json::<Report>().await?;
    /// println!("{} bugs", typed.value.bugs);
    /// if let Some(dollars) = typed.usage().total_cost_usd {
    ///     println!("This took ${dollars:.4}.");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The call returns when the run is over.
    ///
    /// # Errors
    /// [`Error::is_no_value`] if neither answer contains a value, and the errors of [`run`](crate::Threads::run) and
    /// [`Run::message`]. In any case [`Error::answers`] has the agent's texts and their cost, and [`Error::created`] names the
    /// sandbox.
    ///
    /// # Cancel safety
    /// Dropping the future only stops reading: a run that has begun goes on and costs money.
    #[cfg(feature = "schemars")]
    pub fn json<T>(self) -> Call<StartRun, Typed<T>>
    where
        T: DeserializeOwned + schemars::JsonSchema + Send + 'static,
    {
        let mut settings = schemars::generate::SchemaSettings::draft2020_12();
        // The `$schema` URL tells an agent nothing.
        settings.meta_schema = None;
        let schema = settings.into_generator().into_root_schema_for::<T>();
        self.json_of(schema.to_value())
    }

    /// Reads the answer as a `T`, and asks the agent to follow this JSON Schema. Use it instead of `json` (feature `schemars`) for
    /// schemas that are written by hand or known only at run time.
    ///
    /// # Errors
    /// [`Error::is_no_value`] if neither answer contains a value, and the errors of [`run`](crate::Threads::run) and
    /// [`Run::message`]. In any case [`Error::answers`] has the agent's texts and their cost, and [`Error::created`] names the
    /// sandbox.
    pub fn json_of<T>(self, schema: Value) -> Call<StartRun, Typed<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.run_with(|client, run| ask(client, run, schema))
    }
}

/// A value from an agent, with the runs that it took to get it.
#[non_exhaustive]
pub struct Typed<T> {
    /// The value.
    pub value: T,
    /// The ids of the sandbox and the thread that were created for it. A sandbox costs money until it is deleted.
    pub created: Created,
    /// The answers in order: one, or two if the agent was asked once more.
    pub answers: Vec<Answered>,
}

impl<T> Typed<T> {
    /// Returns the usage and cost of all its runs.
    pub fn usage(&self) -> Usage {
        self.answers.iter().map(|answer| answer.outcome.usage).sum()
    }

    /// Returns the session of the conversation, to continue it or to delete its sandbox.
    ///
    /// Returns `None` only if [`answers`](Self::answers) is empty, which is never so in a value that a call returned.
    pub fn session(&self) -> Option<Session> {
        Some(self.answers.last()?.run.session())
    }
}

/// Shows the value, but no texts of the answers.
impl<T: fmt::Debug> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("value", &self.value)
            .field("created", &self.created)
            .field("answers", &self.answers)
            .finish()
    }
}

async fn ask<T: DeserializeOwned>(
    client: AgentClient,
    run: StartRun,
    schema: Value,
) -> Result<Typed<T>, Error> {
    // Validated before the schema is added: with the schema even a turn without text would pass.
    run.validate()?;
    let mut question = TypedQuestion::new(run, schema);
    let mut next = question.first();
    let mut created = Created::default();
    loop {
        let step = answer(&client, next, &mut question, &mut created).await;
        next = match step {
            Ok(TypedStep::Value(value)) => {
                return Ok(Typed {
                    value,
                    created,
                    answers: question.into_answers(),
                });
            }
            Ok(TypedStep::Ask(repair)) => *repair,
            Ok(TypedStep::Failed) => {
                return Err(Error::no_value().with_answers(created, question.into_answers()));
            }
            Err(error) => {
                return Err(error.with_answers(created, question.into_answers()));
            }
        };
    }
}

/// Makes one run and reads its answer.
async fn answer<T: DeserializeOwned>(
    client: &AgentClient,
    run: StartRun,
    question: &mut TypedQuestion<T>,
    created: &mut Created,
) -> Result<TypedStep<T>, Error> {
    let mut run = client.threads().start(run).await?;
    // The second run uses the sandbox and the thread of the first, so it creates nothing.
    if created.is_empty() {
        created.clone_from(run.created());
    }
    let message = run.message().await;
    // The message can be complete before the run is over. Only at the end is the usage known, and the thread free for another run.
    let outcome = run.outcome().await;
    let text = match &message {
        Ok(message) => texts(message),
        Err(_) => texts(run.message_so_far()),
    };
    let answered = Answered::new(run.run_ref().clone(), text, outcome);
    match message {
        Ok(_) => Ok(question.answered(answered)),
        Err(error) => {
            question.note(answered);
            Err(error)
        }
    }
}

/// Joins the texts of a message. Texts before and after a tool call are separate lines, because a code fence must begin its own
/// line.
fn texts(message: &UiMessage) -> String {
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(part) => Some(part.text.to_string_lossy()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
