//! Ports of a sandbox: waiting for one, and the URL of one.

use std::net::TcpListener;
use std::time::Duration;

use twentyfirst_client::protocol::processes::ProcessError;
use twentyfirst_client::protocol::sandboxes::PreviewError;

use crate::World;

#[tokio::test]
async fn a_port_is_waited_for() {
    let world = World::new().await;
    let sandboxes = world.client.sandboxes();
    // The sandboxes of the local relay share the network of this process. The port is below those that systems choose themselves, so
    // that nobody else takes it while the test closes and opens it.
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = (first..32_000).find_map(|port| bind(port).ok()).unwrap();
    let port = listener.local_addr().unwrap().port();
    sandboxes.wait_for_port(&world.id, port).await.unwrap();
    drop(listener);

    let soon = Duration::from_millis(300);
    let error = sandboxes
        .wait_for_port(&world.id, port)
        .timeout(soon)
        .await
        .unwrap_err();
    assert!(
        matches!(error.process_error(), Some(ProcessError::PortClosed { .. })),
        "{error}"
    );
    assert!(error.is_timeout());

    let listen = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        bind(port).unwrap()
    };
    let (waited, _listener) = tokio::join!(sandboxes.wait_for_port(&world.id, port), listen);
    waited.unwrap();

    let error = sandboxes.wait_for_port(&world.id, 0).await.unwrap_err();
    assert_eq!(error.invalid_request().unwrap().field(), "port");
}

#[tokio::test]
async fn the_url_of_a_port_is_refused_by_the_name_of_an_unknown_provider() {
    let world = World::new().await;
    let error = world
        .client
        .sandboxes()
        .preview_url(&world.id, 3000)
        .await
        .unwrap_err();
    let unknown = PreviewError::UnknownProvider("local".to_owned());
    assert_eq!(error.preview_error(), Some(&unknown));
    assert_eq!(
        error.to_string(),
        "the address of a port is unknown for the provider `local`: only `e2b` is supported"
    );
}
