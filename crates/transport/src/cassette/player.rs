//! Plays recorded exchanges.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body::Frame;
use http_body_util::BodyExt as _;
use memchr::memmem;
use tower_service::Service;

use super::format::{self, Ending, Exchange, InvalidCassette, ResponseHead, Written};
use super::held::Held;
use super::masking::{Content, Hook, Masking};
use crate::body::Body;
use crate::error::Error;
use crate::runtime::Runtime;
use crate::transport::ResponseFuture;

/// A transport that responds from a cassette. Feature `cassette`.
///
/// It responds with the first recorded exchange that has not been played yet and has the same method, the same
/// path with query, and the same body; a recorded `***` matches anything, and so does a body that was too long to record.
/// Headers are not compared. Streams arrive in the
/// recorded pieces, without waiting unless a [pace](Self::pace) is set, and end as recorded: an exchange that failed fails
/// again. Clones share the cassette and its position.
///
/// # Errors
/// A request that was not recorded, or not as often, was [not sent](Error::maybe_sent). Its error names the difference from the closest
/// recorded exchange.
#[derive(Clone)]
pub struct Player {
    exchanges: Arc<Mutex<Vec<Recorded>>>,
    hook: Option<Hook>,
    pace: Option<Arc<dyn Runtime>>,
}

/// A recorded exchange. Playing it takes its response.
struct Recorded {
    request: format::Request,
    play: Option<Play>,
}

struct Play {
    response: Option<ResponseHead>,
    pieces: VecDeque<(Duration, Written)>,
    end: (Duration, Ending),
}

impl Player {
    /// Reads a cassette.
    ///
    /// # Errors
    /// If the text is not a valid cassette; the error names the line.
    pub fn new(cassette: &str) -> Result<Self, InvalidCassette> {
        let exchanges = format::read(cassette)?.into_iter().map(|exchange| {
            let Exchange {
                request,
                response,
                pieces,
                end,
            } = exchange;
            Recorded {
                request,
                play: Some(Play {
                    response,
                    pieces: pieces.into(),
                    end,
                }),
            }
        });
        Ok(Self {
            exchanges: Arc::new(Mutex::new(exchanges.collect())),
            hook: None,
            pace: None,
        })
    }

    /// Masks the request that the error of an unrecorded request shows.
    pub fn masking(
        mut self,
        masking: impl Fn(&Content<'_>) -> Masking + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(masking));
        self
    }

    /// Waits as long for each response and piece as it took when it was recorded. Default: no waits.
    pub fn pace(mut self, runtime: impl Runtime) -> Self {
        self.pace = Some(Arc::new(runtime));
        self
    }

    /// Returns the number of exchanges that have not been played yet.
    pub fn remaining(&self) -> usize {
        self.lock()
            .iter()
            .filter(|exchange| exchange.play.is_some())
            .count()
    }

    fn find(&self, requested: &Requested) -> Result<Play, NotRecorded> {
        if let Some(play) = self.take(requested) {
            return Ok(play);
        }
        // Without the lock: the user's masking may call this player.
        let shown = requested.masked(self.hook.as_ref());
        Err(NotRecorded {
            path: excerpt(&shown.path, 0),
            difference: requested.difference(&shown, &self.lock()),
            method: shown.method,
        })
    }

    /// Takes the first match in recorded order: identical requests get their responses in this order.
    fn take(&self, requested: &Requested) -> Option<Play> {
        self.lock()
            .iter_mut()
            .filter(|exchange| requested.is(&exchange.request))
            .find_map(|exchange| exchange.play.take())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service<Request<Body>> for Player {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let player = self.clone();
        ResponseFuture::new(async move {
            let (head, body) = request.into_parts();
            let requested = Requested {
                path: format::path(&head.uri),
                head,
                body: read(body).await?,
            };
            let play = player.find(&requested).map_err(Error::not_recorded)?;
            play.respond(player.pace).await
        })
    }
}

impl Play {
    async fn respond(self, pace: Option<Arc<dyn Runtime>>) -> Result<Response<Body>, Error> {
        let after = match &self.response {
            Some(head) => head.after,
            None => self.end.0,
        };
        if let Some(runtime) = &pace {
            runtime.sleep(after).await;
        }
        let Some(head) = self.response else {
            return Err(match self.end.1 {
                Ending::Failed {
                    error,
                    maybe_sent: false,
                } => Error::not_sent(AsRecorded(error)),
                ending => Error::new(ending.reason()),
            });
        };
        let mut response = Response::new(Body::wrap(PlayedBody {
            pieces: self.pieces,
            end: Some(self.end),
            pace,
            sleep: None,
        }));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }
}

impl Ending {
    /// Returns the error that ends the response.
    fn reason(self) -> AsRecorded {
        AsRecorded(match self {
            Self::Failed { error, .. } => error,
            Self::Dropped => "the caller dropped it during the recording".to_owned(),
            Self::TooLong | Self::Whole => "the rest was not recorded".to_owned(),
        })
    }
}

/// The recorded text of a failure.
#[derive(Debug)]
struct AsRecorded(String);

impl fmt::Display for AsRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "as recorded: {}", excerpt(&self.0, 0))
    }
}

