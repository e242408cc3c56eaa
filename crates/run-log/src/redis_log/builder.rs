use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo};
use redis::{RedisError, RedisResult, TlsCertificates};

use super::link::{Link, Server};
use super::values::{cause, has_code};
use super::{RedisLog, Shared};
use crate::Cause;

/// Settings of a [`RedisLog`].
#[must_use]
pub struct RedisLogBuilder {
    url: String,
    #[cfg(feature = "redis-cluster")]
    cluster: Option<Vec<String>>,
    prefix: String,
    timeout: Duration,
    root_certificates: Option<Vec<u8>>,
}

/// The reason a Redis server cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is malformed.
    #[error(
        "the URL of Redis is invalid: use `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS"
    )]
    InvalidUrl(#[source] Cause),
    /// The certificates are malformed, or the URL is without TLS.
    #[error(
        "the root certificates for Redis cannot be used: pass them as PEM, with a `rediss://` URL"
    )]
    InvalidCertificates(#[source] Cause),
    /// The server refused the user or the password.
    #[error("Redis refused the user or the password")]
    Refused(#[source] Cause),
    /// The server lacks a command, is a replica, or does not permit the user a command.
    #[error(
        "Redis refused a command of the run log: use Redis 6.2 or later and not a replica, and permit the user the commands listed at `RedisLog`"
    )]
    Unsuitable(#[source] Cause),
    /// The server could not be reached, or it cannot serve yet.
    #[error("Redis cannot be reached, or is not ready")]
    Unavailable(#[source] Cause),
}

impl RedisLogBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            #[cfg(feature = "redis-cluster")]
            cluster: None,
            prefix: "twentyfirst:".to_owned(),
            timeout: Duration::from_secs(2),
            root_certificates: None,
        }
    }

    /// Treats the server as a node of a cluster. `urls` are those of other nodes, which are used if the first does not respond. All nodes
    /// need the same user, password and TLS setting.
    ///
    /// In a cluster, waiting reads poll their logs every 50 ms.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.cluster = Some(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the prefix of all keys: `twentyfirst:` by default. Instances that share logs need the same prefix.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time limit of a call: 2 s by default. It includes making a new connection, and excludes the wait of a read.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the root certificates, as PEM, for verifying the server's certificate: those of the system by default.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Connects, and checks that the server has the commands of the run log and permits them to the user. It writes nothing.
    ///
    /// # Errors
    /// - [`ConnectError::InvalidUrl`] and [`ConnectError::InvalidCertificates`] if a setting is malformed.
    /// - [`ConnectError::Refused`] and [`ConnectError::Unsuitable`] if the server refuses the user or a command.
    /// - [`ConnectError::Unavailable`] if the server cannot be reached within the [`timeout`](Self::timeout), or is not ready.
    pub async fn connect(self) -> Result<RedisLog, ConnectError> {
        let log = self.connect_later()?;
        log.shared.probe().await.map_err(refusal)?;
        Ok(log)
    }

    /// Creates a store that connects with its first call. If the server is down or refuses the password, the calls fail, not this one.
    ///
    /// # Errors
    /// [`ConnectError::InvalidUrl`] and [`ConnectError::InvalidCertificates`] if a setting is malformed.
    pub fn connect_later(self) -> Result<RedisLog, ConnectError> {
        let info = connection_info(&self.url).map_err(invalid_url)?;
        let address = info.addr().to_string();
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            choose_provider();
        }
        let certificates = self.root_certificates.map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        });
        #[cfg(feature = "redis-cluster")]
        let server = match self.cluster {
            Some(urls) => cluster(info, &urls, certificates, self.timeout)?,
            None => single(info, certificates)?,
        };
        #[cfg(not(feature = "redis-cluster"))]
        let server = single(info, certificates)?;

        let server = Arc::new(server);
        Ok(RedisLog {
            shared: Arc::new(Shared {
                prefix: self.prefix,
                address,
                appends: Link::new(server.clone(), self.timeout),
                reads: Arc::new(Link::new(server, self.timeout)),
                waits: Arc::default(),
            }),
        })
    }
}

/// Leaves out the URL, which contains the password.
impl fmt::Debug for RedisLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLogBuilder")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn connection_info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    // redis-rs would send CLIENT SETINFO, for which the user would need another permission.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_tcp_settings(tcp).set_redis_settings(settings))
}

fn single(
    info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> Result<Server, ConnectError> {
    let client = match certificates {
        Some(certificates) => {
            Client::build_with_tls(info, certificates).map_err(invalid_certificates)?
        }
        None => Client::open(info).map_err(invalid_url)?,
    };
    Ok(Server::Single(Box::new(client)))
}

#[cfg(feature = "redis-cluster")]
fn cluster(
    info: ConnectionInfo,
    more: &[String],
    certificates: Option<TlsCertificates>,
    timeout: Duration,
) -> Result<Server, ConnectError> {
    let tcp = info.tcp_settings().clone();
    let mut nodes = vec![info];
    for url in more {
        nodes.push(connection_info(url).map_err(invalid_url)?);
    }
    let mut builder = redis::cluster::ClusterClientBuilder::new(nodes)
        .connection_timeout(timeout)
        .response_timeout(timeout)
        .tcp_settings(tcp);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    let client = builder.build().map_err(invalid_url)?;
    Ok(Server::Cluster(Box::new(client)))
}

/// Makes `ring` the process's rustls provider if there is none: rustls panics if several are compiled in and none is chosen.
fn choose_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails if another thread installed one in the meantime, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn invalid_url(error: RedisError) -> ConnectError {
    ConnectError::InvalidUrl(cause(error))
}

fn invalid_certificates(error: RedisError) -> ConnectError {
    ConnectError::InvalidCertificates(cause(error))
}

fn refusal(error: RedisError) -> ConnectError {
    let codes = |codes: &[&str]| codes.iter().any(|code| has_code(&error, code));
    let is_refused =
        error.kind() == ErrorKind::AuthenticationFailed || codes(&["WRONGPASS", "NOAUTH"]);
    let is_temporary = codes(&["LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"]);
    if is_refused {
        ConnectError::Refused(cause(error))
    } else if !is_temporary && error.clone().into_server_errors().is_some() {
        ConnectError::Unsuitable(cause(error))
    } else {
        ConnectError::Unavailable(cause(error))
    }
}
