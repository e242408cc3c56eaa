//! Settings that cannot be used.

use std::borrow::Cow;
use std::fmt;

/// A setting of an [`HttpTransport`](crate::HttpTransport) that cannot be used.
///
/// It says which, and never shows it.
#[derive(Debug)]
pub struct InvalidSetting {
    problem: Cow<'static, str>,
    source: Option<rustls::Error>,
}

impl InvalidSetting {
    pub(super) fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            problem: problem.into(),
            source: None,
        }
    }

    pub(super) fn because(problem: impl Into<Cow<'static, str>>, source: rustls::Error) -> Self {
        Self {
            problem: problem.into(),
            source: Some(source),
        }
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for InvalidSetting {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
