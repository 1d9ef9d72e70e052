//! A folder of configuration files for tenants.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::worker::Settings;

/// `configs`, with the root in `configs/notifications`.
pub struct Configs(TempDir);

impl Configs {
    /// No file yet.
    pub fn new() -> Self {
        let configs = Self(TempDir::new().unwrap());
        fs::create_dir(configs.0.path().join("notifications")).unwrap();
        configs
    }

    /// For a worker that reads these.
    pub fn of(&self, settings: Settings) -> Settings {
        settings.set("NOTIFICATIONS_CONFIG_PATH", self.root_folder().display())
    }

    pub fn root_folder(&self) -> PathBuf {
        self.0.path().join("notifications")
    }

    /// The folder of a tenant, which is there from now on.
    pub fn folder(&self, tenant: &str) -> PathBuf {
        let folder = self.0.path().join(tenant);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Writes the root's file.
    pub fn root(&self, config: &Value) -> &Self {
        replace(
            &self.root_folder().join("config.json"),
            config.to_string().as_bytes(),
        );
        self
    }

    /// Writes a tenant's file.
    pub fn tenant(&self, tenant: &str, config: &Value) -> &Self {
        self.raw(tenant, config.to_string().as_bytes())
    }

    /// The same with any content.
    pub fn raw(&self, tenant: &str, content: &[u8]) -> &Self {
        replace(&self.folder(tenant).join("notifications.json"), content);
        self
    }

    /// Takes a tenant's file away.
    pub fn remove(&self, tenant: &str) {
        fs::remove_file(self.folder(tenant).join("notifications.json")).unwrap();
    }

    /// A template of a tenant's own.
    pub fn template(&self, tenant: &str, name: &str, content: &str) -> &Self {
        let folder = self.folder(tenant).join("templates");
        fs::create_dir_all(&folder).unwrap();
        replace(&folder.join(name), content.as_bytes());
        self
    }
}

/// As operators do it: whole or not at all.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}
