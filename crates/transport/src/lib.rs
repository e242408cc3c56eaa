//! HTTP transport for the 21st Agents client: hyper and rustls behind a tower service.
