//! One delivery, which knows its own way back.

use std::fmt;
use std::sync::{Arc, OnceLock};

use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, BasicProperties};

use super::dead_letter;
use super::session::Session;
use super::sqs::SqsOrigin;
use super::verdict::{Settled, Verdict};
use crate::failpoint;

/// A message as it arrived. Dropping it settles nothing: the broker delivers it again when the session
/// ends.
pub struct Delivery {
    /// The body, of any size and content.
    pub body: Vec<u8>,
    /// The publisher's idempotency key; an empty one counts as none.
    pub message_id: Option<String>,
    /// Whether the broker says that it was delivered before.
    pub redelivered: bool,
    /// The queue it came from: the first half of its key.
    pub queue: Arc<str>,
    origin: Origin,
}

enum Origin {
    Amqp(Box<AmqpOrigin>),
    Sqs(Box<SqsOrigin>),
    Local(Arc<OnceLock<Verdict>>),
}

struct AmqpOrigin {
    session: Arc<Session>,
    acker: Acker,
    properties: BasicProperties,
    /// The number of its ack in the session, once sent.
    ack: OnceLock<u64>,
}

impl Delivery {
    pub(super) fn amqp(session: Arc<Session>, queue: Arc<str>, delivery: lapin::message::Delivery) -> Self {
        let id = delivery.properties.message_id().as_ref();
        Self {
            message_id: id.map(|id| id.as_str().to_owned()).filter(|id| !id.is_empty()),
            body: delivery.data,
            redelivered: delivery.redelivered,
            queue,
            origin: Origin::Amqp(Box::new(AmqpOrigin {
                session,
                acker: delivery.acker,
                properties: delivery.properties,
                ack: OnceLock::new(),
            })),
        }
    }

    pub(super) fn sqs(
        queue: Arc<str>,
        body: Vec<u8>,
        message_id: Option<String>,
        redelivered: bool,
        origin: SqsOrigin,
    ) -> Self {
        Self {
            body,
            message_id,
            redelivered,
            queue,
            origin: Origin::Sqs(Box::new(origin)),
        }
    }

    /// A delivery without a broker. The cell takes the first verdict on it.
    pub fn local(queue: &str, body: Vec<u8>, message_id: Option<String>) -> (Self, Arc<OnceLock<Verdict>>) {
        let verdict = Arc::new(OnceLock::new());
        let origin = Origin::Local(Arc::clone(&verdict));
        let delivery = Self {
            body,
            message_id,
            redelivered: false,
            queue: queue.into(),
            origin,
        };
        (delivery, verdict)
    }

    /// Whether it can still be settled. False once it was, or its channel or connection is gone: the
    /// broker then delivers it again.
    pub fn is_live(&self) -> bool {
        match &self.origin {
            Origin::Amqp(o) => !o.session.is_lost() && o.acker.usable(),
            Origin::Sqs(o) => o.is_live(),
            Origin::Local(verdict) => verdict.get().is_none(),
        }
    }

    /// Carries the verdict out.
    pub async fn settle(&self, verdict: &Verdict) -> Settled {
        match &self.origin {
            Origin::Amqp(_) | Origin::Sqs(_) if !self.is_live() => Settled::Lost,
            Origin::Amqp(o) => o.settle(verdict, &self.body).await,
            Origin::Sqs(o) => o.settle(verdict).await,
            Origin::Local(cell) => match cell.set(verdict.clone()) {
                Ok(()) => Settled::Done,
                Err(_) => Settled::Lost,
            },
        }
    }

    /// Whether the broker has certainly taken in its ack: false when none was sent, or when the session
    /// ended before it could be known. One call to the broker proves all acks sent before it: ask after
    /// several acks, and only the first question costs a round trip.
    pub async fn prove(&self) -> bool {
        match &self.origin {
            Origin::Amqp(o) => match o.ack.get() {
                Some(ack) => o.session.prove(*ack).await,
                None => false,
            },
            Origin::Sqs(o) => o.is_deleted(),
            Origin::Local(verdict) => verdict.get().is_some(),
        }
    }
}

impl AmqpOrigin {
    async fn settle(&self, verdict: &Verdict, body: &[u8]) -> Settled {
        let done = match verdict {
            Verdict::Ack => {
                let acked = self.ack().await;
                failpoint::reached("s6-acked");
                acked
            }
            Verdict::RetryLater => {
                let options = BasicNackOptions {
                    requeue: true,
                    ..BasicNackOptions::default()
                };
                self.acker.nack(options).await
            }
            Verdict::DeadLetter(letter) => {
                let properties = dead_letter::properties(&self.properties, letter);
                failpoint::reached("s1-before");
                if let Err(error) = self.session.publish_dead(body, properties).await {
                    return Settled::Failed(error);
                }
                failpoint::reached("s1-published");
                let acked = self.ack().await;
                failpoint::reached("s1-acked");
                acked
            }
        };
        match done {
            Ok(true) => Settled::Done,
            // `false` means that nothing was sent; an error is the channel's end.
            Ok(false) | Err(_) => Settled::Lost,
        }
    }

    async fn ack(&self) -> lapin::Result<bool> {
        let sent = self.acker.ack(BasicAckOptions::default()).await?;
        if sent {
            self.ack.get_or_init(|| self.session.count_ack());
        }
        Ok(sent)
    }
}

impl fmt::Debug for Delivery {
    /// Without the body: it may hold addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = match &self.origin {
            Origin::Amqp(o) => Some(o.session.number),
            Origin::Sqs(_) | Origin::Local(_) => None,
        };
        f.debug_struct("Delivery")
            .field("queue", &self.queue)
            .field("message_id", &self.message_id)
            .field("redelivered", &self.redelivered)
            .field("bytes", &self.body.len())
            .field("session", &session)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_local_delivery_takes_one_verdict() {
        let (delivery, verdict) = Delivery::local("stdin", b"{}".to_vec(), None);
        assert!(delivery.is_live() && !delivery.prove().await);
        assert!(matches!(delivery.settle(&Verdict::Ack).await, Settled::Done));
        assert!(matches!(
            delivery.settle(&Verdict::RetryLater).await,
            Settled::Lost
        ));
        assert_eq!(verdict.get(), Some(&Verdict::Ack));
        assert!(!delivery.is_live() && delivery.prove().await);
    }
}
