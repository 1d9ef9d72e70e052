//! What is to become of a message, decided before any I/O: the [`Plan`]. It is stored with the dispatch,
//! so a dispatch keeps the identity and the words that it was accepted with.

mod facts;
mod plan;
mod sender;
mod stored;
mod tenant;
mod words;

pub use facts::{EventFacts, Facts, OrderFacts, PipelineFacts};
pub use plan::{
    Addressee, Audience, Cooldown, Lists, Plan, Planned, SlackAddress, Surroundings, Tenancy, plan,
};
pub use sender::{Sender, UnknownSender};
pub use stored::PlanError;
pub use tenant::{EmailSettings, OwnRelay, Providers, SlackSettings, TenantConfig, Trigger};
