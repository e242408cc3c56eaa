//! Converts the results of a store into the inputs of the run log's state machines, and separates the error to report.

use bytes::Bytes;
use twentyfirst_protocol::run_log::{Appended, Found, Position};
use twentyfirst_run_log::{AppendError, Page, ReadError};

/// The error of a store, to be reported.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn appended(result: Result<(), AppendError>) -> (Appended, Option<Cause>) {
    let error = match result {
        Ok(()) => return (Appended::Yes, None),
        // There is nothing to report: the store works, and another writer was quicker.
        Err(AppendError::Fenced) => return (Appended::Fenced, None),
        Err(error) => error,
    };
    let appended = match &error {
        AppendError::Missing => Appended::Missing,
        AppendError::Full(_) => Appended::Full,
        _ => Appended::Unavailable,
    };
    (appended, Some(error.into()))
}

pub(super) fn last(
    result: Result<Option<(Position, Bytes)>, ReadError>,
) -> (Found<(Position, Bytes)>, Option<Cause>) {
    match result {
        Ok(Some(last)) => (Found::Some(last), None),
        Ok(None) => (Found::Nothing, None),
        Err(error) => (Found::Unavailable, Some(error.into())),
    }
}

pub(super) fn page(
    result: Result<Page, ReadError>,
) -> (Found<Vec<(Position, Bytes)>>, Option<Cause>) {
    match result {
        Ok(page) => (Found::Some(page.entries), None),
        Err(ReadError::Missing) => (Found::Nothing, None),
        Err(error) => (Found::Unavailable, Some(error.into())),
    }
}
