//! The set of templates: built in, overridden file by file, and checked before any use.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use tera::{Context, ErrorKind, Kwargs, State, Tera, TeraResult};

use crate::message::EventKind;

use super::composer::Composer;
use super::context::kind_name;
use super::error::{RenderError, TemplateError, TemplateProblem};
use super::facts::{EventFacts, Sample};
use super::{Rendered, overrides};

/// Largest result of one template, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;
/// What is reserved for a result, in bytes: a usual one fits without growing.
const USUAL_OUTPUT: usize = 8 * 1024;

const KINDS: [EventKind; 3] = [EventKind::Created, EventKind::Updated, EventKind::Cancelled];

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// File name and content of every template.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../templates/", $name)))),+];
        const FILES: &[&str] = &[$($name),+];
    };
}

built_in!(
    "layout.html",
    "layout.txt",
    "created.subject.txt",
    "created.html",
    "created.txt",
    "updated.subject.txt",
    "updated.html",
    "updated.txt",
    "cancelled.subject.txt",
    "cancelled.html",
    "cancelled.txt",
);

/// A compiled set of templates, each of which renders with all that may be known of an event and with
/// nothing known. Templates see their variables and nothing of the environment; in `.html` every value is
/// escaped, and no filter can turn that off.
#[derive(Clone)]
pub struct Templates {
    engine: Tera,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("files", &FILES).finish()
    }
}

/// The file names that a kind's e-mail is made of.
pub(super) struct Files {
    pub(super) subject: &'static str,
    pub(super) html: &'static str,
    pub(super) text: &'static str,
}

impl Files {
    pub(super) const fn of(kind: EventKind) -> Self {
        let (subject, html, text) = match kind {
            EventKind::Created => ("created.subject.txt", "created.html", "created.txt"),
            EventKind::Updated => ("updated.subject.txt", "updated.html", "updated.txt"),
            EventKind::Cancelled => ("cancelled.subject.txt", "cancelled.html", "cancelled.txt"),
        };
        Self { subject, html, text }
    }
}

impl Templates {
    /// Compiles the built-in templates, each replaced by the file of its name in `overrides` (the
    /// directory `TEMPLATES_DIR`) where there is one, and renders all with samples.
    pub fn load(overrides: Option<&Path>) -> Result<Self, TemplateError> {
        let (files, mut problems) =
            overrides.map_or_else(Default::default, |dir| overrides::read(dir, FILES));
        let mut engine = engine();
        problems.extend(
            files
                .iter()
                .filter_map(|(name, content)| syntax_problem(&engine, name, content)),
        );
        if problems.is_empty() {
            let all = BUILT_IN.iter().map(|&(name, built_in)| {
                let replaced = files.iter().find(|(n, _)| *n == name);
                (name, replaced.map_or(built_in, |(_, content)| content))
            });
            let where_else = overrides.map_or_else(|| "templates".to_owned(), |d| d.display().to_string());
            if let Err(e) = engine.add_raw_templates(all) {
                problems = TemplateProblem::all_from_engine(&where_else, &e);
            }
        }
        if problems.is_empty() {
            let templates = Arc::new(Self { engine });
            problems = templates.check();
            if problems.is_empty() {
                return Ok(Arc::unwrap_or_clone(templates));
            }
        }
        Err(TemplateError { problems })
    }

    /// What [`Templates::preview`] takes.
    pub fn names() -> [&'static str; 3] {
        KINDS.map(kind_name)
    }

    /// The files that `TEMPLATES_DIR` may hold.
    pub fn files() -> &'static [&'static str] {
        FILES
    }

    /// The e-mail `name` made of sample facts.
    pub fn preview(self: &Arc<Self>, name: &str) -> Result<Rendered, RenderError> {
        let kind = KINDS.into_iter().find(|&kind| kind_name(kind) == name);
        let kind = kind.ok_or_else(|| RenderError::UnknownTemplate {
            name: name.to_owned(),
            known: Self::names().join(", "),
        })?;
        let sample = Sample::new();
        let facts = EventFacts::sample(kind);
        let composer = Composer::new(Arc::clone(self), &facts, &sample.sender, DateTime::UNIX_EPOCH)?;
        composer.compose(&sample.recipient())
    }

    /// Renders `file`; what would exceed the limit is never held in memory.
    pub(super) fn render(&self, file: &'static str, context: &Context) -> Result<String, RenderError> {
        let mut out = Bounded {
            bytes: Vec::with_capacity(USUAL_OUTPUT),
            exceeded: false,
        };
        let result = self.engine.render_to(file, context, &mut out);
        if out.exceeded {
            return Err(RenderError::TooLarge {
                file: file.to_owned(),
                limit: MAX_OUTPUT,
            });
        }
        result.map_err(|e| RenderError::from_engine(file, &e))?;
        let text = String::from_utf8(out.bytes).map_err(|_| RenderError::Template {
            file: file.to_owned(),
            reason: "the result is not UTF-8".to_owned(),
        })?;
        if text.trim().is_empty() {
            return Err(RenderError::Empty {
                file: file.to_owned(),
            });
        }
        Ok(text)
    }

    /// Every kind with everything and with nothing known of event, sender and recipient.
    fn check(self: &Arc<Self>) -> Vec<TemplateProblem> {
        let mut problems = Vec::new();
        let mut note = |error: RenderError| {
            let problem = error.into_problem();
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        for kind in KINDS {
            for (facts, people) in [
                (EventFacts::sample(kind), Sample::new()),
                (EventFacts::bare(kind), Sample::nameless()),
            ] {
                match Composer::new(Arc::clone(self), &facts, &people.sender, DateTime::UNIX_EPOCH) {
                    Ok(composer) => composer
                        .errors(&people.recipient())
                        .into_iter()
                        .for_each(&mut note),
                    Err(e) => note(e),
                }
            }
        }
        problems
    }
}

/// An engine without templates. The built-in functions are `range` and `throw`, neither of which reaches
/// outside; of the filters, `safe` is made a plain copy and `replace` loses its way to make text safe.
fn engine() -> Tera {
    let mut engine = Tera::new();
    engine.autoescape_on([".html"]);
    engine.register_filter("safe", |text: &str, _: Kwargs, _: &State| text.to_owned());
    engine.register_filter(
        "replace",
        |text: &str, kwargs: Kwargs, _: &State| -> TeraResult<String> {
            Ok(text.replace(kwargs.must_get::<&str>("from")?, kwargs.must_get::<&str>("to")?))
        },
    );
    engine
}

/// Whether a file by itself can be read as a template; what it refers to is looked at later.
fn syntax_problem(engine: &Tera, name: &str, content: &str) -> Option<TemplateProblem> {
    let error = engine.clone().add_raw_template(name, content).err()?;
    matches!(error.kind(), ErrorKind::SyntaxError(_)).then(|| TemplateProblem::from_engine(name, &error))
}

/// A buffer that refuses to grow beyond [`MAX_OUTPUT`].
struct Bounded {
    bytes: Vec<u8>,
    exceeded: bool,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > MAX_OUTPUT {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
