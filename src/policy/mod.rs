//! What is to become of a message, decided before any I/O: the [`Plan`]. It is stored with the dispatch,
//! so a dispatch keeps the identity and the words that it was accepted with.

mod facts;
mod file;
mod listed;
mod plan;
#[cfg(test)]
mod plan_tests;
mod planner;
mod problem;
mod sender;
mod stored;
mod tenant;
mod tenants;
mod words;

pub use facts::{EventFacts, Facts, OrderFacts, PipelineFacts};
pub use plan::{Lists, Plan, Planned, SlackAddress, Surroundings, Tenancy};
pub use planner::plan;
pub use problem::{FileProblem, KeyProblem};
pub use sender::{Sender, UnknownSender};
pub use stored::PlanError;
pub use tenant::{EmailSettings, OwnRelay, Providers, SlackSettings, TenantConfig, Trigger};
pub use tenants::{Effective, EffectiveState, Listed, NoSender, Resolution, Tenants, Turn};
