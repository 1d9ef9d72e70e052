//! What is wrong with a file: for logs, dead letters and the API. No value of a secret or of a variable is
//! part of it.

use std::fmt;

/// One thing that has to be put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// Such as `email.smtp_port`; empty where it is the file as a whole.
    pub path: String,
    /// What is wrong and what would have been right, on one line.
    pub reason: String,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.path, self.reason)
        }
    }
}

/// All that is wrong with a file, on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    /// The file, as the configuration names its folder.
    pub file: String,
    /// At least one.
    pub problems: Vec<KeyProblem>,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}
