//! The description of the API, made of its code: each route has its own part beside its handler, and what all
//! of them have in common is added here.

use std::sync::Arc;

use axum::Extension;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::problem::Problem;

/// What stands at its head.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Herald",
        description = "What is being sent, what failed and why, and what can be done about it."
    ),
    components(schemas(Problem))
)]
pub(super) struct Head;

/// The description as JSON.
#[derive(Clone)]
pub(super) struct Description(Arc<str>);

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "description",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn show(Extension(Description(text)): Extension<Description>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text.to_string())
}

impl Description {
    /// With the answers that any route may give.
    pub(super) fn new(routes: &OpenApi31) -> Self {
        let mut value = serde_json::to_value(routes).unwrap_or_default();
        let paths = value.get_mut("paths").and_then(Value::as_object_mut);
        for (path, item) in paths.into_iter().flatten() {
            let guarded = !path.starts_with("/health");
            let operations = item.as_object_mut().into_iter().flatten();
            for (method, operation) in operations {
                let Some(operation) = operation.as_object_mut() else {
                    continue;
                };
                complete(operation, guarded, method == "post");
            }
        }
        value["components"]["securitySchemes"] = json!({"token": {
            "type": "http", "scheme": "bearer", "description": "API_TOKEN, where it is set",
        }});
        Self(value.to_string().into())
    }
}

/// As utoipa has it.
type OpenApi31 = utoipa::openapi::OpenApi;

/// Adds to one operation what its handler does not say.
fn complete(operation: &mut Map<String, Value>, guarded: bool, changes: bool) {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let asks = parameters.is_some_and(|all| all.iter().any(|p| p["in"] != "path"));
    let has_body = operation.contains_key("requestBody");
    let common = [
        (
            400,
            "a parameter, a header or the body is not valid",
            asks || has_body,
        ),
        (401, "API_TOKEN is set, and this is not it", guarded),
        (
            403,
            "a page of another origin asks, which HTTP_ALLOWED_ORIGINS does not name",
            guarded && changes,
        ),
        (413, "the body is too large", has_body),
        (415, "the body has to be JSON", has_body),
        (500, "a fault of Herald", true),
        (503, "the database or the broker is away", guarded),
        (504, "it took too long", true),
    ];
    if guarded {
        operation.insert("security".to_owned(), json!([{}, {"token": []}]));
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let Some(responses) = responses else { return };
    for (status, description, _) in common.into_iter().filter(|(.., applies)| *applies) {
        let answer = responses.entry(status.to_string());
        answer.or_insert_with(|| json!({"description": description}));
    }
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    for (status, answer) in responses {
        if status.as_str() >= "400" && answer.get("content").is_none() {
            answer["content"] = json!({"application/problem+json": {"schema": schema}});
        }
    }
}
