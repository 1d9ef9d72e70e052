//! What takes a database away from a worker though it is there: somebody else's lock, a full disk.

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

#[expect(dead_code, reason = "they are kept open, that is all")]
enum Session {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Mysql(MysqlConnection),
}

impl Lock {
    /// Waits for those who are writing.
    pub async fn take(db: &TestDatabase) -> Self {
        let (kind, address) = db.known_as();
        let address = address.to_owned();
        tokio::task::spawn_blocking(move || Self::taken(kind, &address))
            .await
            .unwrap()
    }

    fn taken(kind: Kind, address: &str) -> Self {
        let session = match kind {
            Kind::Sqlite => {
                let mut conn = SqliteConnection::establish(address).unwrap();
                conn.batch_execute("PRAGMA busy_timeout = 10000; BEGIN EXCLUSIVE")
                    .unwrap();
                Session::Sqlite(conn)
            }
            Kind::Postgres => {
                let mut conn = PgConnection::establish(address).unwrap();
                conn.batch_execute("BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE")
                    .unwrap();
                Session::Postgres(conn)
            }
            Kind::Mysql => {
                let mut conn = MysqlConnection::establish(address).unwrap();
                conn.batch_execute("LOCK TABLES notifications WRITE").unwrap();
                Session::Mysql(conn)
            }
        };
        Self { _session: session }
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
