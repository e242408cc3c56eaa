//! The rules for environment variables of sandboxes, commands and processes.

use std::collections::BTreeMap;

use crate::error::{InvalidRequest, Problem};
use crate::{Secret, Secrets};

/// Checks the names of the variables.
pub(crate) fn check(envs: Option<&BTreeMap<String, Secret>>) -> Result<(), InvalidRequest> {
    let is_invalid = |name: &String| name.is_empty() || name.contains(['=', '\0']);
    if envs.is_some_and(|envs| envs.keys().any(is_invalid)) {
        let rule = "no name that is empty or contains a `=` or a NUL";
        return Err(InvalidRequest::new("envs", Problem::MustContain(rule)));
    }
    Ok(())
}

/// Returns the values of the variables. All of them are secrets.
pub(crate) fn secrets(envs: Option<&BTreeMap<String, Secret>>) -> Secrets {
    envs.into_iter()
        .flat_map(|envs| envs.values())
        .cloned()
        .collect()
}
