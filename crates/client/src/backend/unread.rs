use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use http::StatusCode;
use http_body::Body as _;
use twentyfirst_protocol::browser::BodyError;
use twentyfirst_transport::{Body, Runtime, Wait};

use super::{Refusal, RequestLimits};

/// The body of a request that has not been read yet, because the request is authorized first.
///
/// The user's function has one clone, with which it reads the body once it has decided on the head. The handler has the other
/// clone. It needs a part of the content (`Kept`) to go on, and reads the body itself if the function did not.
pub(super) struct Unread<Kept>(Arc<Shared<Kept>>);

struct Shared<Kept> {
    body: Mutex<Option<Body>>,
    kept: OnceLock<Kept>,
    limits: RequestLimits,
    runtime: Arc<dyn Runtime>,
}

impl<Kept> Unread<Kept> {
    pub(super) fn new(body: Body, limits: &RequestLimits, runtime: &Arc<dyn Runtime>) -> Self {
        Self(Arc::new(Shared {
            body: Mutex::new(Some(body)),
            kept: OnceLock::new(),
            limits: limits.clone(),
            runtime: Arc::clone(runtime),
        }))
    }

    /// Reads the body, and keeps a part of its content.
    ///
    /// # Errors
    /// 408 if it arrives too slowly, 413 if it is too long, 400 if it is cut off or invalid, or if an earlier read did not
    /// complete.
    pub(super) async fn read<T>(
        &self,
        read: impl FnOnce(Vec<u8>, &RequestLimits) -> Result<(T, Kept), BodyError>,
    ) -> Result<T, Refusal> {
        let body = self
            .0
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let body = body.ok_or_else(|| Refusal::bad_request("the body was not read to its end"))?;
        let bytes = collect(body, &self.0.limits, &self.0.runtime).await?;
        let (content, kept) = read(bytes, &self.0.limits)?;
        // Cannot fail: the body can be taken only once.
        let _ = self.0.kept.set(kept);
        Ok(content)
    }

    /// Returns the part that was kept, if the body was read.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.0.kept.get()
    }
}

// Implemented by hand: the derive would require `Kept: Clone`.
impl<Kept> Clone for Unread<Kept> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Reads all bytes of a body.
async fn collect(
    body: Body,
    limits: &RequestLimits,
    runtime: &Arc<dyn Runtime>,
) -> Result<Vec<u8>, Refusal> {
    let too_long = || {
        let message = format!("the body is longer than {} bytes", limits.body);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limits.body {
        return Err(too_long());
    }
    let mut body = pin!(body);
    // A browser that declares a length gets room for it at once. That is at most the limit, and only for authorized requests.
    let mut bytes = Vec::with_capacity(declared);
    let (mut whole, mut idle) = (Wait::new(runtime), Wait::new(runtime));
    let began_at = whole.now();
    let mut came_at = began_at;
    poll_fn(|cx| {
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Err(Refusal::bad_request("the body was cut off")));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are ignored.
                    let data = frame.into_data().unwrap_or_default();
                    if bytes.len() + data.len() > limits.body {
                        return Poll::Ready(Err(too_long()));
                    }
                    bytes.extend_from_slice(&data);
                    came_at = idle.now();
                }
                // The time is checked only here: a body that never pauses ends at the limit of its size.
                Poll::Pending => {
                    let is_late = whole.poll(began_at, limits.time, cx).is_ready()
                        || idle.poll(came_at, limits.idle, cx).is_ready();
                    return match is_late {
                        true => Poll::Ready(Err(Refusal::new(
                            StatusCode::REQUEST_TIMEOUT,
                            "the body arrived too slowly",
                        ))),
                        false => Poll::Pending,
                    };
                }
            }
        }
    })
    .await?;
    Ok(bytes)
}
