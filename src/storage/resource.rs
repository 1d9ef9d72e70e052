//! What is written beside a resource, and what lists all of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is said of a resource that comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where it comes from.
    pub url: String,
    /// Its media type.
    pub content_type: String,
    /// The HTTP status that it came with.
    pub status_code: u16,
    /// What it was packed in, `gzip` or `zip`; `identity` where it is as it came.
    pub encoding: String,
    /// Why it is not unpacked.
    pub unzip_error: Option<String>,
    /// What stands before its name, and those of what is unpacked from it: keeps foreign names from being taken
    /// for others. Letters, digits and `-`, at most 50.
    pub prefix: String,
}

impl Incoming {
    /// Of one that is as it came.
    pub fn new(url: &str, content_type: &str, status_code: u16) -> Self {
        Self {
            url: url.to_owned(),
            content_type: content_type.to_owned(),
            status_code,
            encoding: "identity".to_owned(),
            unzip_error: None,
            prefix: String::new(),
        }
    }
}

/// A resource, as its `.meta` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Under what name it is stored.
    #[serde(default)]
    pub name: String,
    /// Where it came from.
    pub url: String,
    /// Its media type.
    pub content_type: String,
    /// The HTTP status that it came with.
    pub status_code: u16,
    /// Bytes as they are stored.
    pub size: u64,
    /// What it was packed in when it came, `gzip` or `zip`; `identity` where it is as it came.
    pub encoding: String,
    /// Of the bytes as they are stored, in hexadecimal.
    pub sha256: String,
    /// Its bundle.
    pub bid: String,
    /// When.
    pub stored_at: DateTime<Utc>,
    /// Why it is stored as it came though it should have been unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unzip_error: Option<String>,
}

/// `bundle.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The bundle's id.
    pub bid: String,
    /// What it is about.
    pub primary_url: String,
    /// How many resources it has.
    pub resources_count: u64,
    /// Where they are.
    pub storage_key: String,
    /// What its maker says of it.
    pub meta: Map<String, Value>,
    /// All of them, by name.
    pub resources: Vec<Listed>,
}

/// A resource in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Under what name it is stored.
    pub name: String,
    /// Where it came from.
    pub url: String,
    /// Its media type.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
}

impl From<&Resource> for Listed {
    fn from(resource: &Resource) -> Self {
        Self {
            name: resource.name.clone(),
            url: resource.url.clone(),
            content_type: resource.content_type.clone(),
            size: resource.size,
            sha256: resource.sha256.clone(),
        }
    }
}
