//! Reads `TEMPLATES_DIR`: plain files of known names and bounded size, nothing else.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::error::TemplateProblem;

/// Largest template file, in bytes.
const MAX_FILE: u64 = 256 * 1024;
/// `elif` words in a file. The engine bounds every nesting but this one, which it descends into once for
/// each: some thousands overflow its stack.
const MAX_ELIF: usize = 100;

/// An override: file name and content.
pub(super) type Override = (&'static str, String);

/// All overrides in `dir`, and what is wrong there. Names that begin with a dot are passed over: editors
/// and mounted volumes leave such things behind. Symbolic links are followed.
pub(super) fn read(dir: &Path, known: &[&'static str]) -> (Vec<Override>, Vec<TemplateProblem>) {
    let mut problems = Vec::new();
    let mut overrides = Vec::new();
    let mut names = Vec::new();
    match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => names.extend(entries.iter().map(fs::DirEntry::file_name)),
        Err(e) => problems.push(TemplateProblem {
            file: dir.display().to_string(),
            reason: format!("TEMPLATES_DIR cannot be read: {e}"),
        }),
    }
    names.sort();
    for name in names {
        let shown = name.to_string_lossy();
        if shown.starts_with('.') {
            continue;
        }
        let content = match known.iter().find(|k| **k == shown) {
            Some(&k) => read_file(&dir.join(&name)).map(|content| (k, content)),
            None => Err(format!("is no template; there are {}", known.join(", "))),
        };
        match content {
            Ok(found) => overrides.push(found),
            Err(reason) => problems.push(TemplateProblem {
                file: shown.escape_debug().to_string(),
                reason,
            }),
        }
    }
    (overrides, problems)
}

/// The content with plain line ends. Looks before it opens: opening a pipe would wait for its writer.
fn read_file(path: &Path) -> Result<String, String> {
    let cannot = |e: std::io::Error| format!("cannot be read: {e}");
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {MAX_FILE} bytes"));
    }
    let content = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    if content.matches("elif").count() > MAX_ELIF {
        return Err(format!("has more than {MAX_ELIF} elif"));
    }
    Ok(content.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}
