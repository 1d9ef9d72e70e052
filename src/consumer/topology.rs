//! Queues that must exist.

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::connect::short;
use super::error::BrokerError;

/// Makes sure that `queue` exists. A passive declare comes first, so that a queue of any kind and with
/// any arguments is taken as it is; only if there is none, a durable one without arguments is created.
/// Each declare has a channel of its own, for a refusal closes the channel.
pub(super) async fn ensure_queue(connection: &Connection, queue: &str) -> Result<(), BrokerError> {
    match declare(connection, queue, passive()).await {
        Err(e) if e.is_not_found() => {
            let durable = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            declare(connection, queue, durable).await?;
            tracing::info!(queue, "created the queue");
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// How many messages of `queue` are ready; none if there is no such queue.
pub(super) async fn count_ready(connection: &Connection, queue: &str) -> Result<Option<u32>, BrokerError> {
    match declare(connection, queue, passive()).await {
        Err(e) if e.is_not_found() => Ok(None),
        counted => counted.map(Some),
    }
}

fn passive() -> QueueDeclareOptions {
    QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    }
}

async fn declare(
    connection: &Connection,
    queue: &str,
    options: QueueDeclareOptions,
) -> Result<u32, BrokerError> {
    let name = short("the queue's name", queue)?;
    let channel = connection.create_channel().await?;
    let declared = channel
        .queue_declare(name, options, FieldTable::default())
        .await?;
    let _ = channel.close(200, "OK".into()).await;
    Ok(declared.message_count())
}
