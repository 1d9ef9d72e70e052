//! What happens, told among the workers of one queue: a fanout exchange that is gone with its last worker. It has
//! a connection of its own, since a broker that is short of memory stops reading from whoever publishes, and acks
//! must not wait for that. Nothing here is confirmed or kept, and nothing depends on it.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, Consumer, ExchangeKind};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connect::{close, connect, short};
use super::error::{BrokerError, within};
use super::live_exchange_name;
use super::source::BrokerStatus;
use super::topology::count_ready;
use crate::config::BrokerConfig;
use crate::live::Live;

/// Before another try.
const PAUSE: Duration = Duration::from_secs(5);

/// For each call; a broker that takes longer is given up for now.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How often the main queue is asked for its length.
const LOOK: Duration = Duration::from_secs(5);

/// What waits for a worker at the broker at most, the oldest going first.
const WAITING: i32 = 2_000;

/// Frames that are published before the broker's answer to a call is waited for: it bounds what the client library
/// holds while the broker does not read.
const UNHEARD: usize = 100;

/// Tells the other workers and hears them until `stop`, whenever the broker is there.
pub async fn broadcast(
    broker: BrokerConfig,
    live: Live,
    mut status: watch::Receiver<BrokerStatus>,
    stop: CancellationToken,
) {
    let Some(mut frames) = live.link() else { return };
    let mut told = false;
    loop {
        let connected = status.wait_for(|s| *s == BrokerStatus::Connected);
        if !matches!(stop.run_until_cancelled(connected).await, Some(Ok(_))) {
            return;
        }
        let ended = serve(&broker, &live, &mut frames, &stop).await;
        live.set_linked(false);
        let Err(error) = ended else { return };
        if std::mem::replace(&mut told, true) {
            tracing::debug!(%error, "still cannot hear the other workers");
        } else {
            tracing::warn!(%error, "cannot hear the other workers now: what they do is not shown here");
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(PAUSE))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// One connection's life. `Ok`: it was told to stop.
async fn serve(
    broker: &BrokerConfig,
    live: &Live,
    frames: &mut mpsc::Receiver<Vec<u8>>,
    stop: &CancellationToken,
) -> Result<(), BrokerError> {
    let Some(connection) = stop.run_until_cancelled(connect(&broker.url)).await else {
        return Ok(());
    };
    let connection = connection?;
    let exchange = short("the exchange's name", &live_exchange_name(&broker.queue));
    let served = async {
        let (channel, consumer) = within(CALL_LIMIT, open(&connection, exchange.clone()?)).await?;
        // What waits is from before, and late.
        while frames.try_recv().is_ok() {}
        live.set_linked(true);
        let link = Link {
            connection: &connection,
            channel,
            exchange: exchange?,
            queue: &broker.queue,
        };
        link.serve(consumer, live, frames).await
    };
    let ended = stop.run_until_cancelled(served).await;
    close(&connection).await;
    ended.unwrap_or(Ok(()))
}

/// A queue of this worker's own, with what is published to the exchange from now on.
async fn open(connection: &Connection, exchange: ShortString) -> Result<(Channel, Consumer), BrokerError> {
    let channel = connection.create_channel().await?;
    let fleeting = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Fanout,
            fleeting,
            FieldTable::default(),
        )
        .await?;
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(WAITING));
    let queue = channel.queue_declare("".into(), own, arguments).await?;
    let queue = queue.name().clone();
    channel
        .queue_bind(
            queue.clone(),
            exchange,
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let unacked = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = channel
        .basic_consume(queue, "".into(), unacked, FieldTable::default())
        .await?;
    Ok((channel, consumer))
}

struct Link<'a> {
    connection: &'a Connection,
    channel: Channel,
    exchange: ShortString,
    queue: &'a str,
}

impl Link<'_> {
    async fn serve(
        &self,
        mut consumer: Consumer,
        live: &Live,
        frames: &mut mpsc::Receiver<Vec<u8>>,
    ) -> Result<(), BrokerError> {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut unheard = 0;
        loop {
            tokio::select! {
                heard = consumer.next() => match heard {
                    Some(heard) => live.receive(&heard?.data),
                    None => return Err(BrokerError::ChannelClosed),
                },
                frame = frames.recv() => match frame {
                    Some(frame) => {
                        self.publish(&frame).await?;
                        unheard += 1;
                    }
                    None => return Ok(()),
                },
                _ = looks.tick() => {
                    let count = within(CALL_LIMIT, count_ready(self.connection, self.queue)).await?;
                    live.metrics().queue_messages(count.unwrap_or(0));
                }
            }
            if unheard >= UNHEARD {
                unheard = 0;
                // Changes nothing: its answer says that the broker has read all before.
                let call = self.channel.basic_qos(0, BasicQosOptions::default());
                within(CALL_LIMIT, call).await?;
            }
        }
    }

    async fn publish(&self, frame: &[u8]) -> Result<(), BrokerError> {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        let publish =
            self.channel
                .basic_publish(self.exchange.clone(), "".into(), options, frame, properties);
        within(CALL_LIMIT, publish).await.map(drop)
    }
}
