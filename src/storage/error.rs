//! Why something was not stored, and whether it may be later.

use std::io;

use crate::domain::one_line;

/// Longest text of a storage that is repeated, in characters.
const MAX_TEXT: usize = 300;

/// Why a storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It is away, slow, full, or failed: it may pass.
    #[error("the storage does not answer as it should ({0})")]
    Passing(String),
    /// Bucket, permission or path: somebody has to mend the configuration.
    #[error("{0}; look at OC_STORAGE_FILE_PATH or OC_S3_BUCKET, and at what its credentials may do")]
    Configuration(String),
    /// What came is refused: it will always be.
    #[error("{0}")]
    Refused(String),
    /// There is no such resource.
    #[error("{0} is not there")]
    NotThere(String),
}

impl StorageError {
    /// Whether the same may succeed later without anybody's doing.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Passing(_))
    }
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        let whole = chain(&error);
        let text = one_line(&whole, MAX_TEXT);
        if whole.contains("NoSuchBucket") {
            return Self::Configuration(format!("the bucket does not exist ({text})"));
        }
        match error {
            E::NotFound { path, .. } => Self::NotThere(one_line(&path, MAX_TEXT)),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::Configuration(format!("access to the storage is denied ({text})"))
            }
            E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => {
                Self::Configuration(text)
            }
            _ => Self::Passing(text),
        }
    }
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        let text = one_line(&error.to_string(), MAX_TEXT);
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::FileTooLarge => {
                Self::Refused(text)
            }
            io::ErrorKind::PermissionDenied => Self::Configuration(text),
            _ => Self::Passing(text),
        }
    }
}

/// The error and what is behind it: the outermost alone seldom says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let inner = source.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        next = source.source();
    }
    text
}
