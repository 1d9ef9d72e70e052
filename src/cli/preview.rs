//! `herald preview`.

use std::io::Write;
use std::sync::Arc;

use super::arguments::Format;
use super::{Failure, load_config};
use crate::mailer;
use crate::render::Templates;

pub(super) fn preview(template: &str, format: Format) -> Result<(), Failure> {
    let config = load_config()?;
    let templates = Templates::load(config.templates_dir.as_deref());
    let templates = Arc::new(templates.map_err(|e| Failure::Usage(e.to_string()))?);
    let rendered = templates
        .preview(template)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    let shown = match format {
        Format::Html => rendered.html.into_bytes(),
        Format::Text => format!("Subject: {}\n\n{}", rendered.subject, rendered.text).into_bytes(),
        Format::Eml => {
            let eml = mailer::preview(&rendered, super::CLOCK());
            eml.map_err(|e| Failure::Failed(e.to_string()))?
        }
    };
    // A reader that has seen enough (`| head`) is no failure.
    let _ = std::io::stdout().write_all(&shown);
    Ok(())
}
