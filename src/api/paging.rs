//! What lists have in common.

use chrono::{NaiveDateTime, SecondsFormat};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Paging;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the contract names them")]
pub(super) struct Page<T: ToSchema> {
    items: Vec<T>,
    page: u32,
    page_size: u32,
    /// How many there are on all pages.
    total: i64,
}

impl<T: ToSchema> Page<T> {
    pub(super) fn new(items: Vec<T>, paging: Paging, total: i64) -> Self {
        Self {
            items,
            page: paging.page,
            page_size: paging.size,
            total,
        }
    }
}

/// A whole list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Items<T: ToSchema> {
    pub(super) items: Vec<T>,
}

/// A time of the ledger's.
pub(super) fn rfc3339(time: NaiveDateTime) -> String {
    time.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}
