//! Templates per tenant: the files of `<parent>/<tenant>/templates/` over those of `TEMPLATES_DIR` over the
//! built-in ones. A change of a file is noticed at once. A set that was good stays in use until its files are
//! good again; one that never was is an error that names tenant, file and reason.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::TemplateError;
use super::folder::{Folder, Look};
use super::names::FILES;
use super::overrides::{self, Override};
use super::templates::Templates;
use crate::domain::TenantId;

/// The folder of a tenant's templates beside its configuration.
const FOLDER: &str = "templates";

/// All sets that are in use.
#[derive(Debug)]
pub struct TemplateSets {
    parent: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    base: Set,
    tenants: HashMap<TenantId, Set>,
}

/// One set, and what its folder looked like when it was last read.
#[derive(Debug)]
struct Set {
    folder: Option<Folder>,
    /// `None` before the first time.
    look: Option<Look>,
    /// The files of the set below when this one was made.
    below: Arc<Vec<Override>>,
    good: Option<Good>,
    problem: Option<TemplateError>,
}

/// A set that passed every check.
#[derive(Debug, Clone)]
struct Good {
    files: Arc<Vec<Override>>,
    templates: Arc<Templates>,
}

impl TemplateSets {
    /// Reads the base set: the built-in files, replaced by those of `templates_dir`. `parent` is the folder
    /// in which each tenant has one of its own.
    pub fn new(templates_dir: Option<&Path>, parent: Option<&Path>) -> Result<Self, TemplateError> {
        let folder = templates_dir.map(|path| Folder {
            path: path.to_owned(),
            within: None,
        });
        let mut base = Set::new(folder);
        base.renew(None, &Arc::default());
        base.current()?;
        Ok(Self {
            parent: parent.map(Path::to_owned),
            state: Mutex::new(State {
                base,
                tenants: HashMap::new(),
            }),
        })
    }

    /// The set for a tenant's e-mails, as its files are now. Reads and compiles what has changed, which takes
    /// some milliseconds; otherwise it only looks at the folders.
    pub fn of(&self, tenant: Option<&TenantId>) -> Result<Arc<Templates>, TemplateError> {
        let mut state = self.state();
        let base = state.renew_base()?;
        match tenant.zip(self.parent.as_deref()) {
            Some((tenant, parent)) => state.of_tenant(tenant, parent, base),
            None => Ok(base.templates),
        }
    }

    /// Looks at every set in use, so that a mistake is told before the next e-mail. Cheap while nothing has
    /// changed.
    pub fn refresh(&self) {
        let mut state = self.state();
        let Ok(base) = state.renew_base() else { return };
        state.tenants.retain(|_, set| set.look_now() != Look::Absent);
        for (tenant, set) in &mut state.tenants {
            set.renew(Some(tenant), &base.files);
        }
    }

    /// What is wrong with the files of a set, as last looked at.
    pub fn problem(&self, tenant: Option<&TenantId>) -> Option<String> {
        let state = self.state();
        let set = match tenant {
            Some(tenant) => state.tenants.get(tenant)?,
            None => &state.base,
        };
        set.problem.as_ref().map(ToString::to_string)
    }

    /// Whoever panicked with it left a set that is as good as before: each change is a single assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The base set as it is now.
    fn renew_base(&mut self) -> Result<Good, TemplateError> {
        self.base.renew(None, &Arc::default());
        self.base.current()
    }

    fn of_tenant(
        &mut self,
        tenant: &TenantId,
        parent: &Path,
        base: Good,
    ) -> Result<Arc<Templates>, TemplateError> {
        let own = parent.join(tenant.as_str());
        let new = Set::new(Some(Folder {
            path: own.join(FOLDER),
            within: Some(own),
        }));
        // Tenants are named by messages: only those that have a folder are remembered.
        if new.look_now() == Look::Absent {
            self.tenants.remove(tenant);
            return Ok(base.templates);
        }
        let set = self.tenants.entry(tenant.clone()).or_insert(new);
        set.renew(Some(tenant), &base.files);
        set.current().map(|good| good.templates)
    }
}

impl Set {
    fn new(folder: Option<Folder>) -> Self {
        Self {
            folder,
            look: None,
            below: Arc::default(),
            good: None,
            problem: None,
        }
    }

    fn look_now(&self) -> Look {
        self.folder.as_ref().map_or(Look::Absent, Folder::look)
    }

    /// The last good state.
    fn current(&self) -> Result<Good, TemplateError> {
        let none = || TemplateError {
            tenant: None,
            problems: Vec::new(),
        };
        let problem = || self.problem.clone().unwrap_or_else(none);
        self.good.clone().ok_or_else(problem)
    }

    /// Reads and checks the files again if they or those below have changed.
    fn renew(&mut self, tenant: Option<&TenantId>, below: &Arc<Vec<Override>>) {
        let look = self.look_now();
        let same_below = self.below == *below;
        if same_below && self.look.as_ref() == Some(&look) {
            return;
        }
        let made = self.make(below);
        (self.look, self.below) = (Some(look), Arc::clone(below));
        let tenant_id = tenant.map(TenantId::as_str);
        match made {
            Ok(good) => {
                if self.problem.take().is_some() {
                    tracing::info!(tenant.id = tenant_id, "the templates are good again");
                }
                self.good = Some(good);
            }
            Err(error) => {
                let error = TemplateError {
                    tenant: tenant.cloned(),
                    ..error
                };
                let kept = self.good.is_some();
                tracing::error!(tenant.id = tenant_id, %error, kept, "templates have changed and cannot be used");
                self.problem = Some(error);
            }
        }
    }

    fn make(&self, below: &Arc<Vec<Override>>) -> Result<Good, TemplateError> {
        let (own, problems) = self
            .folder
            .as_ref()
            .map_or_else(Default::default, |folder| overrides::read(folder, FILES));
        let has = |name: &str| own.iter().any(|(n, _)| *n == name);
        let inherited = below.iter().filter(|(name, _)| !has(name)).cloned();
        let files: Vec<Override> = inherited.chain(own.iter().cloned()).collect();
        let place = self
            .folder
            .as_ref()
            .map(|folder| folder.path.display().to_string());
        let templates = Templates::compile(&files, problems, place.as_deref().unwrap_or(FOLDER))?;
        Ok(Good {
            files: Arc::new(files),
            templates: Arc::new(templates),
        })
    }
}
