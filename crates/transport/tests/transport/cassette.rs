//! Exchanges recorded and played, on a clock that advances only when every task waits.

use std::io::{self, Write};
use std::iter;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use twentyfirst_transport::cassette::{Content, InvalidCassette, Masking, Player, Recorder};
use twentyfirst_transport::{Body, Error, TokioRuntime, Transport, from_fn};

use crate::chain;
use crate::pieces::Pieces;

/// A file that the test can read.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl File {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server that streams its responses in pieces, with a wait before each.
fn streaming(
    pieces: &'static [(u64, Result<&'static str, &'static str>)],
) -> impl Transport + Clone {
    from_fn(move |_| async move {
        sleep(Duration::from_millis(40)).await;
        let (sender, body) = Pieces::new();
        tokio::spawn(async move {
            for (wait, piece) in pieces {
                sleep(Duration::from_millis(*wait)).await;
                if sender.send(*piece).is_err() {
                    return;
                }
            }
        });
        let mut response = Response::new(Body::wrap(body));
        let headers = response.headers_mut();
        headers.insert(
            "content-type",
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert("set-cookie", HeaderValue::from_static("session-secret"));
        Ok(response)
    })
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let mut marked = HeaderValue::from_static("marked-secret");
    marked.set_sensitive(true);
    Request::post(format!("https://relay.example{path}"))
        .header("authorization", "Bearer key-secret")
        .header("proxy-authorization", "Basic proxy-secret")
        .header("x-api-key", "api-secret")
        .header("x-marked", marked)
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

async fn text(response: Response<Body>) -> Result<String, Error> {
    let bytes = response.into_body().collect_up_to(10_000).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn nothing_secret(_: &Content<'_>) -> Masking {
    Masking::none()
}

/// Masks these exact values. If two begin at the same place, the first in the list wins.
fn masking(values: &[&str]) -> Masking {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    Masking::new(move |text| {
        let mut places = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let here = |value: &&String| text[at..].starts_with(value.as_bytes());
            if let Some(value) = values.iter().find(here) {
                places.push((at..at + value.len(), "***"));
                at += value.len();
            } else {
                at += 1;
            }
        }
        places
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_written_with_its_pace_and_without_credentials() {
    let file = File::default();
    let server = streaming(&[(100, Ok("data: one\n\n")), (2_500, Ok("data: two\n\n"))]);
    let recorder = Recorder::new(server, file.clone(), nothing_secret);

    let response = recorder
        .send(post("/v1/chat/reviewer?limit=2", r#"{"messages":[]}"#))
        .await
        .unwrap();
    assert_eq!(file.text(), "", "an exchange is written when it is over");
    assert_eq!(text(response).await.unwrap(), "data: one\n\ndata: two\n\n");

    recorder.finish().unwrap();
    insta::assert_snapshot!(file.text(), @r#"
    {"cassette":{"version":1}}
    {"request":{"method":"POST","path":"/v1/chat/reviewer?limit=2","headers":[["content-type","application/json"]],"body":{"text":"{\"messages\":[]}"}}}
    {"response":{"after_ms":40,"status":200,"headers":[["content-type","text/event-stream"]]}}
    {"piece":{"after_ms":100,"data":{"text":"data: one\n\n"}}}
    {"piece":{"after_ms":2500,"data":{"text":"data: two\n\n"}}}
    {"end":{"after_ms":0,"how":"whole"}}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_too_long_to_be_recorded_fails_when_it_is_played() {
    let cassette = r#"{"cassette":{"version":1}}
        {"request":{"method":"POST","path":"/v1","headers":[],"body":{"length":40000000}}}
        {"response":{"after_ms":0,"status":200,"headers":[["content-type","text/event-stream"]]}}
        {"piece":{"after_ms":0,"data":{"length":40000000}}}
        {"end":{"after_ms":0,"how":"too_long"}}"#;
    let player = Player::new(cassette).unwrap();
    let response = player.send(post("/v1", "anything")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let error = text(response).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the body broke off\nas recorded: the body was too long to be recorded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_too_long_to_be_recorded_is_played() {
    let file = File::default();
    let server = from_fn(async |request: Request<Body>| {
        request.into_body().collect_up_to(usize::MAX).await?;
        Ok(Response::new("stored".into()))
    });
    let recorder = Recorder::new(server, file.clone(), nothing_secret);
    let long = || vec![b'x'; Body::DEFAULT_LIMIT + 1];
    let streamed = || {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let pieces = iter::repeat_n(piece, 32).chain([Bytes::from("x")]);
        let pieces = pieces.map(Ok::<_, io::Error>);
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let upload = |body: Body| post("/v1/files", body);
    for body in [streamed(), long().into()] {
        let response = recorder.send(upload(body)).await.unwrap();
        text(response).await.unwrap();
    }

    let player = Player::new(&file.text()).unwrap();
    for body in [Body::from(long()), streamed()] {
        let response = player.send(upload(body)).await.unwrap();
        assert_eq!(text(response).await.unwrap(), "stored");
    }

    let short = File::default();
    let server = from_fn(async |_| Ok(Response::new("stored".into())));
    let recorder = Recorder::new(server, short.clone(), nothing_secret);
    recorder.send(upload("short".into())).await.unwrap();
    let player = Player::new(&short.text()).unwrap();
    let error = player.send(upload(streamed())).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "POST /v1/files is not in the recording: \
         the bodies differ: recorded 5 bytes, requested 33554433 bytes"
    );
    assert!(!error.maybe_sent());
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_played_in_the_same_pieces_and_at_the_same_pace() {
    let file = File::default();
    let server = streaming(&[(100, Ok("one ")), (2_500, Ok("two "))]);
    let recorder = Recorder::new(server, file.clone(), nothing_secret);
    text(recorder.send(post("/v1", "{}")).await.unwrap())
        .await
        .unwrap();

    for (player, times) in [
        (Player::new(&file.text()).unwrap(), [0, 0, 0]),
        (
            Player::new(&file.text()).unwrap().pace(TokioRuntime),
            [40, 100, 2_500],
        ),
    ] {
        assert_eq!(player.remaining(), 1);
        let start = Instant::now();
        let mut clock = Duration::ZERO;
        let mut body = player.send(post("/v1", "{}")).await.unwrap().into_body();
        let mut pieces = vec![String::new()];
        for time in times {
            clock += Duration::from_millis(time);
            assert_eq!(start.elapsed(), clock);
            if let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                pieces.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        assert_eq!(pieces, ["", "one ", "two "]);
        assert!(body.frame().await.is_none());
        assert_eq!(player.remaining(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn secret_values_are_masked_everywhere() {
    let file = File::default();
    let server = from_fn(async |_| {
        let (pieces, body) = Pieces::new();
        // Both secrets are cut in the middle.
        for piece in [
            r#"{"token":"min"#,
            r#"ted","echo":"pa\"ss"#,
            r#"word","#,
            r#""rest":1}"#,
        ] {
            pieces.send(Ok(piece)).unwrap();
        }
        let mut response = Response::new(Body::wrap(body));
        let location = HeaderValue::from_static("/v1/minted/pa");
        response.headers_mut().insert("location", location);
        Ok(response)
    });
    // Secrets may be in the request's own extensions, in headers that are not written, or in the response.
    #[derive(Clone)]
    struct Secret(&'static str);
    let hook = |content: &Content<'_>| {
        let secret = content.request.extensions.get::<Secret>().unwrap().0;
        let json = serde_json::to_string(secret).unwrap();
        let mut values = vec![secret, json.trim_matches('"')];
        let key = HeaderValue::from_static("Bearer key-secret");
        assert!(content.secret_headers().any(|value| *value == key));
        if let Some((headers, body)) = content.response {
            assert!(headers.contains_key("location"));
            assert!(body.starts_with(br#"{"token":"minted""#));
            values.push("minted");
        }
        masking(&values)
    };
    let recorder = Recorder::new(server, file.clone(), hook);
    let request = |secret: &'static str| {
        let json = serde_json::to_string(secret).unwrap();
        let body = format!(r#"{{"password":{json},"name":"minted"}}"#);
        let mut request = post("/v1/things", body);
        request.extensions_mut().insert(Secret(secret));
        request
    };

    let response = recorder.send(request(r#"pa"ssword"#)).await.unwrap();
    let told = text(response).await.unwrap();
    assert_eq!(told, r#"{"token":"minted","echo":"pa\"ssword","rest":1}"#);

    insta::assert_snapshot!(file.text(), @r#"
    {"cassette":{"version":1}}
    {"request":{"method":"POST","path":"/v1/things","headers":[["content-type","application/json"]],"body":{"text":"{\"password\":\"***\",\"name\":\"minted\"}"}}}
    {"response":{"after_ms":0,"status":200,"headers":[["location","/v1/***/pa"]]}}
    {"piece":{"after_ms":0,"data":{"text":"{\"token\":\"***"}}}
    {"piece":{"after_ms":0,"data":{"text":"\",\"echo\":\"***"}}}
    {"piece":{"after_ms":0,"data":{"text":"\","}}}
    {"piece":{"after_ms":0,"data":{"text":"\"rest\":1}"}}}
    {"end":{"after_ms":0,"how":"whole"}}
    "#);

    // A test may use another password, or a number, each time.
    let played = async |player: Player, body: &'static str| {
        let mut request = post("/v1/things", body);
        request.extensions_mut().insert(Secret("swordfish"));
        player.send(request).await
    };
    for body in [
        r#"{"password":"another one","name":"minted"}"#,
        r#"{"password":8675309,"name":"minted"}"#,
    ] {
        let player = Player::new(&file.text()).unwrap();
        let response = played(player, body).await.unwrap();
        assert!(text(response).await.unwrap().contains(r#""token":"***""#));
    }
    for body in [
        r#"{"password":"another one","name":"hinted"}"#,
        r#"{"password":"another one","name":"minted"} "#,
        r#"{"passwort":"another one","name":"minted"}"#,
        "",
    ] {
        let player = Player::new(&file.text()).unwrap();
        let error = played(player, body).await.unwrap_err();
        assert!(
            chain(&error).contains("the bodies differ"),
            "{}",
            chain(&error)
        );
    }

    // The error shows no more than the recording.
    let player = Player::new(&file.text())
        .unwrap()
        .masking(|_| masking(&["swordfish"]));
    let error = played(player, r#"{"password":"swordfish","name":"hinted"}"#)
        .await
        .unwrap_err();
    assert!(
        chain(&error).ends_with(r#"requested `…word\":\"***\",\"name\":\"hinted\"}`"#),
        "{}",
        chain(&error)
    );
}

#[tokio::test(start_paused = true)]
async fn requests_are_recorded_whether_they_are_streams_or_bytes_or_binary() {
    let file = File::default();
    let echo = from_fn(async |request: Request<Body>| Ok(Response::new(request.into_body())));
    let recorder = Recorder::new(echo, file.clone(), nothing_secret);
    let streamed = || {
        let (pieces, body) = Pieces::new();
        pieces.send(Ok("streamed ")).unwrap();
        pieces.send(Ok("request")).unwrap();
        Body::wrap(body)
    };
    let binary = || Body::from(vec![0xFF, 0, 1]);

    let mut bodies = Vec::new();
    for body in [streamed(), binary(), Body::empty()] {
        let response = recorder.send(post("/v1", body)).await.unwrap();
        bodies.push(response.into_body().collect_up_to(100).await.unwrap());
    }

    insta::assert_snapshot!(file.text(), @r#"
    {"cassette":{"version":1}}
    {"request":{"method":"POST","path":"/v1","headers":[["content-type","application/json"]],"body":{"text":"streamed request"}}}
    {"response":{"after_ms":0,"status":200,"headers":[]}}
    {"piece":{"after_ms":0,"data":{"text":"streamed "}}}
    {"piece":{"after_ms":0,"data":{"text":"request"}}}
    {"end":{"after_ms":0,"how":"whole"}}
    {"request":{"method":"POST","path":"/v1","headers":[["content-type","application/json"]],"body":{"base64":"/wAB"}}}
    {"response":{"after_ms":0,"status":200,"headers":[]}}
    {"piece":{"after_ms":0,"data":{"base64":"/wAB"}}}
    {"end":{"after_ms":0,"how":"whole"}}
    {"request":{"method":"POST","path":"/v1","headers":[["content-type","application/json"]],"body":{"text":""}}}
    {"response":{"after_ms":0,"status":200,"headers":[]}}
    {"end":{"after_ms":0,"how":"whole"}}
    "#);
    let player = Player::new(&file.text()).unwrap();
    // In another order, because each exchange is found by its request.
    for (body, recorded) in [Body::empty(), binary(), streamed()]
        .into_iter()
        .zip(bodies.iter().rev())
    {
        let response = player.send(post("/v1", body)).await.unwrap();
        let played = response.into_body().collect_up_to(100).await.unwrap();
        assert_eq!(played, recorded);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exchange_ends_as_it_ended_when_it_was_recorded() {
    let file = File::default();
    let server = from_fn(async |request: Request<Body>| match request.uri().path() {
        "/not-sent" => Err(Error::not_sent("no route")),
        "/lost" => Err(Error::new("reset by peer")),
        "/never" => std::future::pending().await,
        path => {
            let (pieces, body) = Pieces::new();
            pieces.send(Ok("half")).unwrap();
            if path == "/broken" {
                pieces.send(Err("reset by peer")).unwrap();
            } else {
                tokio::spawn(async move { pieces.closed().await });
            }
            Ok(Response::new(Body::wrap(body)))
        }
    });
    let recorder = Recorder::new(server, file.clone(), nothing_secret);
    recorder.send(post("/not-sent", "")).await.unwrap_err();
    recorder.send(post("/lost", "")).await.unwrap_err();
    let broken = recorder.send(post("/broken", "")).await.unwrap();
    text(broken).await.unwrap_err();
    let left = recorder.send(post("/left", "")).await.unwrap();
    let mut left = left.into_body();
    left.frame().await.unwrap().unwrap();
    drop(left);
    let second = Duration::from_secs(1);
    tokio::time::timeout(second, recorder.send(post("/never", "")))
        .await
        .unwrap_err();
    // Nothing happens before a future is polled.
    drop(recorder.send(post("/unpolled", "")));

    let player = Player::new(&file.text()).unwrap();
    for (path, maybe_sent, played) in [
        (
            "/not-sent",
            false,
            "the request was not sent\nas recorded: the request was not sent",
        ),
        (
            "/lost",
            true,
            "the exchange failed and the request may have been sent\n\
             as recorded: the exchange failed and the request may have been sent",
        ),
        (
            "/broken",
            true,
            "the body broke off\nas recorded: the body broke off",
        ),
        (
            "/left",
            true,
            "the body broke off\nas recorded: the caller dropped it during the recording",
        ),
        (
            "/never",
            true,
            "the exchange failed and the request may have been sent\n\
             as recorded: the caller dropped it during the recording",
        ),
    ] {
        let error = match player.send(post(path, "")).await {
            Ok(response) => {
                let mut body = response.into_body();
                let piece = body.frame().await.unwrap().unwrap();
                assert_eq!(piece.into_data().unwrap(), "half");
                let error = body.frame().await.unwrap().unwrap_err();
                assert!(body.frame().await.is_none());
                error
            }
            Err(error) => error,
        };
        assert_eq!(chain(&error), played, "{path}");
        assert_eq!(error.maybe_sent(), maybe_sent, "{path}");
    }
    assert_eq!(player.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_recorded_fails_and_shows_the_difference() {
    let file = File::default();
    let server = from_fn(async |_| Ok(Response::new("served".into())));
    let recorder = Recorder::new(server, file.clone(), nothing_secret);
    let long = format!(r#"{{"name":"reviewer","text":"{}ö1"}}"#, "a".repeat(1_000));
    for (path, body) in [("/v1/a", "{}"), ("/v1/b", long.as_str())] {
        let response = recorder.send(post(path, body.to_owned())).await.unwrap();
        text(response).await.unwrap();
    }
    let cassette = file.text();

    let asked = long.replace("1\"}", "2\"}");
    let far = format!("/v1/{}", "x".repeat(1_000));
    let delete = Request::delete("/v1/a").body(Body::empty()).unwrap();
    for (request, difference) in [
        (
            post("/v1/b", asked),
            "POST /v1/b is not in the recording: the bodies differ from byte 1029 on: \
             recorded `…aaaaaaaaaaaaaaaaaaö1\\\"}`, requested `…aaaaaaaaaaaaaaaaaaö2\\\"}`"
                .to_owned(),
        ),
        (
            delete,
            "DELETE /v1/a is not in the recording: the recording has POST".to_owned(),
        ),
        (
            post(&far, "{}"),
            format!(
                "POST /v1/{}… is not in the recording: the recording has POST /v1/a",
                "x".repeat(116)
            ),
        ),
    ] {
        let player = Player::new(&cassette).unwrap();
        let error = player.send(request).await.unwrap_err();
        assert!(!error.maybe_sent());
        // One line, so that every log shows it.
        assert_eq!(chain(&error), difference);
    }

    let player = Player::new(&cassette).unwrap();
    player.send(post("/v1/a", "{}")).await.unwrap();
    let error = player.send(post("/v1/a", "{}")).await.unwrap_err();
    assert!(chain(&error).ends_with("every recording of it has been played already"));
    player.send(post("/v1/b", long)).await.unwrap();
    let error = player.send(post("/v1/c", "{}")).await.unwrap_err();
    assert!(chain(&error).ends_with("every recorded exchange has been played already"));
}

#[test]
fn the_masking_of_a_player_may_use_the_player() {
    let (finished, end) = mpsc::channel();
    // On its own thread, because a deadlock would never end.
    thread::spawn(move || {
        let player = Arc::new(OnceLock::<Player>::new());
        let within = Arc::clone(&player);
        let masked = Player::new("").unwrap().masking(move |_| {
            assert_eq!(within.get().unwrap().remaining(), 0);
            Masking::none()
        });
        player.set(masked.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let error = runtime.block_on(masked.send(post("/v1", "{}")));
        finished.send(error.unwrap_err()).unwrap();
    });
    let error = end.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(chain(&error).contains("is not in the recording"));
}

#[tokio::test(start_paused = true)]
async fn identical_requests_get_their_responses_in_recorded_order() {
    let file = File::default();
    let count = Mutex::new(0);
    let server = from_fn(move |_| {
        *count.lock().unwrap() += 1;
        let response = format!("{}", count.lock().unwrap());
        async { Ok(Response::new(response.into())) }
    });
    let recorder = Recorder::new(server, file.clone(), nothing_secret);
    for _ in 0..3 {
        let response = recorder.send(post("/v1", "{}")).await.unwrap();
        text(response).await.unwrap();
    }

    let player = Player::new(&file.text()).unwrap();
    for expected in ["1", "2", "3"] {
        let response = player.clone().send(post("/v1", "{}")).await.unwrap();
        assert_eq!(text(response).await.unwrap(), expected);
    }
}

/// A file on a disk that is full during one write, after a part of it.
#[derive(Clone, Default)]
struct FullOnce {
    file: File,
    has_failed: bool,
}

impl Write for FullOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.file.text().len();
        if self.has_failed || before == 0 {
            return self.file.write(bytes);
        }
        if before < 40 {
            return self.file.write(&bytes[..bytes.len().min(40)]);
        }
        self.has_failed = true;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_cassette_that_cannot_be_written_disturbs_no_exchange_and_is_reported() {
    let server = from_fn(async |_| Ok(Response::new("served".into())));
    let full = FullOnce::default();
    let recorder = Recorder::new(server, full.clone(), nothing_secret);

    let mut written = Vec::new();
    for _ in 0..3 {
        let response = recorder.send(post("/v1", "{}")).await.unwrap();
        assert_eq!(text(response).await.unwrap(), "served");

        let error = recorder.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(
            error.to_string(),
            io::Error::from(io::ErrorKind::StorageFull).to_string()
        );
        written.push(full.file.text());
    }
    // Nothing follows the line that was cut.
    assert!(
        written[0].ends_with(r#"{"request":{"method":"POST","path":"/v1""#),
        "{}",
        written[0]
    );
    assert_eq!(written[1], written[0]);
    assert_eq!(written[2], written[0]);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_last_flush_is_reported_each_time() {
    struct Unflushed(u32);

    impl Write for Unflushed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0 += 1;
            // The codes of a platform's errors remain.
            if self.0 == 1 {
                Err(io::Error::from_raw_os_error(5))
            } else {
                Ok(())
            }
        }
    }

    let server = from_fn(async |_| Ok(Response::new("served".into())));
    let recorder = Recorder::new(server, Unflushed(0), nothing_secret);
    for _ in 0..2 {
        let error = recorder.finish().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
    }
}

#[test]
fn an_invalid_cassette_is_refused_with_its_line() {
    let read = |lines: &[&str]| -> InvalidCassette { Player::new(&lines.join("\n")).unwrap_err() };
    let version = r#"{"cassette":{"version":1}}"#;
    let request = r#"{"request":{"method":"GET","path":"/","headers":[],"body":{"text":""}}}"#;
    let response = r#"{"response":{"after_ms":1,"status":200,"headers":[]}}"#;
    let end = r#"{"end":{"after_ms":1,"how":"whole"}}"#;
    for (lines, problem) in [
        (
            &["{"][..],
            "line 1 of the cassette: it is not a line of a cassette",
        ),
        (
            &[request],
            "line 1 of the cassette: a cassette begins with its version",
        ),
        (
            &[r#"{"cassette":{"version":2}}"#],
            "line 1 of the cassette: the cassette has an unsupported version: record it again",
        ),
        (
            &[version, "", version],
            "line 3 of the cassette: the line is out of order",
        ),
        (
            &[version, response],
            "line 2 of the cassette: the line is out of order",
        ),
        (
            &[version, request, request],
            "line 3 of the cassette: the line is out of order",
        ),
        (
            &[version, request, response, response],
            "line 4 of the cassette: the line is out of order",
        ),
        (
            &[
                version,
                request,
                r#"{"piece":{"after_ms":1,"data":{"text":""}}}"#,
            ],
            "line 3 of the cassette: the line is out of order",
        ),
        (
            &[version, request, response],
            "line 3 of the cassette: the last exchange has no end",
        ),
        (
            &[version, request, end],
            "line 3 of the cassette: an exchange without a response cannot end as `whole`",
        ),
        (
            &[version, &request.replace("GET", "G T")],
            "line 2 of the cassette: the method is invalid",
        ),
        (
            &[version, &request.replace("[]", r#"[["a b","c"]]"#)],
            "line 2 of the cassette: a header is invalid",
        ),
        (
            &[version, &request.replace(r#""text":"""#, r#""base64":"?""#)],
            "line 2 of the cassette: the Base64 is invalid",
        ),
        (
            &[version, request, &response.replace("200", "20")],
            "line 3 of the cassette: the status is invalid",
        ),
        (
            &[version, &request.replace("path", "way")],
            "line 2 of the cassette: it is not a line of a cassette",
        ),
    ] {
        assert_eq!(read(lines).to_string(), problem);
    }

    assert_eq!(Player::new("").unwrap().remaining(), 0);
    assert_eq!(
        Player::new(&[version, request, response, end].join("\n\n"))
            .unwrap()
            .remaining(),
        1
    );
}

proptest! {
    /// However a body is cut, no secret remains, and everything else does.
    #[test]
    fn no_cut_shows_a_secret_or_loses_anything_else(
        words in prop::collection::vec("(sesame|sesam|x|y)", 0..12),
        cuts in prop::collection::vec(0..40_usize, 0..6),
    ) {
        // The pieces of all these tests are static.
        let body: &'static str = words.concat().leak();
        // The two secrets share no letter, so the order of the search does not matter.
        let expected = body.replace("sesame", "***").replace("yx", "***");
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts
            .windows(2)
            .map(|cut| &body[cut[0]..cut[1]])
            .collect();

        let written = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(async {
                let file = File::default();
                let server = from_fn(move |_| {
                    let (sender, body) = Pieces::new();
                    for piece in &pieces {
                        sender.send(Ok(piece)).unwrap();
                    }
                    let body = Body::wrap(body);
                    async { Ok(Response::new(body)) }
                });
                let recorder =
                    Recorder::new(server, file.clone(), |_| masking(&["yx", "sesame"]));
                text(recorder.send(post("/", "")).await.unwrap()).await.unwrap();
                file.text()
            });

        let player = Player::new(&written).unwrap();
        let played = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async { text(player.send(post("/", "")).await.unwrap()).await.unwrap() });
        prop_assert_eq!(played, expected);
        prop_assert!(!written.contains("sesame") && !written.contains("yx"));
    }
}
