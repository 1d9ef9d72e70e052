//! `DATABASE_ECHO`: statements at debug level. Diesel prints bind values behind a marker, which is cut
//! off: values are addresses and names.

use diesel::connection::InstrumentationEvent;

/// Logs one statement without its values.
#[expect(clippy::needless_pass_by_value, reason = "Diesel hands it over")]
pub(super) fn log_statement(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        let text = query.to_string();
        let statement = text.split("-- binds").next().unwrap_or_default().trim_end();
        tracing::debug!(target: "herald::sql", statement);
    }
}
