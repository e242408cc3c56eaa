//! A cluster of one node with all slots.

use std::time::{Duration, Instant};

use twentyfirst_run_log::{RedisLog, contract};

use crate::server::PATIENCE;
use crate::server_or_return;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_contract() {
    let server = server_or_return!("--cluster-enabled", "yes");
    let slots: Vec<String> = (0..16384).map(|it| it.to_string()).collect();
    let mut add = vec!["CLUSTER", "ADDSLOTS"];
    add.extend(slots.iter().map(String::as_str));
    server.command(&add);
    let start = Instant::now();
    while !server
        .command(&["CLUSTER", "INFO"])
        .contains("cluster_state:ok")
    {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = RedisLog::builder(&server.url())
        .cluster([server.url()])
        .connect()
        .await
        .unwrap();
    contract::check(&log).await.unwrap();
}