impl std::error::Error for AsRecorded {}

struct PlayedBody {
    pieces: VecDeque<(Duration, Written)>,
    end: Option<(Duration, Ending)>,
    pace: Option<Arc<dyn Runtime>>,
    sleep: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl http_body::Body for PlayedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let after = match (this.pieces.front(), &this.end) {
            (Some((after, _)), _) | (None, Some((after, _))) => *after,
            (None, None) => return Poll::Ready(None),
        };
        if let Some(runtime) = &this.pace {
            let sleep = this.sleep.get_or_insert_with(|| runtime.sleep(after));
            ready!(sleep.as_mut().poll(cx));
            this.sleep = None;
        }
        Poll::Ready(match this.pieces.pop_front() {
            Some((_, Written::Bytes(bytes))) => Some(Ok(Frame::data(bytes))),
            Some((_, Written::Length(_))) => {
                // Nothing follows an error, not even the recorded end.
                this.pieces.clear();
                this.end = None;
                let reason = AsRecorded("the body was too long to be recorded".to_owned());
                Some(Err(Error::from_body(reason.into())))
            }
            None => match this.end.take() {
                None | Some((_, Ending::Whole)) => None,
                Some((_, ending)) => Some(Err(Error::from_body(ending.reason().into()))),
            },
        })
    }
}

/// A request to look for.
struct Requested {
    head: request::Parts,
    path: String,
    body: Written,
}

/// Reads a request's body as it would be recorded: of a long one, only the length.
async fn read(mut body: Body) -> Result<Written, Error> {
    let mut held = Held::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            held.add(data);
        }
    }
    Ok(if held.is_too_long() {
        Written::Length(held.length as u64)
    } else {
        Written::Bytes(held.bytes.concat().into())
    })
}

/// The masked request, for errors.
struct Shown {
    method: Method,
    path: String,
    body: Vec<u8>,
}

impl Requested {
    fn is(&self, recorded: &format::Request) -> bool {
        self.head.method == recorded.method
            && is_like(recorded.path.as_bytes(), self.path.as_bytes())
            && match (&recorded.body, &self.body) {
                (Written::Bytes(recorded), Written::Bytes(body)) => is_like(recorded, body),
                (Written::Bytes(_), Written::Length(_)) => false,
                // The content was too long to record, so nothing can be compared. Not even the length: it counts only what was sent.
                (Written::Length(_), _) => true,
            }
    }

    fn masked(&self, hook: Option<&Hook>) -> Shown {
        let body = match &self.body {
            Written::Bytes(bytes) => bytes.clone(),
            Written::Length(_) => Bytes::new(),
        };
        let content = Content {
            request: &self.head,
            request_body: &body,
            response: None,
        };
        let masking = hook.map_or_else(Masking::none, |hook| hook(&content));
        Shown {
            method: self.head.method.clone(),
            path: masking.mask_text(&self.path),
            body: masking.mask(std::slice::from_ref(&body)).concat(),
        }
    }

