//! From a plan's sender to the relay and the webhook that its dispatch uses now. What is configured now counts,
//! not what was when the dispatch was accepted: a password that was mended is the one that is used.

use std::sync::Arc;

use super::destination::Destination;
use super::engine::Engine;
use super::job::Routes;
use crate::domain::Channel;
use crate::policy::{Plan, Sender, TenantConfig};

impl Engine {
    /// The ways of a dispatch, opened where that is needed. Reads files.
    ///
    /// # Errors
    /// Why there is no way now: what configured it is gone or wrong.
    pub(super) fn routes(&self, plan: &Plan) -> Result<Routes, String> {
        let config = self.configured(&plan.sender)?;
        let identity = &plan.identity.address;
        let email = self.lanes.route(&self.relay(config.as_deref()), identity)?;
        let sender = plan.sender.to_string();
        self.lanes.users.note(sender.clone(), Channel::Email, &email);
        let slack = match (&plan.slack, &config) {
            (Some(_), Some(config)) => {
                let slack = self.lanes.route(&self.webhook(config)?, identity)?;
                self.lanes.users.note(sender, Channel::Slack, &slack);
                slack
            }
            _ => email.clone(),
        };
        Ok(Routes { email, slack })
    }

    /// Whether the lanes that `routes` would give now are other ones: somebody has changed the configuration.
    pub(super) fn has_other_routes(&self, plan: &Plan, routes: &Routes) -> bool {
        let Ok(config) = self.configured(&plan.sender) else {
            return false;
        };
        let is_other = |destination: &Destination, lane| {
            self.lanes
                .known(&destination.key())
                .is_none_or(|known| !Arc::ptr_eq(&known, lane))
        };
        let other_relay = is_other(&self.relay(config.as_deref()), &routes.email.lane);
        let webhook = config
            .filter(|_| plan.slack.is_some())
            .and_then(|c| self.webhook(&c).ok());
        other_relay || webhook.is_some_and(|webhook| is_other(&webhook, &routes.slack.lane))
    }

    /// Whether nothing of a sender can go out while these channels are shut.
    pub(super) fn is_shut(&self, sender: &str, shut: &[Channel]) -> bool {
        let slack = || {
            let sender = sender.parse::<Sender>().ok();
            let config = sender.and_then(|sender| self.configured(&sender).ok().flatten());
            config.is_some_and(|config| config.slack.is_some())
        };
        shut.contains(&Channel::Email) && (shut.contains(&Channel::Slack) || !slack())
    }

    fn configured(&self, sender: &Sender) -> Result<Option<Arc<TenantConfig>>, String> {
        match sender {
            Sender::Environment => Ok(None),
            other => self.tenants.sender(other).map(Some).map_err(|e| e.to_string()),
        }
    }

    /// Where a tenant's e-mails go.
    fn relay(&self, config: Option<&TenantConfig>) -> Destination {
        let environment = &self.email.relay;
        if self.email.dummy {
            return Destination::Dummy {
                dir: self.email.dummy_dir.clone(),
                connections: environment.connections,
                rate_limit: environment.rate_limit,
            };
        }
        Destination::Relay(config.map_or_else(|| environment.clone(), |c| c.relay(environment)))
    }

    /// Where its posts go.
    fn webhook(&self, config: &TenantConfig) -> Result<Destination, String> {
        if self.email.dummy {
            return Ok(self.relay(None));
        }
        let (webhook, limit) = config.webhook().ok_or("Slack is not configured any more")?;
        let ca = self.email.relay.tls_ca.clone();
        Ok(Destination::Slack(webhook.clone(), limit, ca))
    }
}
