//! How many notifications of a dispatch have which status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::domain::NotificationStatus;

const STATUSES: usize = NotificationStatus::ALL.len();

/// A number for each status; those that do not occur are not shown.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; STATUSES]);

impl Tally {
    /// How many have `status`.
    pub fn of(&self, status: NotificationStatus) -> u64 {
        self.0[status as usize]
    }
}

impl FromIterator<(NotificationStatus, u64)> for Tally {
    fn from_iter<T: IntoIterator<Item = (NotificationStatus, u64)>>(counts: T) -> Self {
        let mut tally = Self::default();
        for (status, count) in counts {
            tally.0[status as usize] += count;
        }
        tally
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Tally {
    fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = NotificationStatus::ALL.iter();
        all.map(|status| (status.as_str(), self.of(*status)))
            .filter(|(_, count)| *count > 0)
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (status, count) in self.iter() {
            map.serialize_entry(status, &count)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counts = BTreeMap::<String, u64>::deserialize(deserializer)?;
        // A newer worker may know more words.
        let known = counts
            .into_iter()
            .filter_map(|(word, count)| Some((word.parse().ok()?, count)));
        Ok(known.collect())
    }
}

/// The same, counted by several threads.
#[derive(Debug, Default)]
pub(super) struct Counting([AtomicU64; STATUSES]);

impl Counting {
    pub(super) fn set(&self, tally: Tally) {
        for (number, count) in self.0.iter().zip(tally.0) {
            number.store(count, Ordering::Relaxed);
        }
    }

    pub(super) fn add(&self, status: NotificationStatus, count: u64) {
        self.0[status as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// One changes its status.
    pub(super) fn move_one(&self, from: NotificationStatus, to: NotificationStatus) {
        let less = |count: u64| count.checked_sub(1);
        let _ = self.0[from as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.add(to, 1);
    }

    pub(super) fn get(&self) -> Tally {
        Tally(std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed)))
    }
}
