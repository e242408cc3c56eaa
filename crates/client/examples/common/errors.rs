//! Prints the error with which an example ends.

use std::error::Error;
use std::process::ExitCode;

/// Returns the exit code of an example: 0, or 1 after printing the error.
pub(crate) fn exit_code(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its causes.
pub(crate) fn print_error(error: &dyn Error) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        eprintln!("  because {error}");
        source = error.source();
    }
}
