//! Reads a folder of templates: plain files of known names and bounded size, nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::TemplateProblem;
use super::folder::{Folder, MAX_ENTRIES};

/// Largest template file, in bytes.
const MAX_FILE: u64 = 256 * 1024;
/// `elif` words in a file. The engine bounds every nesting but this one, which it descends into once for
/// each: some thousands overflow its stack.
const MAX_ELIF: usize = 100;
/// An override: file name and content.
pub(super) type Override = (&'static str, String);

/// All overrides in `folder`, and what is wrong there. Names that begin with a dot are passed over: editors
/// and mounted volumes leave such things behind. Symbolic links are followed as far as the folder allows.
pub(super) fn read(folder: &Folder, known: &[&'static str]) -> (Vec<Override>, Vec<TemplateProblem>) {
    let mut problems = Vec::new();
    let mut overrides = Vec::new();
    let mut names = Vec::new();
    match list(folder) {
        Ok(found) => names.extend(found),
        Err(reason) => problems.push(TemplateProblem {
            file: folder.path.display().to_string(),
            reason,
        }),
    }
    names.sort();
    for name in names {
        let shown = name.to_string_lossy();
        if shown.starts_with('.') {
            continue;
        }
        let content = match known.iter().find(|k| **k == shown) {
            Some(&k) => read_file(folder, &folder.path.join(&name)).map(|content| (k, content)),
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

/// The names in the folder.
fn list(folder: &Folder) -> Result<Vec<std::ffi::OsString>, String> {
    // What TEMPLATES_DIR is was chosen by whoever runs Herald.
    let prefix = if folder.within.is_some() {
        ""
    } else {
        "TEMPLATES_DIR "
    };
    let cannot = |e: io::Error| format!("{prefix}cannot be read: {e}");
    if folder.within.is_some() {
        folder.real(&folder.path)?;
    }
    let entries = fs::read_dir(&folder.path).map_err(cannot)?;
    let names: Vec<_> = entries
        .take(MAX_ENTRIES + 1)
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<Result<_, _>>()
        .map_err(cannot)?;
    if names.len() > MAX_ENTRIES {
        return Err(format!("has more than {MAX_ENTRIES} entries"));
    }
    Ok(names)
}

/// The content with plain line ends. Looks before it opens, and at what was opened: in between it may have
/// become something else.
fn read_file(folder: &Folder, path: &Path) -> Result<String, String> {
    let cannot = |e: io::Error| format!("cannot be read: {e}");
    let real = folder.real(path)?;
    let seen = fs::metadata(&real).map_err(cannot)?;
    if !seen.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let file: File = OpenOptions::new()
        .read(true)
        // Does not wait, not even for the writer of a pipe.
        .custom_flags(libc::O_NONBLOCK)
        .open(&real)
        .map_err(cannot)?;
    let opened = file.metadata().map_err(cannot)?;
    if (opened.dev(), opened.ino(), opened.is_file()) != (seen.dev(), seen.ino(), true) {
        return Err("was replaced while it was read".to_owned());
    }
    let mut bytes = Vec::new();
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
