//! What is said on the command line.

use std::path::PathBuf;

use super::Failure;

pub(crate) struct Options {
    pub(super) redis: Option<String>,
    pub(super) journal: PathBuf,
    /// Over how many sandboxes the jobs are spread.
    pub(super) sandboxes: usize,
    /// How many jobs are under way at once, at most.
    pub(super) at_once: usize,
    /// A file with one prompt a line.
    prompts: Option<PathBuf>,
}

/// What the local agent runs as commands.
const PROMPTS: &str = "echo one; sleep 1
echo two > two; sleep 2; wc -c two
sleep 1; uname -s
for i in 1 2 3; do echo $i; sleep 0.5; done
ls /home/user
sleep 2; date
echo seven
sleep 1; echo eight";

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            redis: None,
            journal: "worker.journal".into(),
            sandboxes: 2,
            at_once: 4,
            prompts: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--redis" => options.redis = Some(value()?),
                "--journal" => options.journal = value()?.into(),
                "--sandboxes" => options.sandboxes = number(&argument, &value()?)?,
                "--at-once" => options.at_once = number(&argument, &value()?)?,
                unknown if unknown.starts_with('-') => {
                    return Err(format!("there is no option {unknown}").into());
                }
                file => options.prompts = Some(file.into()),
            }
        }
        Ok(options)
    }

    /// The prompts, one a line.
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

fn number(name: &str, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{name} wants a number from 1 on, not {text}"))
}
