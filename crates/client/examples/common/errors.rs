//! How an example tells what went wrong.

use std::error::Error;
use std::process::ExitCode;

/// The end of an example: 0, or the error printed and 1.
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
