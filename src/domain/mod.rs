//! Ids and validated values: a value of one of these types was checked when it was made, so nothing
//! below or above has to check it again.

mod address;
mod audience;
mod identity;
mod ids;
mod recipe;
mod status;
mod text;

pub use address::{AddressError, EmailAddress};
pub use audience::{Addressee, Audience, Cooldown};
pub use identity::Identity;
pub use ids::{DispatchId, EventId, IdError, LeaseToken, NotificationId, OrderId, TenantId};
pub use recipe::recipe_id;
pub use status::{Channel, DispatchStatus, NotificationStatus, Severity, Source, UnknownWord};
pub use text::{DisplayName, one_line};
