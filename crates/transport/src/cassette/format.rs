//! The lines of a cassette.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};

use super::masking::{Masking, is_secret_header};
use crate::error::BoxError;

/// One line. Times are in milliseconds since the previous line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Cassette {
        version: u32,
    },
    Request {
        method: String,
        path: String,
        headers: Vec<(String, String)>,
        body: Data,
    },
    Response {
        after_ms: u64,
        status: u16,
        headers: Vec<(String, String)>,
    },
    Piece {
        after_ms: u64,
        data: Data,
    },
    End {
        after_ms: u64,
        how: Ending,
    },
}

const VERSION: u32 = 1;

/// Content, as text if possible.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Data {
    Text(String),
    Base64(String),
    /// The number of bytes of content that was too long to write.
    Length(u64),
}

/// The end of an exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ending {
    /// The response was read to its end.
    Whole,
    /// The exchange failed: there was no response, or its body broke off.
    Failed { error: String, maybe_sent: bool },
    /// The caller dropped the exchange or the response's body.
    Dropped,
    /// The body exceeded the recorder's limit.
    TooLong,
}

/// One exchange of a cassette.
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) response: Option<ResponseHead>,
    pub(super) pieces: Vec<(Duration, Written)>,
    pub(super) end: (Duration, Ending),
}

pub(super) struct Request {
    pub(super) method: Method,
    /// The path with its query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Written,
}

pub(super) struct ResponseHead {
    pub(super) after: Duration,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// Bytes, or only their number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written {
    Bytes(Bytes),
    Length(u64),
}

/// Returns the part of a URI that a cassette records.
pub(super) fn path(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

/// Returns the first line of a cassette.
pub(super) fn beginning() -> serde_json::Result<String> {
    let mut line = serde_json::to_string(&Line::Cassette { version: VERSION })?;
    line.push('\n');
    Ok(line)
}

impl Exchange {
    /// Returns the lines of this exchange. Its bodies must be masked already; everything else is masked here.
    pub(super) fn to_lines(
        &self,
        in_request: &Masking,
        in_response: &Masking,
    ) -> serde_json::Result<String> {
        let mut lines = vec![Line::Request {
            method: self.request.method.to_string(),
            path: in_request.mask_text(&self.request.path),
            headers: write_headers(&self.request.headers, in_request),
            body: Data::from(&self.request.body),
        }];
        if let Some(response) = &self.response {
            lines.push(Line::Response {
                after_ms: to_ms(response.after),
                status: response.status.as_u16(),
                headers: write_headers(&response.headers, in_response),
            });
        }
        for (after, content) in &self.pieces {
            lines.push(Line::Piece {
                after_ms: to_ms(*after),
                data: Data::from(content),
            });
        }
        let (after, how) = &self.end;
        lines.push(Line::End {
            after_ms: to_ms(*after),
            how: how.clone(),
        });
        let mut text = String::new();
        for line in lines {
            text.push_str(&serde_json::to_string(&line)?);
            text.push('\n');
        }
        Ok(text)
    }
}

/// Reads all exchanges of a cassette.
pub(super) fn read(text: &str) -> Result<Vec<Exchange>, InvalidCassette> {
    let mut exchanges = Vec::new();
    let mut begun = false;
    let mut open: Option<Exchange> = None;
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        if text.trim().is_empty() {
            continue;
        }
        let line = serde_json::from_str(text).map_err(|error| InvalidCassette {
            line: number,
            problem: "it is not a line of a cassette",
            source: Some(error.into()),
        })?;
        let wrong = |problem| InvalidCassette::new(number, problem);
        match (line, &mut open) {
            (Line::Cassette { version: VERSION }, None) if !begun => begun = true,
            (Line::Cassette { .. }, _) if !begun => {
                return Err(wrong(
                    "the cassette has an unsupported version: record it again",
                ));
            }
            _ if !begun => return Err(wrong("a cassette begins with its version")),
            (
                Line::Request {
                    method,
                    path,
                    headers,
                    body,
                },
                None,
            ) => {
                open = Some(Exchange {
                    request: Request {
                        method: method.parse().map_err(|_| wrong("the method is invalid"))?,
                        path,
                        headers: read_headers(headers, number)?,
                        body: body.read(number)?,
                    },
                    response: None,
                    pieces: Vec::new(),
                    end: (Duration::ZERO, Ending::Dropped),
                });
            }
            (
                Line::Response {
                    after_ms,
                    status,
                    headers,
                },
                Some(exchange),
            ) if exchange.response.is_none() => {
                exchange.response = Some(ResponseHead {
                    after: Duration::from_millis(after_ms),
                    status: StatusCode::from_u16(status)
                        .map_err(|_| wrong("the status is invalid"))?,
                    headers: read_headers(headers, number)?,
                });
            }
            (Line::Piece { after_ms, data }, Some(exchange)) if exchange.response.is_some() => {
                let after = Duration::from_millis(after_ms);
                exchange.pieces.push((after, data.read(number)?));
            }
            (Line::End { after_ms, how }, Some(_)) => {
                if let Some(mut exchange) = open.take() {
                    if exchange.response.is_none() && how == Ending::Whole {
                        return Err(wrong(
                            "an exchange without a response cannot end as `whole`",
                        ));
                    }
                    exchange.end = (Duration::from_millis(after_ms), how);
                    exchanges.push(exchange);
                }
            }
            _ => return Err(wrong("the line is out of order")),
        }
    }
    match open {
        None => Ok(exchanges),
        Some(_) => Err(InvalidCassette::new(
            text.lines().count(),
            "the last exchange has no end",
        )),
    }
}

/// An error in a cassette, with its line.
#[derive(Debug)]
pub struct InvalidCassette {
    line: usize,
    problem: &'static str,
    source: Option<BoxError>,
}

impl InvalidCassette {
    fn new(line: usize, problem: &'static str) -> Self {
        Self {
            line,
            problem,
            source: None,
        }
    }
}

impl fmt::Display for InvalidCassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the cassette: {}", self.line, self.problem)
    }
}

impl std::error::Error for InvalidCassette {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<&Written> for Data {
    fn from(content: &Written) -> Self {
        match content {
            Written::Length(length) => Self::Length(*length),
            Written::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::Base64(BASE64_STANDARD.encode(bytes)),
            },
        }
    }
}

impl Data {
    fn read(self, line: usize) -> Result<Written, InvalidCassette> {
        match self {
            Self::Text(text) => Ok(Written::Bytes(text.into())),
            Self::Length(length) => Ok(Written::Length(length)),
            Self::Base64(text) => BASE64_STANDARD
                .decode(text)
                .map(|bytes| Written::Bytes(bytes.into()))
                .map_err(|_| InvalidCassette::new(line, "the Base64 is invalid")),
        }
    }
}

fn write_headers(headers: &HeaderMap, masking: &Masking) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|&(name, value)| !is_transfer_header(name) && !is_secret_header(name, value))
        .filter_map(|(name, value)| {
            let value = masking.mask_text(value.to_str().ok()?);
            Some((name.to_string(), value))
        })
        .collect()
}

/// Returns whether a header describes only the transfer of a message, and is therefore wrong when the message is played.
fn is_transfer_header(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TRANSFER_ENCODING,
    ]
    .contains(name)
}

fn read_headers(headers: Vec<(String, String)>, line: usize) -> Result<HeaderMap, InvalidCassette> {
    headers
        .into_iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            let value: HeaderValue = value.parse().ok()?;
            Some((name, value))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| InvalidCassette::new(line, "a header is invalid"))
}

fn to_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
