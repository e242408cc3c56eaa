//! A relay on loopback, for tests and offline work with 21st Agents clients.
