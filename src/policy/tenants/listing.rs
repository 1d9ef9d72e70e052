//! Where tenants stand, for people, as of the last look at their files.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::place::Owner;
use super::shared::{Adopted, State};
use super::slot::Slot;
use super::{Effective, EffectiveState, Listed, Tenants};
use crate::domain::TenantId;

/// What decides for a tenant.
struct Decision {
    state: EffectiveState,
    file: Option<String>,
    error: Option<String>,
    adopted: Option<Arc<Adopted>>,
}

impl Tenants {
    /// What applies to a tenant.
    pub fn effective(&self, tenant: &TenantId) -> Effective {
        let decision = self.decide(&self.0.lock(), tenant);
        let shown = |adopted: Arc<Adopted>| serde_json::from_str::<Value>(&adopted.shown).ok();
        Effective {
            tenant_id: tenant.to_string(),
            state: decision.state,
            file: decision.file,
            error: decision.error,
            config: decision.adopted.and_then(shown),
        }
    }

    /// The root, and all tenants that have a file, by their ids.
    pub fn listing(&self) -> Vec<Listed> {
        let owners: BTreeSet<Owner> = self.0.lock().slots.keys().cloned().collect();
        let tenants = owners.into_iter().flatten();
        let mut listed = vec![self.root_listed()];
        listed.extend(tenants.map(|id| {
            let decision = self.decide(&self.0.lock(), &id);
            Listed {
                tenant: Some(id),
                state: decision.state,
                file: decision.file,
                error: decision.error,
            }
        }));
        listed
    }

    fn root_listed(&self) -> Listed {
        let state = self.0.lock();
        let root = state.slots.get(&None);
        let variables = self.0.variables.as_ref().filter(|_| root.is_none());
        let good = root.map_or(variables, Slot::good);
        let enabled = good.is_some_and(|root| root.config.enabled);
        Listed {
            tenant: None,
            state: if enabled {
                EffectiveState::Root
            } else {
                EffectiveState::Disabled
            },
            file: root.map(|_| self.0.place.shown(&None)),
            error: root.and_then(Slot::problem).map(ToString::to_string),
        }
    }

    fn decide(&self, state: &State, tenant: &TenantId) -> Decision {
        let owner = Some(tenant.clone());
        let own = state.slots.get(&owner);
        let root = state.slots.get(&None);
        let variables = self.0.variables.as_ref().filter(|_| root.is_none());
        let good_own = own.and_then(Slot::good);
        let good_root = root.map_or(variables, Slot::good);
        // An invalid file of the tenant's own keeps the root's from standing in.
        let own_decides = own.is_some() && good_own.is_none_or(|own| own.config.enabled);
        let concerned = [own, root.filter(|_| !own_decides)];
        let problems = concerned.into_iter().flatten().filter_map(Slot::problem);
        let root_decides = !own_decides && good_root.is_some_and(|root| root.config.enabled);
        let by = if own_decides || (own.is_some() && !root_decides) {
            (own.map(|_| self.0.place.shown(&owner)), good_own)
        } else {
            (root.map(|_| self.0.place.shown(&None)), good_root)
        };
        Decision {
            state: match (own_decides && good_own.is_some(), root_decides) {
                (true, _) => EffectiveState::Tenant,
                (false, true) => EffectiveState::Root,
                (false, false) => EffectiveState::Disabled,
            },
            file: by.0,
            error: problems
                .map(ToString::to_string)
                .reduce(|a, b| format!("{a}; {b}")),
            adopted: by.1.cloned(),
        }
    }
}
