//! Server SDK for 21st Agents: sandboxes, threads, agent runs and tokens.
