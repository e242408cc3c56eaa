//! Sandboxes, files, transfers, processes and tokens.

use std::fs;
use std::thread;

use twentyfirst_client::AgentClient;
use twentyfirst_client::blocking::{Iterate, Wait};
use twentyfirst_client::protocol::processes::OutputStream;
use twentyfirst_client::transport::Body;

use crate::server::{Server, respond};
use crate::{client, relay};

#[test]
fn sandboxes_commands_and_files() {
    let relay = relay().start().unwrap();
    let client = client(&relay);
    let sandbox = client.sandboxes().create("shell").env("NAME", "value");
    let sandbox = sandbox.wait().unwrap();
    let here = client.sandbox(&sandbox);
    assert_eq!(here.get().wait().unwrap().id, sandbox.id);

    let output = here
        .exec("echo $NAME; ls")
        .cwd("/home/user")
        .wait()
        .unwrap();
    assert_eq!(output.stdout, "value\n");

    let files = here.files();
    files
        .write("/home/user/notes.txt", "Notes.")
        .wait()
        .unwrap();
    let text = files.read_to_string("/home/user/notes.txt").wait();
    assert_eq!(text.unwrap(), "Notes.");
    assert!(files.exists("/home/user/notes.txt").wait().unwrap());

    client.sandboxes().delete(&sandbox).wait().unwrap();
    assert!(here.get().wait().unwrap_err().is_not_found());
}

#[test]
fn large_content_streams_in_both_directions() {
    let relay = relay().start().unwrap();
    let client = client(&relay);
    let sandbox = client.sandboxes().create("shell").wait().unwrap();
    let files = client.sandbox(&sandbox).files();
    let content: Vec<u8> = (0..=255).cycle().take(3_000_003).collect();

    let copy = content.clone();
    let body = Body::from_reader(std::io::Cursor::new(copy)).with_exact_length(3_000_003);
    files.write_stream("/home/user/data", body).wait().unwrap();
    let body = files.read_stream("/home/user/data").wait().unwrap();
    let read = body.read_with(|reader| {
        let mut read = Vec::new();
        reader.read_to_end(&mut read).map(|_| read)
    });
    assert!(read.wait().unwrap().unwrap() == content);

    let here = tempfile::tempdir().unwrap();
    let from = here.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("data"), &content).unwrap();
    fs::write(from.join("more"), "more").unwrap();
    files
        .upload(from.join("data"), "/home/user/again")
        .wait()
        .unwrap();
    files
        .download("/home/user/again", here.path().join("again"))
        .wait()
        .unwrap();
    assert!(fs::read(here.path().join("again")).unwrap() == content);

    files.upload_dir(&from, "/home/user/dir").wait().unwrap();
    let to = here.path().join("to");
    files.download_dir("/home/user/dir", &to).wait().unwrap();
    assert_eq!(fs::read_to_string(to.join("more")).unwrap(), "more");
    assert!(fs::read(to.join("data")).unwrap() == content);
}

#[test]
fn a_process_is_followed_and_waited_for() {
    let relay = relay().start().unwrap();
    let client = client(&relay);
    let sandbox = client.sandboxes().create("shell").wait().unwrap();
    let process = client
        .sandbox(&sandbox)
        .spawn("echo one; sleep 0.2; echo two >&2; exit 3");
    let process = process.wait().unwrap();
    let mut output = process.output();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for chunk in output.iter() {
        let chunk = chunk.unwrap();
        match chunk.stream {
            OutputStream::Stdout => stdout.extend(chunk.bytes),
            OutputStream::Stderr => stderr.extend(chunk.bytes),
        }
    }
    assert_eq!((&stdout[..], &stderr[..]), (&b"one\n"[..], &b"two\n"[..]));
    // `wait` of a process is a call like any other.
    let status = process.wait().wait().unwrap();
    assert_eq!(Some(status), output.exit_status());
}

#[test]
fn many_threads_share_a_client() {
    let relay = relay().start().unwrap();
    let client = client(&relay);
    let sandbox = client.sandboxes().create("shell").wait().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let here = client.sandbox(&sandbox);
            thread::spawn(move || {
                for round in 0..5 {
                    let said = format!("{number} {round}");
                    let output = here.exec(format!("echo {said}")).wait().unwrap();
                    assert_eq!(output.stdout.trim_end(), said);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn tokens_come_from_a_url() {
    let relay = relay().start().unwrap();
    let server = client(&relay);
    let route = Server::start(move |stream, request| {
        assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
        let token = server.tokens().create().wait().unwrap();
        let token = serde_json::to_string(&token).unwrap();
        respond(stream, "200 OK", &token);
    });
    let builder = AgentClient::builder().base_url(relay.url());
    let builder = builder.token_url(format!("{}/token", route.url).as_str());
    let client = builder.blocking().build().unwrap();
    let sandbox = client.sandboxes().create("shell").wait().unwrap();
    assert_eq!(
        client.sandboxes().get(&sandbox).wait().unwrap().id,
        sandbox.id
    );
}
