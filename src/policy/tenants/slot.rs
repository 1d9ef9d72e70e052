//! What is known of one file: its last good state, and what is wrong with it now.

use std::sync::Arc;

use super::open::Mark;
use super::shared::Adopted;
use crate::policy::FileProblem;

/// One file that is there.
#[derive(Debug)]
pub(super) struct Slot {
    /// Which version was read last.
    pub(super) mark: Mark,
    /// Whether that version need not be read again.
    pub(super) settled: bool,
    /// The last version that could be used.
    good: Option<Arc<Adopted>>,
    /// What is wrong with the version that was read last.
    problem: Option<Arc<FileProblem>>,
    /// The problem that was told, until the file is valid again.
    told: Option<Arc<FileProblem>>,
}

/// A version that was read.
pub(super) struct Version {
    pub(super) mark: Mark,
    pub(super) settled: bool,
    /// Whether it may be half written.
    pub(super) fresh: bool,
    pub(super) content: Result<Adopted, FileProblem>,
}

/// What there is to tell about a version.
#[derive(Debug)]
pub(super) enum Change {
    /// Nothing that was not told.
    None,
    /// The file can be used.
    Adopted,
    /// The same, after it could not.
    Valid,
    /// The file cannot be used.
    Invalid(Arc<FileProblem>),
    /// There is none any more.
    Gone {
        /// Whether it could not be used.
        was_invalid: bool,
    },
}

/// What can be said of a file.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// It can be used, perhaps in an earlier version.
    Good(Arc<Adopted>),
    /// It cannot be used and never could.
    Invalid(Arc<FileProblem>),
    /// It was changed a moment ago and may still be being written.
    Changing,
}

impl Slot {
    /// A file of which nothing is known yet.
    pub(super) const fn new(mark: Mark) -> Self {
        Self {
            mark,
            settled: false,
            good: None,
            problem: None,
            told: None,
        }
    }

    /// Takes a version over; what is to be told about it.
    pub(super) fn apply(&mut self, version: Version) -> Change {
        self.mark = version.mark;
        self.settled = version.settled;
        match version.content {
            Ok(good) => {
                let same = self.good.as_ref().is_some_and(|old| old.digest == good.digest);
                let recovered = self.told.take().is_some();
                self.problem = None;
                if !same {
                    self.good = Some(Arc::new(good));
                }
                match (recovered, same) {
                    (true, _) => Change::Valid,
                    (false, false) => Change::Adopted,
                    (false, true) => Change::None,
                }
            }
            Err(problem) => {
                let told = self.told.as_deref() == Some(&problem);
                let problem = Arc::new(problem);
                self.problem = Some(Arc::clone(&problem));
                if told || version.fresh {
                    return Change::None;
                }
                self.told = Some(Arc::clone(&problem));
                Change::Invalid(problem)
            }
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match (&self.good, &self.problem) {
            (Some(good), _) => Standing::Good(Arc::clone(good)),
            (None, Some(problem)) if self.told.as_ref() == Some(problem) => {
                Standing::Invalid(Arc::clone(problem))
            }
            (None, _) => Standing::Changing,
        }
    }

    /// The last version that could be used.
    pub(super) const fn good(&self) -> Option<&Arc<Adopted>> {
        self.good.as_ref()
    }

    /// What is wrong with the version that was read last.
    pub(super) const fn problem(&self) -> Option<&Arc<FileProblem>> {
        self.problem.as_ref()
    }

    /// The file has vanished, and its last good version with it.
    pub(super) fn end(self) -> Change {
        Change::Gone {
            was_invalid: self.told.is_some(),
        }
    }
}
