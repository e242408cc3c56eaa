//! Errors of invalid settings.

use std::borrow::Cow;
use std::fmt;

use crate::error::BoxError;

/// An invalid setting of an [`HttpTransport`](crate::HttpTransport), its proxy or its certificates (feature `http`).
///
/// It names the setting and never shows its value.
#[derive(Debug)]
pub struct InvalidSetting {
    problem: Cow<'static, str>,
    source: Option<BoxError>,
}

#[cfg(feature = "http")]
impl InvalidSetting {
    pub(crate) fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self {
            problem: problem.into(),
            source: None,
        }
    }

    pub(crate) fn because(
        problem: impl Into<Cow<'static, str>>,
        source: impl Into<BoxError>,
    ) -> Self {
        Self {
            problem: problem.into(),
            source: Some(source.into()),
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
        self.source.as_deref().map(|source| source as _)
    }
}