    /// Returns the difference from the closest recorded exchange.
    fn difference(&self, shown: &Shown, exchanges: &[Recorded]) -> Difference {
        let mut unplayed = Vec::new();
        for exchange in exchanges {
            if exchange.play.is_some() {
                unplayed.push(&exchange.request);
            } else if self.is(&exchange.request) {
                return Difference::PlayedAlready;
            }
        }
        let of_the_path: Vec<_> = unplayed
            .iter()
            .filter(|recorded| is_like(recorded.path.as_bytes(), self.path.as_bytes()))
            .collect();
        let body = of_the_path
            .iter()
            .filter(|recorded| recorded.method == self.head.method)
            .filter_map(|recorded| match &recorded.body {
                // The masked body, because the error shows an excerpt.
                Written::Bytes(bytes) => Some((common_prefix(&shown.body, bytes), bytes)),
                Written::Length(_) => None,
            })
            .max_by_key(|&(same, _)| same);
        if let Some((same, recorded)) = body {
            if let Written::Length(requested) = self.body {
                return Difference::Length {
                    recorded: recorded.len(),
                    requested,
                };
            }
            return Difference::Body {
                same,
                recorded: excerpt(&String::from_utf8_lossy(recorded), same),
                requested: excerpt(&String::from_utf8_lossy(&shown.body), same),
            };
        }
        if let Some(recorded) = of_the_path.first() {
            return Difference::Method(recorded.method.clone());
        }
        match unplayed.first() {
            Some(recorded) => Difference::Path {
                method: recorded.method.clone(),
                path: excerpt(&recorded.path, 0),
            },
            None => Difference::NothingLeft,
        }
    }
}

/// Returns whether a text matches a recorded one, in which `***` matches anything. Quotes around `***` may be part of the mask, because
/// a number may have been masked.
fn is_like(recorded: &[u8], requested: &[u8]) -> bool {
    const MASK: &[u8] = b"***";
    let mut rest = Some(requested);
    let mut recorded = recorded;
    let mut is_first = true;
    while let Some(at) = memmem::find(recorded, MASK) {
        // In a longer run of asterisks, any three may be the mask.
        let stars = recorded[at..]
            .iter()
            .take_while(|byte| **byte == b'*')
            .count();
        let (before, behind) = (&recorded[..at], &recorded[at + stars..]);
        let quoted = before.strip_suffix(b"\"").zip(behind.strip_prefix(b"\""));
        let (before, behind) = quoted.unwrap_or((before, behind));
        // The text before the first mask is a prefix, each later one may be anywhere behind the last, and the rest is a suffix.
        rest = rest.and_then(|rest| match is_first {
            true => rest.strip_prefix(before),
            false => memmem::find(rest, before).map(|at| &rest[at + before.len()..]),
        });
        (recorded, is_first) = (behind, false);
    }
    match is_first {
        true => requested == recorded,
        false => rest.is_some_and(|rest| rest.ends_with(recorded)),
    }
}

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Returns the text around a position.
fn excerpt(text: &str, place: usize) -> String {
    const BEFORE: usize = 20;
    const LENGTH: usize = 120;
    let start = char_boundary(text, place.saturating_sub(BEFORE));
    let end = char_boundary(text, start.saturating_add(LENGTH));
    let shown = text.get(start..end).unwrap_or_default();
    let before = if start > 0 { "…" } else { "" };
    let after = if end < text.len() { "…" } else { "" };
    format!("{before}{}{after}", shown.escape_debug())
}

/// Returns the last character boundary of `text` at or before `at`.
fn char_boundary(text: &str, at: usize) -> usize {
    // `str::floor_char_boundary` needs Rust 1.91.
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// The error of a request that has no recorded exchange left.
#[derive(Debug)]
struct NotRecorded {
    method: Method,
    path: String,
    difference: Difference,
}

#[derive(Debug)]
enum Difference {
    PlayedAlready,
    Body {
        same: usize,
        recorded: String,
        requested: String,
    },
    /// The requested body is too long to be compared.
    Length {
        recorded: usize,
        requested: u64,
    },
    Method(Method),
    Path {
        method: Method,
        path: String,
    },
    NothingLeft,
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            path,
            difference,
        } = self;
        write!(f, "{method} {path} is not in the recording: {difference}")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlayedAlready => f.write_str("every recording of it has been played already"),
            Self::Body {
                same,
                recorded,
                requested,
            } => write!(
                f,
                "the bodies differ from byte {same} on: recorded `{recorded}`, requested `{requested}`"
            ),
            Self::Length {
                recorded,
                requested,
            } => write!(
                f,
                "the bodies differ: recorded {recorded} bytes, requested {requested} bytes"
            ),
            Self::Method(method) => write!(f, "the recording has {method}"),
            Self::Path { method, path } => write!(f, "the recording has {method} {path}"),
            Self::NothingLeft => f.write_str("every recorded exchange has been played already"),
        }
    }
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
