//! Where the parts of a bundle stand.

use object_store::path::Path;

use super::BundleId;

/// The list of all resources.
pub(super) const MANIFEST: &str = "bundle.json";

/// All resources in one file.
const PACKED: &str = "resources.zip";

/// What describes a resource stands beside it.
pub(super) const META: &str = ".meta";

/// How keys are made.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// `bundle_<bid>/<resource>`
    Folder,
    /// `<prefix>/bundles/<bid>/resources/<resource>`
    Keys(String),
}

impl Layout {
    /// Where all bundles are, and what their names begin with there.
    pub(super) fn bundles(&self) -> (Option<Path>, &'static str) {
        match self {
            Self::Folder => (None, "bundle_"),
            Self::Keys(prefix) => (Some(Path::from(joined(prefix, "bundles"))), ""),
        }
    }

    /// Where the resources of a bundle are: its storage key.
    pub(super) fn resources(&self, bid: &BundleId) -> String {
        match self {
            Self::Folder => format!("bundle_{bid}"),
            Self::Keys(prefix) => joined(prefix, &format!("bundles/{bid}/resources")),
        }
    }

    /// Everything of a bundle is below this.
    pub(super) fn bundle(&self, bid: &BundleId) -> Path {
        match self {
            Self::Folder => Path::from(self.resources(bid)),
            Self::Keys(prefix) => Path::from(joined(prefix, &format!("bundles/{bid}"))),
        }
    }

    pub(super) fn resource(&self, bid: &BundleId, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.resources(bid)))
    }

    pub(super) fn meta(&self, bid: &BundleId, name: &str) -> Path {
        Path::from(format!("{}/{name}{META}", self.resources(bid)))
    }

    /// Where all resources are once they are packed.
    pub(super) fn packed(&self, bid: &BundleId) -> Path {
        self.resource(bid, PACKED)
    }

    pub(super) fn manifest(&self, bid: &BundleId) -> Path {
        Path::from(format!("{}/{MANIFEST}", self.bundle(bid)))
    }
}

fn joined(prefix: &str, rest: &str) -> String {
    if prefix.is_empty() {
        rest.to_owned()
    } else {
        format!("{prefix}/{rest}")
    }
}
