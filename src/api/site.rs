//! The operators' page: files that are part of the program. Without a token, as there is nothing in them that
//! is not public; what the page shows, it asks the API for.
//!
//! The page's policy lets nothing in from elsewhere and runs nothing that stands inline. E-mails have their
//! styles inline, so previews stand in `preview.html`, a document with a policy of its own and without an
//! origin: it reaches neither the page nor the API.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; font-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// What a preview may do: be looked at, with its own styles, in the page alone. Its one script puts the e-mail
/// into a frame without any scripts.
const PREVIEW_POLICY: &str = "sandbox allow-scripts; default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'self'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The one that is served at `/`.
const INDEX: &str = "index.html";

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    /// Of the content, so that a browser asks for it again only after an upgrade.
    tag: String,
}

macro_rules! assets {
    ($($name:literal: $kind:expr),+ $(,)?) => {
        vec![$(Asset::new($name, $kind, include_str!(concat!("site/", $name)))),+]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    assets! {
        "index.html": HTML,
        "preview.html": HTML,
        "page.css": CSS,
        "preview.css": CSS,
        "icon.svg": SVG,
        "api.js": SCRIPT,
        "chart.js": SCRIPT,
        "completions.js": SCRIPT,
        "deadletters.js": SCRIPT,
        "dialogs.js": SCRIPT,
        "dispatch.js": SCRIPT,
        "dispatches.js": SCRIPT,
        "dom.js": SCRIPT,
        "format.js": SCRIPT,
        "live.js": SCRIPT,
        "main.js": SCRIPT,
        "notification.js": SCRIPT,
        "notifications.js": SCRIPT,
        "overview.js": SCRIPT,
        "parts.js": SCRIPT,
        "preview.js": SCRIPT,
        "progress.js": SCRIPT,
        "relays.js": SCRIPT,
        "retry.js": SCRIPT,
        "templates.js": SCRIPT,
        "tenant.js": SCRIPT,
        "tenants.js": SCRIPT,
        "theme.js": SCRIPT,
    }
});

impl Asset {
    fn new(name: &'static str, kind: &'static str, content: &'static str) -> Self {
        let digest = hex::encode(Sha256::digest(content));
        let tag = format!("\"{}\"", &digest[..32]);
        Self {
            name,
            kind,
            content,
            tag,
        }
    }

    fn policy(&self) -> &'static str {
        if self.name == "preview.html" {
            PREVIEW_POLICY
        } else {
            POLICY
        }
    }
}

/// `GET /` and `GET /assets/{name}`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| answer(INDEX, &headers)))
        .route(
            "/assets/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| answer(&name, &headers)),
        )
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return Problem::not_found("there is nothing at this address").into_response();
    };
    // Always asked for, so that an upgraded worker never meets scripts of an earlier one; rarely sent again.
    let common = [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, asset.policy()),
        (ETAG, asset.tag.as_str()),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    if is_known(headers, &asset.tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, asset.kind)], asset.content).into_response()
}

/// Whether the browser has it (RFC 9110 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter();
    lists.filter_map(|list| list.to_str().ok()).any(|list| {
        let mut tags = list.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/site");
        let there: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn nothing_makes_markup_of_texts_or_names_another_host() {
        for asset in ASSETS.iter() {
            for wrong in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=\"",
                "//cdn",
            ] {
                assert!(!asset.content.contains(wrong), "{}: {wrong}", asset.name);
            }
            let lines = asset.content.lines().count();
            assert!(
                asset.name == "page.css" || lines < 300,
                "{}: {lines} lines",
                asset.name
            );
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        let first = answer(INDEX, &headers);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CONTENT_TYPE], HTML);
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(answer(INDEX, &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("main.js", &headers).status(), StatusCode::OK);
        assert_eq!(answer("../site.rs", &headers).status(), StatusCode::NOT_FOUND);
    }
}
