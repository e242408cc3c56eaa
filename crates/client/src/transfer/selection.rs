use std::fmt;
use std::path::Path;

use super::error::{TransferError, TransferErrorKind};

type Filter = Box<dyn FnMut(&Path) -> bool + Send>;

/// The choice of the entries that are transferred.
#[derive(Default)]
pub(super) struct Selection {
    /// Names, which are excluded at any depth, and paths from the top of the directory, which begin with `/`.
    excluded: Vec<String>,
    /// The first exclusion that names no entry.
    refused: Option<String>,
    filter: Option<Filter>,
}

impl Selection {
    pub(super) fn exclude(&mut self, what: String) {
        let names: Vec<_> = what
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .collect();
        // `tar` takes `.` for the directory itself and would leave everything out, whereas no path here equals it.
        if names.is_empty() || names.contains(&"..") {
            self.refused.get_or_insert(what);
            return;
        }
        let is_from_top = what.trim_end_matches('/').contains('/');
        let root = if is_from_top { "/" } else { "" };
        self.excluded.push(format!("{root}{}", names.join("/")));
    }

    /// Checks the exclusions, before anything is sent.
    ///
    /// # Errors
    /// If one of them names no entry of the directory.
    pub(super) fn check(&self) -> Result<(), TransferError> {
        match &self.refused {
            Some(what) => Err(TransferError::new(what, TransferErrorKind::NoEntry)),
            None => Ok(()),
        }
    }

    pub(super) fn filter(&mut self, filter: impl FnMut(&Path) -> bool + Send + 'static) {
        self.filter = Some(Box::new(filter));
    }

    /// Whether this path is selected, given that the directories above it are.
    pub(super) fn takes(&mut self, path: &Path) -> bool {
        let is_excluded = self
            .excluded
            .iter()
            .any(|excluded| match excluded.strip_prefix('/') {
                Some(from_top) => path == Path::new(from_top),
                None => path
                    .file_name()
                    .is_some_and(|name| name == excluded.as_str()),
            });
        !is_excluded && self.filter.as_mut().is_none_or(|filter| filter(path))
    }

    /// Whether this path and all directories above it are selected.
    pub(super) fn takes_with_parents(&mut self, path: &Path) -> bool {
        let mut above: Vec<_> = path.ancestors().collect();
        // The empty path, the transferred directory itself, is always taken.
        above.pop();
        // From the top, so that a filter never sees a path below a directory that it rejected.
        above.into_iter().rev().all(|path| self.takes(path))
    }

    /// Returns the options that make `tar` apply the exclusions. They save time and bytes; what arrives is selected again, because
    /// the sandbox is not trusted.
    pub(super) fn options(&self) -> String {
        let option = |excluded: &String| {
            let pattern = match excluded.strip_prefix('/') {
                Some(from_top) => format!("./{}", literal(from_top)),
                None => literal(excluded),
            };
            format!(" --exclude={}", quote(&pattern))
        };
        self.excluded.iter().map(option).collect()
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}

/// Escapes a text as a `tar` pattern that matches only itself.
fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Quotes a text as one word of a shell command.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
