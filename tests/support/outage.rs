//! What others do to a worker's database: lock it, fill its disk, commit late.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, MysqlConnection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::database::{Kind, TestDatabase};
use super::postgres::is_root;

/// Nobody else writes notifications for as long as it lives.
pub struct Lock {
    _session: Session,
}

enum Session {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Mysql(MysqlConnection),
}

impl Session {
    fn open(kind: Kind, address: &str) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite(SqliteConnection::establish(address).unwrap()),
            Kind::Postgres => Self::Postgres(PgConnection::establish(address).unwrap()),
            Kind::Mysql => Self::Mysql(MysqlConnection::establish(address).unwrap()),
        }
    }

    fn execute(&mut self, sql: &str) {
        match self {
            Self::Sqlite(conn) => conn.batch_execute(sql),
            Self::Postgres(conn) => conn.batch_execute(sql),
            Self::Mysql(conn) => conn.batch_execute(sql),
        }
        .unwrap();
    }

    /// Off the thread on which the relay of the test runs too.
    async fn begun(db: &TestDatabase, sql: String) -> Self {
        let (kind, address) = db.known_as();
        let address = address.to_owned();
        let begin = move || {
            let mut session = Self::open(kind, &address);
            session.execute(&sql);
            session
        };
        tokio::task::spawn_blocking(begin).await.unwrap()
    }
}

impl Lock {
    /// Waits for those who are writing.
    pub async fn take(db: &TestDatabase) -> Self {
        let sql = match db.known_as().0 {
            Kind::Sqlite => "PRAGMA busy_timeout = 10000; BEGIN EXCLUSIVE",
            Kind::Postgres => "BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE",
            Kind::Mysql => "LOCK TABLES notifications WRITE",
        };
        Self {
            _session: Session::begun(db, sql.into()).await,
        }
    }
}

/// Participants whose ids are given and whose transaction is not over.
pub struct LateCommit {
    session: Session,
}

impl LateCommit {
    /// `<prefix>0@example.com` and so on.
    pub async fn begin(db: &TestDatabase, event: i64, prefix: &str, count: usize) -> Self {
        let values: Vec<_> = (0..count)
            .map(|i| format!("({event}, '{prefix}{i}@example.com', 'Late {i}')"))
            .collect();
        let values = values.join(", ");
        let sql = format!("BEGIN; INSERT INTO participants (event_id, email, name) VALUES {values}");
        Self {
            session: Session::begun(db, sql).await,
        }
    }

    pub async fn commit(mut self) {
        let commit = tokio::task::spawn_blocking(move || self.session.execute("COMMIT"));
        commit.await.unwrap();
    }
}

/// A disk of a few megabytes. It goes when dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where these tests may not mount anything.
    pub fn mount(megabytes: usize) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={megabytes}m,mode=0777");
        let mounted = as_root("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        let done = mounted.is_ok_and(|output| output.status.success());
        done.then_some(Self { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room there is left.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A worker of a failed test may be there for a moment yet.
        let _ = as_root("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}
