//! Templates, shown with sample data through the code that sends.

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::Utc;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::Segment;
use super::paging::Items;
use super::problem::Problem;
use super::query::Query;
use crate::domain::TenantId;
use crate::mailer;
use crate::message::MessageKind;
use crate::render::{RenderError, Templates};

/// An e-mail that there is a template for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Template {
    name: &'static str,
    /// The message's `type`.
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The e-mails that there are templates for
#[utoipa::path(get, path = "/api/v1/templates", tag = "templates",
    responses((status = 200, description = "all of them", body = Items<Template>)))]
pub(super) async fn list() -> Json<Items<Template>> {
    let all = Templates::names()
        .zip(MessageKind::all())
        .map(|(name, kind)| Template {
            name,
            kind: kind.as_str(),
        });
    Json(Items { items: all.collect() })
}

/// A template with sample data.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    name: String,
    subject: String,
    html: String,
    text: String,
    /// The whole e-mail as it would be handed over.
    eml: String,
}

/// Whose templates.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `one` takes")]
pub(super) struct Whose {
    /// Without it, those of all tenants that have none of their own.
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    tenant_id: Option<String>,
}

/// One e-mail, made of sample data
#[utoipa::path(get, path = "/api/v1/templates/{name}", tag = "templates",
    params(("name" = String, Path, description = "its name, or a message's type"), Whose),
    responses((status = 200, description = "the e-mail", body = Preview),
              (status = 404, description = "there is none with this name"),
              (status = 409, description = "the files are wrong")))]
pub(super) async fn one(
    State(api): State<Api>,
    Segment(name): Segment,
    RawQuery(query): RawQuery,
) -> Result<Json<Preview>, Problem> {
    let mut query = Query::new(query.as_deref())?;
    let tenant: Option<TenantId> = query.word("tenant_id")?;
    query.end()?;
    let made = tokio::task::spawn_blocking(move || preview(&api, tenant.as_ref(), name)).await;
    made.map_err(|_| Problem::unexpected())?.map(Json)
}

fn preview(api: &Api, tenant: Option<&TenantId>, name: String) -> Result<Preview, Problem> {
    let templates = api
        .templates
        .of(tenant)
        .map_err(|e| Problem::templates(&e.to_string()))?;
    let rendered = templates.preview(&name).map_err(|e| match e {
        RenderError::UnknownTemplate { .. } => Problem::not_found(&e.to_string()),
        _ => Problem::templates(&e.to_string()),
    })?;
    let eml = mailer::preview(&rendered, Utc::now());
    let eml = eml.map_err(|e| Problem::templates(&e.to_string()))?;
    Ok(Preview {
        name,
        subject: rendered.subject,
        html: rendered.html,
        text: rendered.text,
        eml: String::from_utf8_lossy(&eml).into_owned(),
    })
}
