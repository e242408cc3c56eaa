//! Access: URLs, passwords, permissions, TLS, and the errors if they are refused.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use twentyfirst_run_log::{ConnectError, Eviction, LogId, RedisLog, RunLog, contract};

use crate::server::{self, PATIENCE};
use crate::{append, create, read, server_or_return};

/// Returns everything that an error prints, in every format.
fn whole(error: &ConnectError) -> String {
    let mut text = format!("{error} / {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error} / {error:?}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn an_invalid_url_is_refused_without_being_shown() {
    for url in [
        "",
        "secret",
        "http://u:secret@localhost",
        "redis://u:secret@",
        "redis://u:secret@localhost:99999",
        "redis://u:secret@localhost/first",
        "redis://u:secret@localhost/?protocol=9",
        "rediss://u:secret@localhost#nonsense",
    ] {
        let error = RedisLog::connect(url).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::InvalidUrl(_)),
            "{url}: {error:?}"
        );
        assert!(!whole(&error).contains("secret"), "{}", whole(&error));
        assert!(error.source().is_some());
    }
    let builder = RedisLog::builder("redis://u:secret@localhost");
    assert!(!format!("{builder:?}").contains("secret"));
    let log = builder.connect_later().unwrap();
    let shown = format!("{log:?}");
    assert!(
        shown.contains("localhost:6379") && !shown.contains("secret"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_missing_server_is_unavailable_in_bounded_time() {
    // A listener that never accepts, and a port without one.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for port in [port, 1] {
        let start = Instant::now();
        let builder = RedisLog::builder(&format!("redis://u:secret@127.0.0.1:{port}"));
        let builder = builder.timeout(Duration::from_millis(300));
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Unavailable(_)), "{error:?}");
        assert!(!whole(&error).contains("secret"), "{}", whole(&error));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_wrong_password_is_reported_when_connecting_and_never_shown() {
    let server = server_or_return!("--requirepass", "right");
    let with = |user: &str| format!("redis://{user}127.0.0.1:{}", server.port);
    for user in [":secret@", "default:secret@", "nobody:secret@", ""] {
        let error = RedisLog::connect(&with(user)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Refused(_)),
            "{user}: {error:?}"
        );
        assert!(!whole(&error).contains("secret"), "{}", whole(&error));
    }
    RedisLog::connect(&with(":right@")).await.unwrap();

    // With `connect_later`, each call reports it.
    let log = RedisLog::builder(&with(":secret@"))
        .connect_later()
        .unwrap();
    let error = create(&log, &LogId::run("r"), (1, 0), "a")
        .await
        .unwrap_err();
    let shown = format!("{error:?} {error}");
    assert!(
        shown.contains("Unavailable") && !shown.contains("secret"),
        "{shown}"
    );
}

/// The ACL line in the documentation of `RedisLog`.
pub(crate) const ACL: &str = "ACL SETUSER run-log on >secret ~twentyfirst:* resetchannels &twentyfirst:* -@all \
    +xadd +xrange +xrevrange +exists +pexpire +multi +exec +publish +subscribe +unsubscribe";

