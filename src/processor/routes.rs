//! From a plan's sender to the relay and the webhook that its dispatch uses now. What is configured now counts,
//! not what was when the dispatch was accepted: a password that was mended is the one that is used.

use std::collections::HashMap;
use std::sync::Arc;

use super::destination::Destination;
use super::engine::Engine;
use super::job::Routes;
use crate::domain::Channel;
use crate::policy::{Facts, Plan, Sender, TenantConfig};

impl Engine {
    /// The ways of a dispatch, opened where that is needed. Reads files.
    ///
    /// # Errors
    /// Why there is no way now: what configured it is gone or wrong.
    pub(super) fn routes(&self, plan: &Plan) -> Result<Routes, String> {
        let config = self.configured(&plan.sender)?;
        let open = |channel| {
            let destination = self.destination(channel, config.as_deref())?;
            let route = self.lanes.route(&destination, &plan.identity.address)?;
            self.lanes.users.note(plan.sender.to_string(), channel, &route);
            Ok::<_, String>(route)
        };
        let slack = plan.slack.as_ref().map(|_| open(Channel::Slack)).transpose()?;
        match slack {
            Some(slack) if !mails(plan) => Ok(Routes::one(slack)),
            Some(slack) => Ok(Routes {
                email: open(Channel::Email)?,
                slack,
            }),
            None => Ok(Routes::one(open(Channel::Email)?)),
        }
    }

    /// Whether the lanes that `routes` would give now are other ones: somebody has changed the configuration.
    pub(super) fn has_other_routes(&self, plan: &Plan, routes: &Routes) -> bool {
        let Ok(config) = self.configured(&plan.sender) else {
            return false;
        };
        let ways = [
            (Channel::Email, mails(plan)),
            (Channel::Slack, plan.slack.is_some()),
        ];
        let mut used = ways.into_iter().filter(|(_, used)| *used).map(|(way, _)| way);
        used.any(|way| {
            let destination = self.destination(way, config.as_deref());
            destination.is_ok_and(|there| !self.lanes.is(&there.key(), &routes.of(way).lane))
        })
    }

    /// For each sender the channels on which nothing passes now. A lane that a sender's configuration no longer
    /// leads to says nothing of it.
    pub(super) fn shut(&self) -> HashMap<String, Vec<Channel>> {
        let mut shut: HashMap<String, Vec<Channel>> = HashMap::new();
        for (name, channel, lane) in self.lanes.users.shut() {
            let sender = name.parse::<Sender>().map_err(|e| e.to_string());
            let config = sender.and_then(|sender| self.configured(&sender));
            let now = config.and_then(|config| self.destination(channel, config.as_deref()));
            if now.is_ok_and(|now| self.lanes.is(&now.key(), &lane)) {
                shut.entry(name).or_default().push(channel);
            }
        }
        shut
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

    fn destination(&self, channel: Channel, config: Option<&TenantConfig>) -> Result<Destination, String> {
        match channel {
            Channel::Email => Ok(self.relay(config)),
            Channel::Slack => self.webhook(config),
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
    fn webhook(&self, config: Option<&TenantConfig>) -> Result<Destination, String> {
        if self.email.dummy {
            return Ok(self.relay(None));
        }
        let webhook = config.and_then(TenantConfig::webhook);
        let (webhook, limit) = webhook.ok_or("Slack is not configured any more")?;
        let ca = self.email.relay.tls_ca.clone();
        Ok(Destination::Slack(webhook.clone(), limit, ca))
    }
}

/// Whether a dispatch has e-mails at all: a pipeline's may have none but posts.
fn mails(plan: &Plan) -> bool {
    let listed = !(plan.lists.to.is_empty() && plan.lists.cc.is_empty());
    listed || plan.slack.is_none() || !matches!(plan.facts, Facts::Pipeline(_))
}
