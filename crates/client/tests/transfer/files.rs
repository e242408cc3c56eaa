//! Files that are uploaded and downloaded, and many texts that are written at once.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use twentyfirst_client::AgentClient;
use twentyfirst_client::transfer::{Progress, TransferErrorKind};
use twentyfirst_client::transport::http::{Request, Response, StatusCode};
use twentyfirst_client::transport::{Body, SharedTransport, Transport as _, from_fn};

use crate::{World, chain, eventually, world};

#[tokio::test]
async fn a_file_goes_up_and_down() {
    let world = world().await;
    let files = world.files();
    for length in [0, 1, 65_536, 12_000_001] {
        let content: Vec<u8> = (0..=250).cycle().take(length).collect();
        fs::write(world.path("up"), &content).unwrap();
        let to = "/home/user/new directory/-file";
        let written = files
            .upload(&world.sandbox, world.path("up"), to)
            .await
            .unwrap();
        assert_eq!(
            (written.path.as_str(), written.size),
            (to, Some(length as u64))
        );
        let down = world.path("made/on the way/down");
        let read = files.download(&world.sandbox, to, &down).await.unwrap();
        assert_eq!(read, length as u64);
        assert!(fs::read(&down).unwrap() == content);
        assert_eq!(fs::read_dir(down.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn progress_of_files() {
    let world = world().await;
    fs::write(world.path("up"), vec![7; 300_000]).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = || {
        let told = Arc::clone(&told);
        move |progress: &Progress<'_>| {
            let name = progress.path.file_name().unwrap().to_owned();
            told.lock()
                .unwrap()
                .push((progress.bytes, progress.total, name));
        }
    };
    let upload = world.files().upload(&world.sandbox, world.path("up"), "x");
    upload.on_progress(note()).await.unwrap();
    let download = world
        .files()
        .download(&world.sandbox, "x", world.path("down"));
    let up = std::mem::take(&mut *told.lock().unwrap());
    download.on_progress(note()).await.unwrap();
    let down = std::mem::take(&mut *told.lock().unwrap());
    for (name, told) in [("up", up), ("down", down)] {
        assert!(
            told.iter()
                .all(|(_, total, path)| *total == Some(300_000) && path == name),
            "{told:?}"
        );
        assert!(told.is_sorted() && told.len() > 4);
        assert_eq!((told[0].0, told.last().unwrap().0), (0, 300_000));
    }
}

#[tokio::test]
async fn a_path_that_is_not_a_file_is_refused() {
    let world = world().await;
    let up = |name: &str| {
        world
            .files()
            .upload(&world.sandbox, world.path(name), "x")
            .into_future()
    };
    let error = up("none").await.unwrap_err();
    assert!(!error.maybe_sent());
    assert_eq!(
        chain(&world, &error),
        "[dir]/none cannot be used on this machine\nNo such file or directory (os error 2)"
    );
    fs::create_dir(world.path("dir")).unwrap();
    assert_eq!(
        chain(&world, &up("dir").await.unwrap_err()),
        "[dir]/dir is not a file"
    );
    let down = world
        .files()
        .download(&world.sandbox, "x", world.path("dir"));
    let error = down.await.unwrap_err();
    assert!(!error.maybe_sent());
    assert_eq!(chain(&world, &error), "[dir]/dir is not a file");
    fs::write(world.path("file"), "").unwrap();
    let below = world
        .files()
        .download(&world.sandbox, "x", world.path("file/below"));
    world
        .files()
        .write_many(&world.sandbox, [("x", "x")])
        .await
        .unwrap();
    assert!(chain(&world, &below.await.unwrap_err()).starts_with("[dir]/file"));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_named() {
    let world = world().await;
    for length in [10, 2_000_001] {
        let path = world.path("log");
        fs::write(&path, vec![0; 2_000_000]).unwrap();
        let upload = world.files().upload(&world.sandbox, &path, "log");
        let change = crate::becomes(path, length);
        let error = upload.on_progress(change).await.unwrap_err();
        assert_eq!(
            chain(&world, &error),
            "[dir]/log changed its length while it was uploaded"
        );
        assert_eq!(
            error.transfer_error().unwrap().kind(),
            &TransferErrorKind::Changed
        );
    }
}

#[tokio::test]
async fn a_download_replaces_what_was_there_only_when_it_is_complete() {
    let world = world().await;
    world.run("head -c 3000000 /dev/zero > long").await;
    let down = world.path("down");
    fs::write(&down, "old").unwrap();
    std::os::unix::fs::symlink(&down, world.path("link")).unwrap();
    let is_old = || fs::read(&down).unwrap() == b"old" && world.here() == ["down", "link"];

    let download = || {
        world
            .files()
            .download(&world.sandbox, "/home/user/long", world.path("link"))
    };
    let error = download().max_bytes(2_999_999).await.unwrap_err();
    assert_eq!(
        chain(&world, &error),
        "[dir]/down has more than 2999999 bytes: exclude some or raise `max_bytes`"
    );
    assert!(is_old());

    let client = cut(&world, 1_000_000);
    let files = client.sandboxes().files();
    let error = files
        .download(&world.sandbox, "/home/user/long", &down)
        .await
        .unwrap_err();
    assert_eq!(
        chain(&world, &error),
        "the body broke off\nthe cable was pulled"
    );
    assert!(is_old());

    let (started, mut start) = tokio::sync::mpsc::unbounded_channel();
    let slow = download().on_progress(move |_| {
        started.send(()).ok();
        std::thread::sleep(std::time::Duration::from_millis(20));
    });
    let slow = tokio::spawn(slow.into_future());
    start.recv().await.unwrap();
    slow.abort();
    eventually(is_old).await;

    assert_eq!(download().max_bytes(3_000_000).await.unwrap(), 3_000_000);
    assert_eq!(fs::metadata(&down).unwrap().len(), 3_000_000);
    assert!(world.path("link").is_symlink());
}

/// A client whose responses are cut off after this many bytes.
pub(crate) fn cut(world: &World, after: usize) -> AgentClient {
    let http = SharedTransport::new(twentyfirst_client::transport::HttpTransport::new().unwrap());
    let transport = from_fn(move |request| {
        let response = http.send(request);
        async move {
            let response = response.await?;
            Ok(response.map(|body| {
                let mut left = after;
                let stream = futures_util::stream::unfold(Some(body), move |body| {
                    let mut body = body;
                    async move {
                        let frame = http_body_util::BodyExt::frame(body.as_mut()?).await?;
                        let data = frame.ok()?.into_data().ok()?;
                        Some((data, body))
                    }
                });
                Body::from_stream(futures_util::StreamExt::map(stream, move |data| {
                    left = left.checked_sub(data.len()).ok_or("the cable was pulled")?;
                    Ok::<_, &'static str>(data)
                }))
            }))
        }
    });
    let client = AgentClient::builder()
        .api_key(world._relay.api_key())
        .base_url(world._relay.url());
    client.transport(transport).build().unwrap()
}

#[tokio::test]
async fn texts_are_written_in_as_many_requests_as_they_need() {
    let world = world().await;
    let text = |letter: &str, length: usize| letter.repeat(length);
    let texts = [
        ("a", text("a", 6_000_000)),
        ("b", text("\n", 3_000_000)),
        ("c", text("ü👩", 2_000_000)),
        ("d", String::new()),
    ];
    let written = world
        .files()
        .write_many(&world.sandbox, texts.clone())
        .await
        .unwrap();
    let sizes: Vec<_> = written
        .iter()
        .map(|file| (file.path.as_str(), file.size.unwrap()))
        .collect();
    assert_eq!(
        sizes,
        [
            ("a", 6_000_000),
            ("b", 3_000_000),
            ("c", 6_000_000),
            ("d", 0)
        ]
    );
    for (path, text) in texts {
        assert!(
            world
                .files()
                .read_to_string(&world.sandbox, path)
                .await
                .unwrap()
                == text,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_error_lists_the_files_written_before() {
    let world = world().await;
    world.run("mkdir directory").await;
    let large = "x".repeat(6_000_000);
    let texts = [
        ("a", &large),
        ("b", &large),
        ("/home/user/directory", &large),
        ("c", &large),
    ];
    let error = world
        .files()
        .write_many(&world.sandbox, texts)
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    let written: Vec<_> = error
        .written()
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(written, ["a", "b"]);
    let text = error.to_string();
    assert!(
        text.ends_with("(files written before: 2, the last one b)"),
        "{text}"
    );
    assert!(!world.files().exists(&world.sandbox, "c").await.unwrap());
    // One that is refused before anything is sent writes nothing.
    let twice = [("e", &large), ("f", &large), ("e", &large)];
    let error = world
        .files()
        .write_many(&world.sandbox, twice)
        .await
        .unwrap_err();
    assert!(!error.maybe_sent() && error.written().is_empty());
    assert!(!world.files().exists(&world.sandbox, "e").await.unwrap());
}

/// An upload is not held in memory: the file is much longer than the buffers in between.
#[tokio::test]
async fn a_file_is_read_only_as_far_as_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"x").unwrap();
    file.set_len(1 << 40).unwrap();
    let read = Arc::new(Mutex::new(0));
    // A server that reads only the first piece of the body.
    let transport = from_fn(async |request: Request<Body>| {
        let mut body = request.into_body();
        assert!(http_body_util::BodyExt::frame(&mut body).await.is_some());
        std::future::pending::<()>().await;
        Ok(Response::new(body))
    });
    let client = AgentClient::builder()
        .api_key("k")
        .base_url("https://relay.example");
    let client = client.transport(transport).build().unwrap();
    let note = Arc::clone(&read);
    let id = twentyfirst_client::SandboxId::new("sb_1").unwrap();
    let upload = client
        .sandboxes()
        .files()
        .upload(&id, Path::new(&path), "x");
    let upload = upload.on_progress(move |progress| *note.lock().unwrap() = progress.bytes);
    let upload = tokio::spawn(upload.into_future());
    eventually(|| *read.lock().unwrap() >= 64 * 1024).await;
    // Time to read more, if nothing stopped it.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(*read.lock().unwrap() <= 320 * 1024);
    upload.abort();
}
