//! Makes of what a dispatch tells the e-mail that one recipient gets: subject, HTML, plain text and, for
//! events, a calendar part. The same facts and recipient give the same bytes. Text from outside stays text: it can
//! open no tag, no header line and no calendar line, and template syntax in it is not read as such.
//!
//! Once at start [`TemplateSets::new`]; for each dispatch [`TemplateSets::of`] its tenant; once for each dispatch [`Composer::new`], which prepares all that
//! its recipients share; once for each of them [`Composer::compose`].

mod calendar;
mod composer;
mod context;
mod error;
mod facts;
mod folder;
mod guard;
mod names;
mod overrides;
mod samples;
mod sets;
mod slack;
mod templates;
mod text;
mod when;

#[cfg(test)]
mod tests;

pub use composer::Composer;
pub use context::{
    ChangeContext, DetailContext, EventContext, ItemContext, OrderContext, PipelineContext, RecipientContext,
    SenderContext, WhenContext,
};
pub use error::{RenderError, TemplateError, TemplateProblem};
pub use facts::{EventFacts, Facts, OrderFacts, PipelineFacts, Recipient};
pub use samples::Sample;
pub use sets::TemplateSets;
pub use slack::slack_post;
pub use templates::Templates;

/// An e-mail's content for one recipient. Lines of `html` and `text` end in LF; whoever builds the
/// message encodes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One clean line of 1 to 200 characters.
    pub subject: String,
    /// The HTML part, at most 1 MiB.
    pub html: String,
    /// The plain text part, at most 1 MiB.
    pub text: String,
    /// The calendar part, when it is known when the event begins.
    pub calendar: Option<Calendar>,
}

/// A `text/calendar` part (RFC 5545) that scheduling clients act on (RFC 5546).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// `REQUEST` or `CANCEL`: also the part's `method` parameter (RFC 6047 2.4).
    pub method: &'static str,
    /// The calendar object, its lines folded and ended by CRLF.
    pub body: String,
}
