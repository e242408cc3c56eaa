//! A message as the chunks that make it: the inverse of the assembler.

mod parts;
mod same;
mod texts;
mod tool;

pub(crate) use parts::{chunks_of, rest_of_metadata};
pub(crate) use same::same;
pub(crate) use texts::{rest_of_text, text_from};
pub(crate) use tool::rest_of_call;
