//! Who uses which lane: what the sweeper asks before it takes a waiting dispatch up. One that could not go on
//! is better left waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::job::Route;
use super::lane::Lane;
use super::lease::lock;
use super::standing::Standing;
use crate::domain::Channel;

/// The ways that senders have used in this process, by the sender's name in the ledger.
#[derive(Default)]
pub(super) struct Users {
    ways: Mutex<HashMap<(String, Channel), Way>>,
}

struct Way {
    lane: Weak<Lane>,
    standing: Arc<Standing>,
}

impl Users {
    /// `sender` uses `route` for what goes out by `channel`.
    pub(super) fn note(&self, sender: String, channel: Channel, route: &Route) {
        let way = Way {
            lane: Arc::downgrade(&route.lane),
            standing: Arc::clone(&route.standing),
        };
        lock(&self.ways).insert((sender, channel), way);
    }

    /// Senders, channels and lanes on which nothing passes now. Ways that are not known pass.
    pub(super) fn shut(&self) -> Vec<(String, Channel, Arc<Lane>)> {
        let mut ways = lock(&self.ways);
        ways.retain(|_, way| way.lane.strong_count() > 0);
        let shut = ways.iter().filter(|(_, way)| way.is_shut());
        let named = shut.filter_map(|((sender, channel), way)| {
            let lane = way.lane.upgrade()?;
            Some((sender.clone(), *channel, lane))
        });
        named.collect()
    }
}

impl Way {
    fn is_shut(&self) -> bool {
        let closed = |lane: &Lane| lane.breaker.closed_for().is_some() || lane.is_stalled();
        self.standing.breaker.closed_for().is_some() || self.lane.upgrade().is_some_and(|lane| closed(&lane))
    }
}
