//! Why something is not sent on purpose, in one word of a closed set.

/// The words of `herald_suppressed_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppression {
    /// The participant has unsubscribed.
    Unsubscribed,
    /// The tenant is muted.
    Muted,
    /// Notifications are disabled, switched off or not configured.
    Disabled,
    /// The type's trigger is disabled.
    Trigger,
    /// The way is disabled or leads nowhere.
    Provider,
    /// An equal message was told shortly before.
    Cooldown,
    /// Anything else.
    Other,
}

impl Suppression {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unsubscribed,
        Self::Muted,
        Self::Disabled,
        Self::Trigger,
        Self::Provider,
        Self::Cooldown,
        Self::Other,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Muted => "muted",
            Self::Disabled => "disabled",
            Self::Trigger => "trigger",
            Self::Provider => "provider",
            Self::Cooldown => "cooldown",
            Self::Other => "other",
        }
    }
}
