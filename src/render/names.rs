//! What templates are called: by the kind of message that they tell of.

use crate::message::{EventKind, MessageKind, OrderKind};

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// File name and content of every template.
        pub(super) const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../templates/", $name)))),+];
        /// The names alone.
        pub(super) const FILES: &[&str] = &[$($name),+];
    };
}

built_in!(
    "base.html",
    "base.txt",
    "layout.html",
    "layout.txt",
    "created.subject.txt",
    "created.html",
    "created.txt",
    "updated.subject.txt",
    "updated.html",
    "updated.txt",
    "cancelled.subject.txt",
    "cancelled.html",
    "cancelled.txt",
    "order.html",
    "order.txt",
    "order_created.subject.txt",
    "order_created.html",
    "order_created.txt",
    "order_status_updated.subject.txt",
    "order_status_updated.html",
    "order_status_updated.txt",
    "pipeline.subject.txt",
    "pipeline.html",
    "pipeline.txt",
);

/// The file names that a kind's e-mail is made of.
pub(super) struct Files {
    pub(super) subject: &'static str,
    pub(super) html: &'static str,
    pub(super) text: &'static str,
}

macro_rules! files {
    ($name:literal) => {
        Files {
            subject: concat!($name, ".subject.txt"),
            html: concat!($name, ".html"),
            text: concat!($name, ".txt"),
        }
    };
}

impl Files {
    pub(super) const fn of(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Event(EventKind::Created) => files!("created"),
            MessageKind::Event(EventKind::Updated) => files!("updated"),
            MessageKind::Event(EventKind::Cancelled) => files!("cancelled"),
            MessageKind::Order(OrderKind::Created) => files!("order_created"),
            MessageKind::Order(OrderKind::StatusUpdated) => files!("order_status_updated"),
            MessageKind::Pipeline(_) => files!("pipeline"),
        }
    }
}

/// What a kind's sample is called; but for pipelines, its files are named after it.
pub(super) const fn name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Event(EventKind::Created) => "created",
        MessageKind::Event(EventKind::Updated) => "updated",
        MessageKind::Event(EventKind::Cancelled) => "cancelled",
        MessageKind::Order(OrderKind::Created) => "order_created",
        MessageKind::Order(OrderKind::StatusUpdated) => "order_status_updated",
        MessageKind::Pipeline(kind) => kind.as_str(),
    }
}

/// The kind of this name, which may also be the message's type.
pub(super) fn kind(word: &str) -> Option<MessageKind> {
    MessageKind::all().find(|&kind| name(kind) == word || kind.as_str() == word)
}
