//! Makes a dispatch's e-mails; what its recipients share is prepared once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tera::{Context, Value};

use crate::domain::{Identity, one_line};

use super::Rendered;
use super::calendar::Skeleton;
use super::context::{EventContext, OrderContext, PipelineContext, RecipientContext, SenderContext};
use super::error::RenderError;
use super::facts::{Facts, Recipient};
use super::names::Files;
use super::templates::Templates;

/// Longest subject, in characters.
const MAX_SUBJECT: usize = 200;

/// Composes the e-mails of one dispatch.
pub struct Composer {
    templates: Arc<Templates>,
    files: Files,
    subject: String,
    base: Context,
    pipeline: Option<PipelineContext>,
    calendar: Option<Skeleton>,
}

impl Composer {
    /// Prepares the e-mails about `facts` from `identity`. `created_at`, when the dispatch was accepted,
    /// dates an event's calendar part and is told about pipelines.
    pub fn new(
        templates: Arc<Templates>,
        facts: &Facts,
        identity: &Identity,
        created_at: DateTime<Utc>,
    ) -> Result<Self, RenderError> {
        let files = Files::of(facts.kind());
        let mut base = Context::new();
        base.insert_value("sender", Value::from_serializable(&SenderContext::new(identity)));
        let (mut pipeline, mut calendar) = (None, None);
        match facts {
            Facts::Event(facts) => {
                let event = EventContext::new(facts);
                base.insert_value("event", Value::from_serializable(&event));
                calendar = Skeleton::new(facts, &event, identity, created_at);
            }
            Facts::Order(facts) => {
                base.insert_value("order", Value::from_serializable(&OrderContext::new(facts)));
            }
            Facts::Pipeline(facts) => {
                let context = PipelineContext::new(facts, created_at, 0);
                base.insert_value("pipeline", Value::from_serializable(&context));
                pipeline = Some(context);
            }
        }
        let subject = one_line(&templates.render(files.subject, &base)?, MAX_SUBJECT);
        if subject.is_empty() {
            return Err(RenderError::Empty {
                file: files.subject.to_owned(),
            });
        }
        Ok(Self {
            templates,
            files,
            subject,
            base,
            pipeline,
            calendar,
        })
    }

    /// The same with the number of equal messages that a cooldown held back, known only when the e-mails
    /// are sent: those about pipelines then tell it. The subject, which is recorded earlier, does not.
    #[must_use]
    pub fn held_back(mut self, count: u64) -> Self {
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.held_back = count;
            self.base
                .insert_value("pipeline", Value::from_serializable(pipeline));
        }
        self
    }

    /// The subject, the same for all recipients.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The e-mail for `recipient`.
    pub fn compose(&self, recipient: &Recipient<'_>) -> Result<Rendered, RenderError> {
        let context = self.context(recipient);
        Ok(Rendered {
            subject: self.subject.clone(),
            html: self.templates.render(self.files.html, &context)?,
            text: self.templates.render(self.files.text, &context)?,
            calendar: self.calendar.as_ref().map(|c| c.complete(recipient)),
        })
    }

    /// What is wrong with each of the two parts for `recipient`.
    pub(super) fn errors(&self, recipient: &Recipient<'_>) -> Vec<RenderError> {
        let context = self.context(recipient);
        let render = |file| self.templates.render(file, &context).err();
        [self.files.html, self.files.text]
            .into_iter()
            .filter_map(render)
            .collect()
    }

    fn context(&self, recipient: &Recipient<'_>) -> Context {
        let mut context = self.base.clone();
        context.insert_value(
            "recipient",
            Value::from_serializable(&RecipientContext::new(recipient)),
        );
        context
    }
}
