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
    /// The URL cannot be read.
    #[error(
        "the URL of Redis is not of the form `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS"
    )]
    InvalidUrl(#[source] Cause),
    /// The certificates cannot be read, or are given for a URL without TLS.
    #[error(
        "the root certificates for Redis cannot be used: PEM and a URL with `rediss://` are expected"
    )]
    InvalidCertificates(#[source] Cause),
    /// The server wants another user or password.
    #[error("Redis refuses the user or the password")]
    Refused(#[source] Cause),
    /// The server lacks a command, or the user may not use it.
    #[error(
        "Redis refuses a command of the run log: it takes Redis 6.2 or later, no replica, and a user who may use what is listed at `RedisLog`"
    )]
    Unsuitable(#[source] Cause),
    /// There is no connection.
    #[error("there is no connection to Redis")]
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

    /// Takes the server for a node of a cluster, and the URLs for those of other nodes, to be asked if the first does not respond.
    /// User, password and TLS have to be the same for all. In a cluster, a log that is waited for is looked at every 50 ms.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.cluster = Some(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Sets what all keys begin with: `twentyfirst:` by default. Instances that share logs need the same one.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a call may take beside its wait, a new connection included: 2 s by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the certificates, as PEM, that the server's certificate is verified against: those of the system by default.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Connects, and checks that the server has what the run log needs and that the user may use it. Nothing is written.
    ///
    /// # Errors
    /// [`ConnectError`] says what is the matter.
    pub async fn connect(self) -> Result<RedisLog, ConnectError> {
        let log = self.connect_later()?;
        log.shared.probe().await.map_err(refusal)?;
        Ok(log)
    }

    /// Connects with the first call: a server that is down, or refuses the password, fails the calls, not this.
    ///
    /// # Errors
    /// [`ConnectError::InvalidUrl`] and [`ConnectError::InvalidCertificates`].
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

/// The URL has the password.
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
    // Else another command would have to be allowed to the user.
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

/// rustls panics where several providers are compiled in and none is chosen.
fn choose_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may be faster, which is as good.
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
    let passes = codes(&["LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"]);
    if is_refused {
        ConnectError::Refused(cause(error))
    } else if !passes && error.clone().into_server_errors().is_some() {
        ConnectError::Unsuitable(cause(error))
    } else {
        ConnectError::Unavailable(cause(error))
    }
}
