//! The options of the command line.

use std::num::NonZero;
use std::path::PathBuf;

use pico_args::Arguments;

use super::Failure;

pub(crate) struct Options {
    pub(super) redis: Option<String>,
    pub(super) journal: PathBuf,
    /// The number of sandboxes for the jobs.
    pub(super) sandboxes: usize,
    /// The most jobs under way at once.
    pub(super) at_once: usize,
    /// A file with one prompt a line.
    prompts: Option<PathBuf>,
}

/// The prompts without a file: commands for the agent of the local relay.
const PROMPTS: &str = "echo one; sleep 1
echo two > two; sleep 2; wc -c two
sleep 1; uname -s
for i in 1 2 3; do echo $i; sleep 0.5; done
ls /home/user
sleep 2; date
echo seven
sleep 1; echo eight";

impl Options {
    pub(crate) fn read(mut arguments: Arguments) -> Result<Self, Failure> {
        let journal = arguments.opt_value_from_str("--journal")?;
        let number =
            |default| move |number: Option<NonZero<usize>>| number.map_or(default, NonZero::get);
        let options = Self {
            redis: arguments.opt_value_from_str("--redis")?,
            journal: journal.unwrap_or_else(|| "worker.journal".into()),
            sandboxes: arguments.opt_value_from_str("--sandboxes").map(number(2))?,
            at_once: arguments.opt_value_from_str("--at-once").map(number(4))?,
            prompts: arguments.opt_free_from_str()?,
        };
        match arguments.finish().first() {
            Some(unknown) => Err(format!("there is no option {}", unknown.display()).into()),
            None => Ok(options),
        }
    }

    /// Returns the prompts, one for each line.
    pub(super) fn prompts(&self) -> Result<Vec<String>, Failure> {
        let text = match &self.prompts {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                text.map_err(|error| format!("{}: {error}", file.display()))?
            }
            None => PROMPTS.to_owned(),
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Ok(lines.map(str::to_owned).collect())
    }
}
