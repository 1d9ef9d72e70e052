//! The files as they are in memory, and how what was read gets there.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::Turn;
use super::open::{self, Mark, Reading};
use super::place::{Owner, Place};
use super::slot::{Change, Slot, Standing, Version};
use crate::config::Environment;
use crate::domain::TenantId;
use crate::policy::file::{self, Context};
use crate::policy::{FileProblem, KeyProblem, TenantConfig};

/// Looks at a file that others keep changing.
const TRIES: usize = 4;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) environment: Environment,
    pub(super) insecure_hosts: Vec<String>,
    /// The root where there is no `config.json`.
    pub(super) variables: Option<Arc<Adopted>>,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The files that are there.
    pub(super) slots: HashMap<Owner, Slot>,
    /// What the next `refresh` reports.
    pub(super) turns: Vec<Turn>,
}

/// A configuration that can be used.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) digest: [u8; 32],
    pub(super) config: Arc<TenantConfig>,
    /// As JSON for people.
    pub(super) shown: Box<str>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root and the tenants that have a folder; and whether all could be listed.
    pub(super) fn owners(&self) -> (BTreeSet<Owner>, bool) {
        let (tenants, complete) = match self.place.tenants() {
            Ok((tenants, more)) => (tenants, !more),
            Err(_) => (BTreeSet::new(), false),
        };
        let root = std::iter::once(None);
        (root.chain(tenants.into_iter().map(Some)).collect(), complete)
    }

    /// What the owner's file says now: it is read if it changed since it was read last. Two that look at once
    /// may both read it; only what was read of a version that nobody overtook is applied.
    pub(super) fn look(&self, owner: &Owner, now: SystemTime, tell_adopted: bool) -> Standing {
        for _ in 0..TRIES {
            let mark = Mark::look(&self.place, owner);
            let known = {
                let state = self.lock();
                let slot = state.slots.get(owner);
                match (slot, &mark) {
                    (None, None) => return Standing::Absent,
                    (Some(slot), Some(mark)) if slot.settled && slot.mark == *mark => {
                        return slot.standing();
                    }
                    (slot, _) => slot.map(|slot| slot.mark.clone()),
                }
            };
            let version = open::read(&self.place, owner).map(|reading| self.version(owner, reading, now));
            if let Some(standing) = self.apply(owner, known.as_ref(), version, tell_adopted) {
                return standing;
            }
        }
        self.lock()
            .slots
            .get(owner)
            .map_or(Standing::Absent, Slot::standing)
    }

    fn version(&self, owner: &Owner, reading: Reading, now: SystemTime) -> Version {
        let whole = |reason: String| {
            let path = String::new();
            vec![KeyProblem { path, reason }]
        };
        let surroundings = Context {
            tenant: owner.as_ref(),
            environment: &self.environment,
            insecure_hosts: &self.insecure_hosts,
        };
        let unchanged = reading.whole;
        let content = match reading.content {
            Ok(_) if !unchanged => Err(whole("the file changes while it is read".to_owned())),
            Ok(bytes) => file::read(&bytes, surroundings).map(|read| Adopted {
                digest: Sha256::digest(&bytes).into(),
                config: Arc::new(read.config),
                shown: read.shown.into(),
            }),
            Err(reason) => Err(whole(reason)),
        };
        let mark = reading.mark;
        Version {
            settled: unchanged && mark.is_settled(now),
            fresh: !unchanged || mark.is_fresh(now),
            content: content.map_err(|problems| FileProblem {
                file: self.place.shown(owner),
                problems,
            }),
            mark,
        }
    }

    /// Takes over what was read, unless somebody took over something else since `known` was seen.
    fn apply(
        &self,
        owner: &Owner,
        known: Option<&Mark>,
        version: Option<Version>,
        tell_adopted: bool,
    ) -> Option<Standing> {
        let mut state = self.lock();
        if state.slots.get(owner).map(|slot| &slot.mark) != known {
            return None;
        }
        let (change, standing) = match version {
            None => {
                let slot = state.slots.remove(owner);
                (slot.map_or(Change::None, Slot::end), Standing::Absent)
            }
            Some(version) => {
                let new = || Slot::new(version.mark.clone());
                let slot = state.slots.entry(owner.clone()).or_insert_with(new);
                (slot.apply(version), slot.standing())
            }
        };
        state.turns.extend(self.turn(owner, &change));
        drop(state);
        self.log(owner, &change, &standing, tell_adopted);
        Some(standing)
    }

    /// The problem that began or ended with a change.
    fn turn(&self, owner: &Owner, change: &Change) -> Option<Turn> {
        let problem = match change {
            Change::Invalid(problem) => Some(Arc::clone(problem)),
            Change::Valid | Change::Gone { was_invalid: true } => None,
            Change::None | Change::Adopted | Change::Gone { was_invalid: false } => return None,
        };
        Some(Turn {
            tenant: owner.clone(),
            file: self.place.shown(owner),
            problem,
        })
    }

    fn log(&self, owner: &Owner, change: &Change, standing: &Standing, tell_adopted: bool) {
        let tenant = owner.as_ref().map_or("(root)", TenantId::as_str);
        let file = self.place.shown(owner);
        match change {
            Change::None => {}
            Change::Adopted if !tell_adopted => {}
            Change::Adopted => tracing::info!(tenant, file, "configuration adopted"),
            Change::Valid => tracing::info!(tenant, file, "configuration valid again"),
            Change::Gone { .. } => tracing::info!(tenant, file, "configuration gone"),
            Change::Invalid(problem) => {
                let problems: Vec<_> = problem.problems.iter().map(ToString::to_string).collect();
                let problems = problems.join("; ");
                if matches!(standing, Standing::Good(_)) {
                    tracing::error!(
                        tenant,
                        file,
                        problems,
                        "configuration invalid; the last good one still applies"
                    );
                } else {
                    tracing::error!(tenant, file, problems, "configuration invalid");
                }
            }
        }
    }
}
