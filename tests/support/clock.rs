//! A wall clock that is wrong, or jumps, for one program: libfaketime between it and the system. The
//! monotonic clock goes on as ever, as it does when somebody sets a real clock.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

/// Debian's and Ubuntu's place; the loader knows what $LIB is.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// The clock of the programs that have its variables in their environment.
pub struct FakeClock {
    folder: TempDir,
}

impl FakeClock {
    /// Off by so many hours.
    pub fn off_by(hours: i64) -> Self {
        let folder = TempDir::new().unwrap();
        // The program may run as another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let clock = Self { folder };
        clock.jump_to(hours);
        clock
    }

    /// From now on it is off by so many hours.
    pub fn jump_to(&self, hours: i64) {
        // In one step, so that nobody reads half of it.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{hours:+}h\n")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::rename(new, self.folder.path().join("clock")).unwrap();
    }

    /// For the environment of a program.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let file = self.folder.path().join("clock");
        vec![
            ("LD_PRELOAD", LIBRARY.into()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// The library of a process that was killed leaves these behind.
    pub fn tidy(pid: u32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}
