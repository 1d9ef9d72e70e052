//! The tenants' files, held in memory and read again when they change. A version is adopted whole or not at
//! all; one that turns invalid leaves the last good one in place; half of a file is never taken for a file.
//!
//! What looks at files ([`Tenants::load`], [`Tenants::refresh`], [`Tenants::resolve`]) belongs into
//! `spawn_blocking`; the other questions are answered from memory. No lock is held while a file is read.

mod listing;
mod open;
mod place;
mod resolution;
mod shared;
mod slot;
#[cfg(test)]
mod tests;
mod variables;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use self::place::{MAX_TENANTS, Owner, Place};
use self::shared::Shared;
use self::slot::{Slot, Standing};
use super::problem::FileProblem;
use super::sender::Sender;
use super::tenant::TenantConfig;
use crate::config::{Environment, NotificationsConfig};
use crate::domain::TenantId;

pub use resolution::{Effective, EffectiveState, Listed, NoSender, Resolution, Turn};

const BOTH_DISABLED: &str = "notifications are disabled for this tenant and for the root";
const ROOT_DISABLED: &str = "notifications are disabled for the root";

/// All tenants' configurations; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tenants(Arc<Shared>);

impl Tenants {
    /// Knows where the files are and has read none: each is read when it is first asked for.
    pub fn new(config: &NotificationsConfig, environment: &Environment) -> Self {
        Self(Arc::new(Shared {
            place: Place::new(&config.path),
            environment: environment.clone(),
            insecure_hosts: config.insecure_hosts.clone(),
            variables: variables::root(&config.root).map(Arc::new),
            state: Mutex::default(),
        }))
    }

    /// The folder in which each tenant has one of its own.
    pub fn folder(&self) -> &Path {
        self.0.place.tenants_folder()
    }

    /// Reads the root's file and all tenants'. What is wrong with one is logged and holds nothing else up.
    pub fn load(config: &NotificationsConfig, environment: &Environment, now: SystemTime) -> Self {
        let tenants = Self::new(config, environment);
        let (owners, complete) = tenants.0.owners();
        if !complete {
            tracing::warn!(
                most = MAX_TENANTS,
                "not all tenants' folders could be listed; the others are read when a message names them"
            );
        }
        for owner in owners {
            tenants.0.look(&owner, now, false);
        }
        let state = tenants.0.lock();
        let good = state.slots.values().filter(|slot| slot.good().is_some()).count();
        let root = state.slots.contains_key(&None);
        tracing::info!(
            files = state.slots.len(),
            good,
            root,
            "tenants' configurations read"
        );
        drop(state);
        tenants
    }

    /// Looks at all files, once a second. Logs each change once, and returns what turned invalid or valid since
    /// the last call or the start, whoever noticed.
    pub fn refresh(&self, now: SystemTime) -> Vec<Turn> {
        let (mut owners, _) = self.0.owners();
        owners.extend(self.0.lock().slots.keys().cloned());
        for owner in owners {
            self.0.look(&owner, now, true);
        }
        std::mem::take(&mut self.0.lock().turns)
    }

    /// Whose configuration applies to a message that names `tenant`. Looks at the files concerned, so that a
    /// change takes effect with the next message.
    pub fn resolve(&self, tenant: Option<&TenantId>, now: SystemTime) -> Resolution {
        let own = match tenant {
            Some(id) => self.0.look(&Some(id.clone()), now, true),
            None => Standing::Absent,
        };
        match (own, tenant) {
            (Standing::Invalid(problem), _) => Resolution::Invalid(problem),
            (Standing::Changing, _) => Resolution::Changing,
            (Standing::Good(own), Some(id)) if own.config.enabled => {
                Resolution::Tenant(id.clone(), Arc::clone(&own.config))
            }
            (Standing::Good(_), _) => self.root(Some(BOTH_DISABLED), now),
            (Standing::Absent, _) => self.root(None, now),
        }
    }

    /// The root's, where the tenant has none of its own or `disabled` it.
    fn root(&self, disabled: Option<&'static str>, now: SystemTime) -> Resolution {
        let root = match self.0.look(&None, now, true) {
            Standing::Invalid(problem) => return Resolution::Invalid(problem),
            Standing::Changing => return Resolution::Changing,
            Standing::Good(root) => Some((root, true)),
            Standing::Absent => self.0.variables.clone().map(|root| (root, false)),
        };
        match (root, disabled) {
            (Some((root, from_file)), _) if root.config.enabled => Resolution::Root {
                config: Arc::clone(&root.config),
                from_file,
            },
            (_, Some(disabled)) => Resolution::Disabled(disabled),
            (Some(_), None) => Resolution::Disabled(ROOT_DISABLED),
            (None, None) => Resolution::Nothing,
        }
    }

    /// The last good configuration of a dispatch that was accepted earlier, whether or not it is still enabled;
    /// or why there is none.
    pub fn sender(&self, sender: &Sender) -> Result<Arc<TenantConfig>, NoSender> {
        let owner = match sender {
            Sender::Environment => {
                return Err(NoSender(
                    "the environment's relay belongs to no tenant".to_owned(),
                ));
            }
            Sender::Root => None,
            Sender::Tenant(id) => Some(id.clone()),
        };
        let state = self.0.lock();
        let slot = state.slots.get(&owner);
        let variables = self.0.variables.as_ref().filter(|_| owner.is_none());
        let adopted = slot.map_or(variables, Slot::good);
        adopted.map(|a| Arc::clone(&a.config)).ok_or_else(|| {
            let problem = slot.and_then(Slot::problem).map(ToString::to_string);
            NoSender(
                problem.unwrap_or_else(|| format!("{}: there is no such file", self.0.place.shown(&owner))),
            )
        })
    }

    /// The share of the window beside other tenants, from whatever configuration applies; 1 where none does.
    pub fn weight(&self, tenant: Option<&TenantId>) -> f64 {
        let state = self.0.lock();
        let good = |owner: Owner| state.slots.get(&owner).and_then(Slot::good);
        let own = tenant.and_then(|id| good(Some(id.clone())));
        let applies = own
            .filter(|own| own.config.enabled)
            .or_else(|| good(None).filter(|root| root.config.enabled))
            .map(|adopted| adopted.config.weight);
        applies.unwrap_or(1.0)
    }

    /// How many files there are, and what is wrong with which, as of the last look at them.
    pub fn files(&self) -> (usize, Vec<Arc<FileProblem>>) {
        let state = self.0.lock();
        let problems = state.slots.values().filter_map(Slot::problem).map(Arc::clone);
        let mut problems: Vec<_> = problems.collect();
        problems.sort_unstable_by(|a, b| a.file.cmp(&b.file));
        (state.slots.len(), problems)
    }
}
