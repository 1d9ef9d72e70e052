//! A body that leaves only when told to.
//!
//! The HTTP client asks for a body once the connection stands and the request's head is on its way; what is
//! asked for earlier, or never, tells for certain that the post did not leave, whatever the client's error
//! says. A head without its body is no request, so a body that is held back sends nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// The body.
pub(super) struct Gated {
    /// Until it was asked for.
    ask: Option<Sender<()>>,
    /// Until it left.
    leave: Receiver<()>,
    /// Until it left.
    body: Option<Bytes>,
}

/// The other side of a [`Gated`]. When it is dropped, the body never leaves.
pub(super) struct Gate {
    asked: Receiver<()>,
    leave: Sender<()>,
}

/// The body was held back.
#[derive(Debug, thiserror::Error)]
#[error("held back")]
pub(super) struct HeldBack;

/// `body`, and what lets it go. An empty one is no body: it would not be asked for.
pub(super) fn gated(body: Vec<u8>) -> (Gated, Gate) {
    let (ask, asked) = channel();
    let (let_go, leave) = channel();
    let gated = Gated {
        ask: Some(ask),
        leave,
        body: Some(body.into()),
    };
    let gate = Gate { asked, leave: let_go };
    (gated, gate)
}

impl Gate {
    /// Waits until the body could leave at once; false when it never will.
    pub(super) async fn asked(&mut self) -> bool {
        (&mut self.asked).await.is_ok()
    }

    /// Lets it go.
    pub(super) fn open(self) {
        // Where nobody is left to take it, the client has an error for us.
        let _ = self.leave.send(());
    }
}

impl Body for Gated {
    type Data = Bytes;
    type Error = HeldBack;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HeldBack>>> {
        if let Some(ask) = self.ask.take() {
            // Where nobody listens any more, it is held back below.
            let _ = ask.send(());
        }
        if self.body.is_none() {
            return Poll::Ready(None);
        }
        let told = ready!(Pin::new(&mut self.leave).poll(context));
        let body = self.body.take();
        Poll::Ready(match told {
            Ok(()) => body.map(|body| Ok(Frame::data(body))),
            Err(_) => Some(Err(HeldBack)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.as_ref().map_or(0, |body| body.len() as u64))
    }
}
