use http::Uri;

use super::Sandbox;
use crate::shown;

/// The reason why the address of a port in a sandbox is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    /// The relay does not name the provider of the machine.
    #[error(
        "the address of a port is unknown: the relay names no provider of the sandbox; read the sandbox first"
    )]
    NoProvider,
    /// The provider's addresses for ports are not documented.
    #[error("the address of a port is unknown for the provider `{}`: only `e2b` is supported", shown(.0))]
    UnknownProvider(String),
    /// The relay does not name the machine, or its name cannot be part of a host name.
    #[error(
        "the address of a port is unknown: the relay names no machine that can be part of a host name"
    )]
    NoMachine,
    /// The port is 0.
    #[error("the port must be from 1 to 65535")]
    NoPort,
}

impl Sandbox {
    /// Returns the URL under which the provider shows a port of this sandbox, for providers whose scheme is documented:
    ///
    /// | provider | URL | source |
    /// |---|---|---|
    /// | `e2b` | `https://{port}-{machine}.e2b.app` | <https://e2b.dev/docs/network/public-url> |
    ///
    /// The URL is public, unless the provider is configured otherwise, and leads nowhere until something listens on the port.
    ///
    /// ```
    /// use twentyfirst_protocol::sandboxes::Sandbox;
    ///
    /// let sandbox: Sandbox = serde_json::from_str(
    ///     r#"{"id":"sbx_1","sandboxId":"i62mff4ahtrdfdkyn2esc","provider":"e2b","status":"active"}"#,
    /// )?;
    /// assert_eq!(sandbox.preview_url(3000)?, "https://3000-i62mff4ahtrdfdkyn2esc.e2b.app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the addresses of the provider are not documented, if the relay did not name the provider or the
    /// machine, or if the port is 0. The relay names the provider when a sandbox is read, not when it is created.
    pub fn preview_url(&self, port: u16) -> Result<Uri, PreviewError> {
        if port == 0 {
            return Err(PreviewError::NoPort);
        }
        match self.provider.as_deref() {
            Some("e2b") => {}
            Some(other) => return Err(PreviewError::UnknownProvider(other.to_owned())),
            None => return Err(PreviewError::NoProvider),
        }
        let machine = self.machine_id.as_ref().ok_or(PreviewError::NoMachine)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let label = format!("{port}-{machine}");
        // A label of a host name: RFC 1035, section 2.3.4.
        if label.len() > 63 || !label.bytes().all(is_plain) || label.ends_with('-') {
            return Err(PreviewError::NoMachine);
        }
        format!("https://{label}.e2b.app")
            .parse()
            .map_err(|_| PreviewError::NoMachine)
    }
}
