//! What kind of work a dispatch was, in the words of those who are told of its end.

/// The recipe of a message's `type`: `event.updated`, `order.created`, `pipeline.pipeline_failure`.
pub fn recipe_id(kind: &str) -> String {
    match kind {
        "CREATED" | "UPDATED" | "CANCELLED" => format!("event.{}", kind.to_ascii_lowercase()),
        order if order.starts_with("order.") => order.to_owned(),
        pipeline => format!("pipeline.{pipeline}"),
    }
}
