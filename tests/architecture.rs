//! Keeps the design's cut true: a module uses only what stands below it, files stay short, and `lib.rs`
//! lists the modules in the order of the flow.

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom. What stands on one line is of one rank: its modules do not use each other.
const RANKS: &[&[&str]] = &[
    &["main", "bin"],
    &["cli"],
    &["api"],
    &["worker"],
    &["processor"],
    &["completion"],
    &["archive"],
    &["storage", "attachment"],
    &["mailer"],
    &["slack"],
    &["render"],
    &["policy"],
    &["consumer"],
    &["message"],
    &["repository"],
    &["live"],
    &["metrics", "telemetry", "shutdown", "aws", "outside"],
    &["config"],
    &["domain"],
    &["failpoint"],
];

/// Lines of a file at most, its tests not counted.
const MAX_LINES: usize = 300;

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

/// The module that a file under `src` belongs to; `lib` for `lib.rs`.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().unwrap_or_default();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code without its comments and without what follows `#[cfg(test)]` on a `mod … {`.
fn code(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|w| w[0].trim() == "#[cfg(test)]" && w[1].contains("mod ") && w[1].ends_with('{'));
    let kept = &lines[..tests.unwrap_or(lines.len())];
    let code = kept
        .iter()
        .map(|line| line.split_once("//").map_or(*line, |(code, _)| code));
    code.flat_map(|line| [line, "\n"]).collect()
}

/// The first names after `root`, which is `crate::` or, in programs, `herald::`; also those in braces.
fn used_modules(code: &str, root: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(names_in_braces(list)),
            None => used.push(name(rest)),
        }
    }
    used
}

fn name(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The names at the first level of `a::{b, c}, d}`.
fn names_in_braces(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = vec![name(list)];
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&list[at + 1..])),
            _ => {}
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// What is wrong with one file.
fn problems(file: &Path, text: &str) -> Vec<String> {
    let shown = file.display();
    let module = module_of(file);
    let code = code(text);
    let mut problems = Vec::new();
    let is_test = file
        .with_extension("")
        .iter()
        .any(|part| part.to_string_lossy().ends_with("tests"));
    if !is_test && code.lines().count() > MAX_LINES {
        let lines = code.lines().count();
        problems.push(format!("{shown} has {lines} lines without its tests"));
    }
    if module == "lib" {
        return problems;
    }
    let Some(own) = rank(&module) else {
        problems.push(format!(
            "{shown}: the module {module} has no rank in tests/architecture.rs"
        ));
        return problems;
    };
    let root = if own == 0 { "herald::" } else { "crate::" };
    for used in used_modules(&code, root) {
        let below = used == module || rank(&used).is_some_and(|other| other > own);
        if !below && !is_test {
            problems.push(format!(
                "{shown}: {module} uses {used}, which does not stand below it"
            ));
        }
    }
    problems
}

/// The modules of `lib.rs`, as listed.
fn listed_modules(lib: &str) -> Vec<String> {
    let modules = lib
        .lines()
        .filter_map(|l| l.strip_prefix("pub mod ").or_else(|| l.strip_prefix("mod ")));
    modules.map(name).collect()
}

fn is_in_order(modules: &[String]) -> bool {
    let ranks: Vec<_> = modules.iter().map(|m| rank(m)).collect();
    ranks.iter().all(Option::is_some) && ranks.is_sorted()
}

fn source_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn modules_use_only_what_stands_below_them_and_stay_short() {
    let mut files = Vec::new();
    source_files(&src(), &mut files);
    assert!(files.len() > 10, "the sources were not found");
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        found.extend(problems(file.strip_prefix(src()).unwrap(), &text));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn lib_lists_the_modules_in_the_order_of_the_flow() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let modules = listed_modules(&lib);
    assert!(modules.len() > 4, "{modules:?}");
    assert!(is_in_order(&modules), "{modules:?} is not the order of {RANKS:?}");
}

#[test]
fn the_checks_can_fail() {
    let check = |file: &str, text: &str| problems(Path::new(file), text).len();
    assert_eq!(check("message/mod.rs", "use crate::domain::EventId;"), 0);
    assert_eq!(check("message/mod.rs", "use crate::message::Reason;"), 0);
    assert_eq!(check("message/mod.rs", "use crate::processor::Processor;"), 1);
    assert_eq!(
        check(
            "message/mod.rs",
            "use crate::{domain::{EventId, TenantId}, worker::Worker};"
        ),
        1
    );
    assert_eq!(
        check("domain/mod.rs", "fn f() { crate::config::Config::load(); }"),
        1
    );
    assert_eq!(check("config/mod.rs", "use crate::domain::Identity;"), 0);
    assert_eq!(check("shutdown.rs", "use crate::telemetry::init;"), 1);
    assert_eq!(check("bin/send.rs", "use herald::message::parse;"), 0);
    assert_eq!(check("worker.rs", "// see crate::api\nuse my_crate::api;"), 0);
    assert_eq!(
        check(
            "worker.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::api::X;\n}"
        ),
        0
    );
    assert_eq!(
        check("worker.rs", "#[cfg(test)]\nmod tests;\nuse crate::api::X;"),
        1
    );
    assert_eq!(check("helpers.rs", ""), 1);
    assert_eq!(check("worker.rs", &"\n".repeat(301)), 1);

    let listed = listed_modules("//! Doc\npub mod worker;\npub mod domain;\nmod config;\n");
    assert_eq!(listed, ["worker", "domain", "config"]);
    assert!(!is_in_order(&listed));
    assert!(is_in_order(&listed[..2]));
}
