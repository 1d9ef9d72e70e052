//! What nearly every test needs: a database, a queue and an SMTP server of its own.

use super::database::{Kind, TestDatabase};
use super::rabbit::Rabbit;
use super::smtp::{Options, SmtpServer};
use super::worker::{Settings, Worker};

pub struct Stage {
    pub db: TestDatabase,
    pub rabbit: Rabbit,
    pub smtp: SmtpServer,
}

impl Stage {
    pub async fn new(kind: Kind, options: Options) -> Self {
        Self {
            db: TestDatabase::new(kind),
            rabbit: Rabbit::new().await,
            smtp: SmtpServer::start(options).await,
        }
    }

    /// For a worker that mails to this server.
    pub fn settings(&self) -> Settings {
        Settings::new(&self.db, &self.rabbit).relay(&self.smtp)
    }

    /// Stops the worker and looks whether everything was acked: what was not is ready again once the
    /// worker's connection is closed.
    pub async fn end(self, worker: Worker) {
        worker.stop().await;
        let left = self.rabbit.ready(&self.rabbit.broker.queue).await;
        assert_eq!(left, Some(0), "messages that were not acked");
        self.rabbit.clean().await;
    }
}
