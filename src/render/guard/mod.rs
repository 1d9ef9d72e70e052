//! Bounds what a template from outside can cost. The engine bounds neither how long a template works nor
//! how large a value grows: thirty lines that double a text would take gigabytes. So each such file is
//! changed before it is compiled, without moving any line:
//!
//! - every loop, block and file first pays, out of the [budget](budget) of its render, for each byte of
//!   source that is about to be carried out: work is bounded, whatever is nested in or called from what;
//! - every `set` checks what it is about to keep: no variable holds more than 256 KiB, so a step begins with
//!   values of bounded size, and what one expression can make of them is bounded by its length;
//! - what would escape both is refused, with its line: text captured in a variable, lists made by loops
//!   within expressions, components.

pub(super) mod budget;
mod tags;

use std::ops::Range;

use tags::Tag;

/// What an operator that makes a new text costs, beside its source.
const OPERATOR: usize = 1000;
/// Operators and filters in one tag: each may make another text of what the one before it made.
const MAX_OPERATORS: usize = 20;

/// `source` with its payments and checks, or what is refused about it.
pub(super) fn guarded(source: &str) -> Result<String, String> {
    let tags = tags::read(source)?;
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut open: Vec<(&Tag<'_>, usize)> = Vec::new();
    let mut operators = 0;
    for tag in &tags {
        if let Some(reason) = refusal(tag) {
            return Err(format!("line {}: {reason}", tags::line(source, tag.outer.start)));
        }
        operators += tag.operators;
        match tag.word {
            "for" | "block" => open.push((tag, operators)),
            "endfor" | "endblock" => {
                if let Some((opened, before)) = open.pop() {
                    let bytes = tag.outer.start - opened.outer.end;
                    let cost = bytes + OPERATOR * (operators - before);
                    edits.push(payment(opened, cost));
                }
            }
            "set" | "set_global" => edits.extend(check(tag)),
            _ => {}
        }
    }
    if !tags.iter().any(|tag| tag.word == "extends") {
        let cost = source.len() + OPERATOR * operators;
        edits.push((0..0, format!("{{{{ {}(cost={cost}) }}}}", budget::PAY)));
    }
    edits.sort_by_key(|(range, _)| range.start);
    Ok(apply(source, &edits))
}

/// Why a tag cannot be bounded.
fn refusal(tag: &Tag<'_>) -> Option<&'static str> {
    match tag.word {
        "set" | "set_global" if tag.assigned.is_none() => {
            Some("set without = is not available: it would capture text")
        }
        "filter" => Some("filter sections are not available: apply the filter to values"),
        "component" => Some("components are not available: use include or extends"),
        _ if tag.loops => Some("for within an expression is not available: use a for tag"),
        _ if tag.spreads => Some("... within an expression is not available"),
        _ if tag.operators > MAX_OPERATORS => Some("has more than 20 of ~ and | in one tag"),
        _ => None,
    }
}

/// Pays right behind `tag`, where its trimming of what follows goes along.
fn payment(tag: &Tag<'_>, cost: usize) -> (Range<usize>, String) {
    let dash = if tag.trims { "-" } else { "" };
    (
        tag.inner.end..tag.outer.end,
        format!("%}}{{{{ {}(cost={cost}) {dash}}}}}", budget::PAY),
    )
}

/// Passes what is assigned through the filter that looks at its size.
fn check(tag: &Tag<'_>) -> [(Range<usize>, String); 2] {
    let begin = tag.assigned.unwrap_or(tag.inner.end);
    [
        (begin..begin, " (".to_owned()),
        (tag.inner.end..tag.inner.end, format!(") | {} ", budget::KEPT)),
    ]
}

fn apply(source: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(source.len() + 40 * edits.len());
    let mut at = 0;
    for (range, text) in edits {
        out.push_str(&source[at..range.start]);
        out.push_str(text);
        at = range.end;
    }
    out.push_str(&source[at..]);
    out
}
