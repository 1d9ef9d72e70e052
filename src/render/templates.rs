//! The set of templates: built in, overridden file by file, and checked before any use.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tera::{Context, ErrorKind, Kwargs, State, Tera};

use crate::message::MessageKind;

use super::Rendered;
use super::composer::Composer;
use super::error::{RenderError, TemplateError, TemplateProblem};
use super::facts::Facts;
use super::folder::Folder;
use super::guard::{budget, guarded};
use super::names::{self, BUILT_IN, FILES};
use super::overrides::{self, Override};
use super::samples::Sample;

/// Largest result of one template, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;
/// What is reserved for a result, in bytes: a usual one fits without growing.
const USUAL_OUTPUT: usize = 8 * 1024;
/// How many equal messages were held back before a sample.
const SAMPLE_HELD_BACK: u64 = 19;
/// When samples were accepted.
const SAMPLE_TIME: DateTime<Utc> = DateTime::from_timestamp_nanos(1_795_167_000_000_000_000);

/// A compiled set of templates, each of which renders with all that may be known of a message and with
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

impl Templates {
    /// Compiles the built-in templates, each replaced by the file of its name in `overrides` (the
    /// directory `TEMPLATES_DIR`) where there is one, and renders all with samples.
    pub fn load(overrides: Option<&Path>) -> Result<Self, TemplateError> {
        let Some(path) = overrides else {
            return Self::compile(&[], Vec::new(), "templates");
        };
        let folder = Folder {
            path: path.to_owned(),
            within: None,
        };
        let (files, problems) = overrides::read(&folder, FILES);
        Self::compile(&files, problems, &path.display().to_string())
    }

    /// The same of files that were read in `place`, with what was wrong there.
    pub(super) fn compile(
        files: &[Override],
        mut problems: Vec<TemplateProblem>,
        place: &str,
    ) -> Result<Self, TemplateError> {
        let mut engine = engine();
        let mut replaced = HashMap::new();
        for (name, content) in files {
            match accepted(&engine, name, content) {
                Ok(guarded) => drop(replaced.insert(*name, guarded)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            let all = BUILT_IN.iter();
            let all = all.map(|&(name, own)| (name, replaced.get(name).map_or(own, String::as_str)));
            if let Err(e) = engine.add_raw_templates(all) {
                problems = TemplateProblem::all_from_engine(place, &e);
            }
        }
        if problems.is_empty() {
            let templates = Arc::new(Self { engine });
            problems = templates.check();
            if problems.is_empty() {
                return Ok(Arc::unwrap_or_clone(templates));
            }
        }
        Err(TemplateError {
            tenant: None,
            problems,
        })
    }

    /// What [`Templates::preview`] takes: the kinds of messages as files are named after them, and the types
    /// of pipelines' messages. A message's `type` is taken as well, such as `CREATED` or `order.created`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MessageKind::all().map(names::name)
    }

    /// The files that `TEMPLATES_DIR` may hold.
    pub fn files() -> &'static [&'static str] {
        FILES
    }

    /// The e-mail `name` made of sample facts.
    pub fn preview(self: &Arc<Self>, name: &str) -> Result<Rendered, RenderError> {
        let kind = names::kind(name).ok_or_else(|| RenderError::UnknownTemplate {
            name: name.to_owned(),
            known: Self::names().collect::<Vec<_>>().join(", "),
        })?;
        let sample = Sample::new();
        let composer = Composer::new(
            Arc::clone(self),
            &Facts::sample(kind),
            &sample.sender,
            SAMPLE_TIME,
        )?;
        composer.held_back(SAMPLE_HELD_BACK).compose(&sample.recipient())
    }

    /// Renders `file`; what would exceed the limit is never held in memory.
    pub(super) fn render(&self, file: &'static str, context: &Context) -> Result<String, RenderError> {
        let mut out = Bounded {
            bytes: Vec::with_capacity(USUAL_OUTPUT),
            exceeded: false,
        };
        budget::begin();
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

    /// Every kind with everything and with nothing known of facts, sender and recipient.
    fn check(self: &Arc<Self>) -> Vec<TemplateProblem> {
        let mut problems = Vec::new();
        for kind in MessageKind::all() {
            for (facts, people, held_back) in [
                (Facts::sample(kind), Sample::new(), SAMPLE_HELD_BACK),
                (Facts::bare(kind), Sample::nameless(), 0),
            ] {
                let composer = Composer::new(Arc::clone(self), &facts, &people.sender, SAMPLE_TIME);
                let errors = composer.map_or_else(
                    |error| vec![error],
                    |composer| composer.held_back(held_back).errors(&people.recipient()),
                );
                for problem in errors.into_iter().map(RenderError::into_problem) {
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
        problems
    }
}

/// An engine without templates. The built-in functions are `range` and `throw`, neither of which reaches
/// outside; of the filters, `safe` is made a plain copy.
fn engine() -> Tera {
    let mut engine = Tera::new();
    engine.autoescape_on([".html"]);
    engine.register_filter("safe", |text: &str, _: Kwargs, _: &State| text.to_owned());
    budget::register(&mut engine);
    engine
}

/// A file's source as it is compiled, if it can by itself be read as a template; what it refers to is looked
/// at later.
fn accepted(engine: &Tera, name: &str, content: &str) -> Result<String, TemplateProblem> {
    if let Err(error) = engine.clone().add_raw_template(name, content)
        && matches!(error.kind(), ErrorKind::SyntaxError(_))
    {
        return Err(TemplateProblem::from_engine(name, &error));
    }
    guarded(content).map_err(|reason| TemplateProblem {
        file: name.to_owned(),
        reason,
    })
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
