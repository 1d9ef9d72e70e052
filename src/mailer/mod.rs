//! Hands one rendered e-mail over to a relay and says what became of it.
//!
//! Guarantees: [`Handover::Accepted`] only after 2yz to the final dot; [`Handover::Unknown`] exactly
//! when the dot may have left and no reply came; in every other case the relay certainly did not take
//! the e-mail. STARTTLS is never skipped. Every step has a time limit.

mod attached;
mod auth;
mod body;
mod breaker;
mod conversation;
mod dummy;
mod email;
mod fault;
mod handover;
mod lines;
mod offers;
mod parcel;
mod pipeline;
mod preview;
mod relay;
mod tls;
mod wire;

pub use attached::{Attached, content_type};
pub use breaker::Breaker;
pub use conversation::Conversation;
pub use dummy::Dummy;
pub use email::{Draft, Letterhead, MimeError};
pub use fault::{Fault, FaultCause, Phase, Reply};
pub use handover::{Handover, Refusal};
pub use parcel::{Email, Outlet, Parcel};
pub use preview::preview;
pub use relay::{Relay, RelayConfigError};
pub use tls::TlsError;
