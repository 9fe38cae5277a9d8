//! Request bodies that nobody reads to their end.
//!
//! When a server answers and closes while the client still sends, the client's kernel may throw the answer away. So
//! what is left of a body is read and discarded in the background: the client gets its answer, and the connection
//! can be used again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// Who sends more than this has earned a broken connection.
const MOST_DISCARDED: usize = 32 * 1024 * 1024;

/// Wraps the body, if there is one, so that what is left of it at the end is discarded: until the body timeout, which
/// runs from now. A client that asks with `Expect: 100-continue` first is not made to send anything.
pub(super) fn drained(request: Request, body_timeout: Duration) -> Request {
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return request;
    }
    let deadline = Instant::now() + body_timeout;
    request.map(|body| Body::new(Drained { body, deadline, is_over: false }))
}

struct Drained {
    body: Body,
    deadline: Instant,
    is_over: bool,
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.is_over |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if self.is_over || self.body.is_end_stream() || self.deadline <= Instant::now() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout_at(self.deadline, discard(std::mem::take(&mut self.body))));
        }
    }
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MOST_DISCARDED {
            return;
        }
    }
}
