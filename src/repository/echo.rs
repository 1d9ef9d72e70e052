//! `DATABASE_ECHO`: statements at debug level. Diesel prints bind values behind a marker, which is cut
//! off: values are addresses and names.

use diesel::connection::InstrumentationEvent;

/// Logs one finished statement without its values.
pub(super) fn log_statement(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        let text = query.to_string();
        let statement = text.split("-- binds").next().unwrap_or_default().trim_end();
        tracing::debug!(target: "herald::sql", statement);
    }
}
