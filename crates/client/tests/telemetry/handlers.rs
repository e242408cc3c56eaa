//! Answers that the chat handler reads.
