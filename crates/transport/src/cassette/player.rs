//! Plays what was recorded.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use tower_service::Service;

use super::format::{self, Answer, Ending, Exchange, InvalidCassette, Written};
use super::secrets::{Content, Hook, Secrets};
use crate::body::Body;
use crate::error::Error;
use crate::runtime::Runtime;
use crate::transport::ResponseFuture;

/// A transport that answers as a cassette has it. Feature `cassette`.
///
/// A request is answered by the first recorded exchange that has not been played yet and has the same method, the same
/// path with query, and the same body where bodies were recorded. Headers are not compared. Streams come in the same
/// pieces, without waiting unless a [pace](Self::pace) is set, and end as they did: an exchange that failed fails
/// again. Clones play the same cassette on.
///
/// # Errors
/// A request that was not recorded, or not as often, was [not sent](Error::maybe_sent). The
/// [source](std::error::Error::source) of its error says how it differs from the exchange that comes closest to it.
#[derive(Clone)]
pub struct Player {
    exchanges: Arc<Mutex<Vec<Recorded>>>,
    hook: Option<Hook>,
    pace: Option<Arc<dyn Runtime>>,
}

/// An exchange, of which the answer is there until it is played.
struct Recorded {
    request: format::Request,
    play: Option<Play>,
}

struct Play {
    answer: Option<Answer>,
    pieces: VecDeque<(Duration, Written)>,
    end: (Duration, Ending),
}

impl Player {
    /// Reads a cassette.
    ///
    /// # Errors
    /// Where it is not one; the error says in which line.
    pub fn new(cassette: &str) -> Result<Self, InvalidCassette> {
        let exchanges = format::read(cassette)?.into_iter().map(|exchange| {
            let Exchange {
                request,
                answer,
                pieces,
                end,
            } = exchange;
            Recorded {
                request,
                play: Some(Play {
                    answer,
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

    /// Hides the same values in requests that were [hidden when they were recorded](super::Recorder::secrets), so that
    /// they are found.
    pub fn secrets(
        mut self,
        hook: impl Fn(&Content<'_>) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Takes the time for everything that it took when it was recorded.
    pub fn pace(mut self, runtime: impl Runtime) -> Self {
        self.pace = Some(Arc::new(runtime));
        self
    }

    /// How many exchanges have not been played yet.
    pub fn remaining(&self) -> usize {
        let exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exchanges
            .iter()
            .filter(|exchange| exchange.play.is_some())
            .count()
    }

    fn find(&self, asked: &Asked) -> Result<Play, NotRecorded> {
        let mut exchanges = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for exchange in exchanges.iter_mut() {
            if asked.is(&exchange.request)
                && let Some(play) = exchange.play.take()
            {
                return Ok(play);
            }
        }
        Err(NotRecorded {
            method: asked.method.clone(),
            path: excerpt(&asked.path, 0),
            difference: asked.difference(&exchanges),
        })
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
            let body = body.collect_up_to(Body::DEFAULT_LIMIT).await?;
            let mut secrets = Secrets::default();
            if let Some(hook) = &player.hook {
                secrets.add(hook(&Content {
                    request: &head,
                    request_body: &body,
                    answer_body: None,
                }));
            }
            let asked = Asked {
                method: head.method,
                path: secrets.hide_in_text(&format::path(&head.uri)),
                body: secrets.hide(&[body]).concat().into(),
            };
            let play = player.find(&asked).map_err(Error::not_sent)?;
            play.answer(player.pace).await
        })
    }
}

impl Play {
    async fn answer(self, pace: Option<Arc<dyn Runtime>>) -> Result<Response<Body>, Error> {
        let after = match &self.answer {
            Some(answer) => answer.after,
            None => self.end.0,
        };
        if let Some(runtime) = &pace {
            runtime.sleep(after).await;
        }
        let Some(answer) = self.answer else {
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
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl Ending {
    /// Why there is no more.
    fn reason(self) -> AsRecorded {
        AsRecorded(match self {
            Self::Failed { error, .. } => error,
            Self::Dropped => "whoever waited for it left".to_owned(),
            Self::TooLong | Self::Whole => "the rest was not recorded".to_owned(),
        })
    }
}

/// What the recording says of a failure.
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
                this.pieces.clear();
                this.end = None;
                let reason = AsRecorded("the cassette holds no bodies".to_owned());
                Some(Err(Error::from_body(reason.into())))
            }
            None => match this.end.take() {
                None | Some((_, Ending::Whole)) => None,
                Some((_, ending)) => Some(Err(Error::from_body(ending.reason().into()))),
            },
        })
    }
}

/// A request as it is looked for.
struct Asked {
    method: Method,
    path: String,
    body: Bytes,
}

impl Asked {
    fn is(&self, recorded: &format::Request) -> bool {
        self.method == recorded.method
            && self.path == recorded.path
            && match &recorded.body {
                Written::Bytes(bytes) => self.body == *bytes,
                Written::Length(_) => true,
            }
    }

    /// What is not the same in the exchange that comes closest.
    fn difference(&self, exchanges: &[Recorded]) -> Difference {
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
            .filter(|recorded| recorded.path == self.path)
            .collect();
        let body = of_the_path
            .iter()
            .filter(|recorded| recorded.method == self.method)
            .filter_map(|recorded| match &recorded.body {
                Written::Bytes(bytes) => Some((common_prefix(&self.body, bytes), bytes)),
                Written::Length(_) => None,
            })
            .max_by_key(|&(same, _)| same);
        if let Some((same, recorded)) = body {
            return Difference::Body {
                same,
                recorded: excerpt(&String::from_utf8_lossy(recorded), same),
                asked: excerpt(&String::from_utf8_lossy(&self.body), same),
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

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Some text around a place in it.
fn excerpt(text: &str, place: usize) -> String {
    const BEFORE: usize = 20;
    const LENGTH: usize = 120;
    let start = text.floor_char_boundary(place.saturating_sub(BEFORE));
    let end = text.floor_char_boundary(start.saturating_add(LENGTH));
    let shown = text.get(start..end).unwrap_or_default();
    let before = if start > 0 { "…" } else { "" };
    let after = if end < text.len() { "…" } else { "" };
    format!("{before}{}{after}", shown.escape_debug())
}

/// A request that no exchange is left for.
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
        asked: String,
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
        write!(f, "{} {} is not in the recording", self.method, self.path)
    }
}

impl std::error::Error for NotRecorded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.difference)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlayedAlready => f.write_str("it has been played as often as it was recorded"),
            Self::Body {
                same,
                recorded,
                asked,
            } => write!(
                f,
                "the bodies differ from byte {same} on: recorded is `{recorded}`, asked was `{asked}`"
            ),
            Self::Method(method) => write!(f, "recorded is {method}"),
            Self::Path { method, path } => write!(f, "recorded is {method} {path}"),
            Self::NothingLeft => f.write_str("everything that was recorded has been played"),
        }
    }
}

impl std::error::Error for Difference {}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