/// The permissions that the store can do without.
const OPTIONAL: [&str; 3] = ["publish", "subscribe", "unsubscribe"];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_each_documented_permission_and_no_other() {
    let server = server_or_return!();
    let url = format!("redis://run-log:secret@127.0.0.1:{}", server.port);
    let documented = include_str!("../../src/redis_log/mod.rs").replace("/// ", "");
    let documented: Vec<_> = documented.split_whitespace().collect();
    let line: Vec<_> = ACL.split_whitespace().collect();
    assert!(documented.windows(line.len()).any(|words| words == line));

    assert_eq!(server.command(&line), "+OK\r\n");
    let log = RedisLog::connect(&url).await.unwrap();
    assert_eq!(log.eviction().await.unwrap(), Eviction::Unknown);
    contract::check(&log).await.unwrap();

    let commands = line.iter().filter_map(|it| it.strip_prefix('+'));
    for command in commands.filter(|it| !OPTIONAL.contains(it)) {
        server.command(&["ACL", "SETUSER", "run-log", &format!("-{command}")]);
        let error = RedisLog::connect(&url).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Unsuitable(_)),
            "{command}: {error:?}"
        );
        server.command(&["ACL", "SETUSER", "run-log", &format!("+{command}")]);
    }
    let elsewhere = RedisLog::builder(&url).prefix("other:").connect().await;
    assert!(
        matches!(elsewhere, Err(ConnectError::Unsuitable(_))),
        "{elsewhere:?}"
    );
    RedisLog::connect(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_to_publish_or_subscribe_reads_poll() {
    let server = server_or_return!();
    let url = format!("redis://run-log:secret@127.0.0.1:{}", server.port);
    let mut line: Vec<_> = ACL.split_whitespace().collect();
    line.retain(|it| !OPTIONAL.contains(&it.trim_start_matches('+')) && !it.starts_with('&'));
    assert_eq!(server.command(&line), "+OK\r\n");
    let (log, other) = (
        RedisLog::connect(&url).await.unwrap(),
        RedisLog::connect(&url).await.unwrap(),
    );
    contract::check(&log).await.unwrap();

    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let start = Instant::now();
    for seq in 1..=10 {
        let write = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            append(&log, &id, (1, seq), "b").await.unwrap();
        };
        let (page, ()) = tokio::join!(read(&other, &id, (1, seq - 1), PATIENCE), write);
        assert_eq!(page.unwrap().entries.len(), 1);
    }
    // Reads poll every 50 ms, not every second as with a subscription.
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_eviction_policy_is_reported() {
    let server = server_or_return!();
    let log = RedisLog::connect(&server.url()).await.unwrap();
    assert_eq!(log.eviction().await.unwrap(), Eviction::Never);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let policy = Eviction::ByPolicy("allkeys-lru".to_owned());
    assert_eq!(log.eviction().await.unwrap(), policy);
}

#[tokio::test]
async fn a_server_that_starts_later_is_found() {
    let mut server = server_or_return!();
    server.kill();
    let builder = RedisLog::builder(&server.url()).timeout(Duration::from_millis(500));
    let log = builder.connect_later().unwrap();
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap_err();
    server.start_again();
    create(&log, &id, (1, 0), "a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_a_known_certificate() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let folder = std::env::temp_dir().join(format!("run-log-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, &pem).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let port = server::free_port().to_string();
    let server = server::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        certificate.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "right",
    ]);
    fs::remove_dir_all(&folder).unwrap();
    let Some(_server) = server else { return };
    let url = format!("rediss://:right@localhost:{port}");

    let log = RedisLog::builder(&url).root_certificates(pem.clone());
    let log = log.connect().await.unwrap();
    let id = LogId::run("r");
    create(&log, &id, (1, 0), "a").await.unwrap();
    let (page, appended) = tokio::join!(
        read(&log, &id, (1, 0), PATIENCE),
        append(&log, &id, (1, 1), "b")
    );
    appended.unwrap();
    assert_eq!(page.unwrap().entries.len(), 1);
    assert_eq!(log.last(&id).await.unwrap().unwrap().1, "b");

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let unknown = RedisLog::builder(&url).root_certificates(other.cert.pem());
    let error = unknown.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unavailable(_)), "{error:?}");
    assert!(!whole(&error).contains("right"), "{}", whole(&error));
    for (url, pem) in [
        (url.as_str(), "-----BEGIN CERTIFICATE-----\n!"),
        ("redis://localhost", &pem),
    ] {
        let error = RedisLog::builder(url)
            .root_certificates(pem)
            .connect_later();
        assert!(
            matches!(error, Err(ConnectError::InvalidCertificates(_))),
            "{error:?}"
        );
    }
}
