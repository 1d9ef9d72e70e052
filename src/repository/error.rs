//! Why the database did not do what was asked. Every such failure is ours, never a recipient's: the
//! caller holds what it has and tries again.

/// A failed question or change.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, or cannot write now: try again later.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// Somebody else did the same at the same time: try again at once.
    #[error("database conflict: {0}")]
    Conflict(String),
    /// The lease is no longer ours: stop the dispatch here (rule R3).
    #[error("the lease of this dispatch was taken over")]
    LeaseLost,
    /// Something that trying again hardly mends.
    #[error("database error: {0}")]
    Fault(String),
}

impl DbError {
    /// A connection that could not be had. Drivers put the URL into some messages, so the part that
    /// may hold a password is cut out.
    pub(super) fn unavailable(error: &dyn std::fmt::Display) -> Self {
        Self::Unavailable(without_credentials(&error.to_string()))
    }

    /// Whether trying again at once may succeed.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

impl From<diesel::result::Error> for DbError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Kind, Error};
        let text = without_credentials(&error.to_string());
        match error {
            Error::DatabaseError(Kind::UniqueViolation | Kind::SerializationFailure, _) => {
                Self::Conflict(text)
            }
            Error::DatabaseError(
                Kind::ClosedConnection | Kind::UnableToSendCommand | Kind::ReadOnlyTransaction,
                _,
            )
            | Error::BrokenTransactionManager => Self::Unavailable(text),
            Error::DatabaseError(..) if text.contains("eadlock") => Self::Conflict(text),
            Error::DatabaseError(..)
                if ["locked", "full", "gone away", "Lost connection"]
                    .iter()
                    .any(|w| text.contains(w)) =>
            {
                Self::Unavailable(text)
            }
            _ => Self::Fault(text),
        }
    }
}

/// `text` with the user part of every URL replaced.
fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split("://").enumerate() {
        if i > 0 {
            out.push_str("://");
            let end = part
                .find(|c: char| c.is_whitespace() || c == '/')
                .unwrap_or(part.len());
            if let Some(at) = part[..end].rfind('@') {
                out.push_str("***");
                out.push_str(&part[at..]);
                continue;
            }
        }
        out.push_str(part);
    }
    crate::domain::one_line(&out, 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_out() {
        let error = DbError::unavailable(&"cannot reach mysql://ann:s3cret@db:3306/h, see http://x.test/");
        assert_eq!(
            error.to_string(),
            "database unavailable: cannot reach mysql://***@db:3306/h, see http://x.test/"
        );
    }
}
