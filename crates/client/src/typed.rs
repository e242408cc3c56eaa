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
    /// Reads the answer as a `T`, whose JSON Schema the agent is asked for. Feature `schemars`.
    ///
    /// The schema goes into the turn, behind the user's text. An answer that holds no such value is repaired once: a second run in the same
    /// thread says what was wrong. See [`protocol::runs::typed`](twentyfirst_protocol::runs::typed) for how values are found.
    ///
    /// ```no_run
    /// use twentyfirst_client::{AgentClient, schemars};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Report {
    ///     /// How many bugs there are.
    ///     bugs: u32,
    ///     files: Vec<String>,
    /// }
    ///
    /// # async fn example(client: AgentClient) -> Result<(), twentyfirst_client::Error> {
    /// let typed = client.threads().run("my-agent", "How many bugs are in /src?").json::<Report>().await?;
    /// println!("{} bugs for {:?} US dollars", typed.value.bugs, typed.usage().total_cost_usd);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It returns when the run is over. Dropping the future only stops listening: a run that has begun goes on and costs.
    ///
    /// # Errors
    /// [`Error::is_no_value`] where both answers hold none, and those of [`run`](crate::Threads::run) and of [`Run::message`]. Whatever went
    /// wrong, [`Error::answers`] has what the agent said and what that cost, and [`Error::created`] names the sandbox.
    #[cfg(feature = "schemars")]
    pub fn json<T>(self) -> Call<StartRun, Typed<T>>
    where
        T: DeserializeOwned + schemars::JsonSchema + Send + 'static,
    {
        let mut settings = schemars::generate::SchemaSettings::draft2020_12();
        // It tells an agent nothing.
        settings.meta_schema = None;
        let schema = settings.into_generator().into_root_schema_for::<T>();
        self.json_of(schema.to_value())
    }

    /// Reads the answer as a `T`; the agent is asked for this JSON Schema. As [`json`](Self::json) for types whose schema is written by hand, or
    /// known only at run time.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn json_of<T>(self, schema: Value) -> Call<StartRun, Typed<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.made(|client, run| ask(client, run, schema))
    }
}

/// A value that an agent gave, and the runs that it took.
#[non_exhaustive]
pub struct Typed<T> {
    /// The value.
    pub value: T,
    /// What was created for it. It costs until it is deleted.
    pub created: Created,
    /// The runs that were made, the first one first: one, or two with the repair.
    pub answers: Vec<Answered>,
}

impl<T> Typed<T> {
    /// Returns what all its runs used and cost.
    pub fn usage(&self) -> Usage {
        self.answers.iter().map(|answer| answer.outcome.usage).sum()
    }

    /// Returns where the conversation took place, to continue it or to delete its sandbox.
    ///
    /// `None` only for a value with no answers, which no call gives.
    pub fn session(&self) -> Option<Session> {
        Some(self.answers.last()?.run.session())
    }
}

/// The value as it is; of the answers no texts.
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
    // With the schema behind it, a turn without a text would have one.
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
    if created.is_empty() {
        created.clone_from(run.created());
    }
    let message = run.message().await;
    // Behind the message comes what the run used; and only then its thread is free for another.
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

/// Texts before and behind a tool call are not one line, as a fence needs one of its own.
fn texts(message: &UiMessage) -> String {
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(part) => Some(part.text.to_string_lossy()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
