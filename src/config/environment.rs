//! The variables after the start, for `${NAME}` in tenants' files.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Looks variables up by name, for as long as the program runs; cheap to clone. What it finds may be secret:
/// nothing of it is ever shown.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

impl Environment {
    /// Asks `lookup` each time.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The value as it stands, empty or not.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl Default for Environment {
    /// Knows no variable.
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl From<HashMap<String, String>> for Environment {
    fn from(variables: HashMap<String, String>) -> Self {
        Self::new(move |name| variables.get(name).cloned())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}
