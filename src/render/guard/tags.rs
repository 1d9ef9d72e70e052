//! Reads the tags of a template as the engine does, as far as [`super::guarded`] has to know them. Sources
//! are read only after the engine found no fault with them.

use std::ops::Range;

/// What stands between two markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{{ … }}`
    Print,
    /// `{% … %}`
    Statement,
}

/// A tag and what is in it.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// With its markers.
    pub(super) outer: Range<usize>,
    /// Without them.
    pub(super) inner: Range<usize>,
    /// Whether it drops white space behind it.
    pub(super) trims: bool,
    /// A statement's first word; empty for others.
    pub(super) word: &'a str,
    /// Where the value of `name = value` begins.
    pub(super) assigned: Option<usize>,
    /// How many `~` and `|` there are.
    pub(super) operators: usize,
    /// Whether `for` is in an expression.
    pub(super) loops: bool,
    /// Whether `...` is in an expression.
    pub(super) spreads: bool,
}

/// All tags, in order.
pub(super) fn read(source: &str) -> Result<Vec<Tag<'_>>, String> {
    let bytes = source.as_bytes();
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(start) = find(source, at, &["{{", "{%", "{#"]) {
        let content = start + 2 + usize::from(bytes.get(start + 2) == Some(&b'-'));
        at = match bytes[start + 1] {
            b'#' => find(source, content, &["#}"]).map(|end| end + 2),
            b'%' if is_word_tag(source, content, "raw").is_some() => end_of_raw(source, content),
            b'%' => statement(source, start, content, &mut tags),
            _ => tag(source, start, content, Kind::Print).map(|tag| {
                let end = tag.outer.end;
                tags.push(tag);
                end
            }),
        }
        .ok_or_else(|| format!("line {}: a tag has no end", line(source, start)))?;
    }
    Ok(tags)
}

/// The line at which a byte stands.
pub(super) fn line(source: &str, at: usize) -> usize {
    1 + source[..at].matches('\n').count()
}

fn statement<'a>(source: &'a str, start: usize, content: usize, tags: &mut Vec<Tag<'a>>) -> Option<usize> {
    let tag = tag(source, start, content, Kind::Statement)?;
    let end = tag.outer.end;
    tags.push(tag);
    Some(end)
}

/// Where one of `markers` comes first, at `from` or later.
fn find(source: &str, from: usize, markers: &[&str]) -> Option<usize> {
    let hits = markers
        .iter()
        .filter_map(|marker| source.get(from..)?.find(marker));
    hits.min().map(|at| from + at)
}

/// The end of `{% word %}`, whose marker ends at `content`, if that is what stands there.
fn is_word_tag(source: &str, content: usize, word: &str) -> Option<usize> {
    let space = |c: char| c.is_ascii_whitespace();
    let rest = source.get(content..)?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(space);
    let rest = rest.strip_prefix(word)?.trim_start_matches(space);
    let rest = rest.strip_prefix('-').unwrap_or(rest).strip_prefix("%}")?;
    Some(source.len() - rest.len())
}

fn end_of_raw(source: &str, content: usize) -> Option<usize> {
    let mut at = content;
    loop {
        at = find(source, at, &["{%"])? + 2;
        if let Some(end) = is_word_tag(source, at, "endraw") {
            return Some(end);
        }
    }
}

/// Reads on to the end of a tag; texts in it are passed over.
fn tag(source: &str, start: usize, content: usize, kind: Kind) -> Option<Tag<'_>> {
    let bytes = source.as_bytes();
    let (end, trimming) = match kind {
        Kind::Print => ("}}", "-}}"),
        Kind::Statement => ("%}", "-%}"),
    };
    let mut tag = Tag {
        outer: start..start,
        inner: content..content,
        trims: false,
        word: "",
        assigned: None,
        operators: 0,
        loops: false,
        spreads: false,
    };
    let mut words = 0;
    let mut at = content;
    loop {
        let rest = &source[at..];
        tag.trims = rest.starts_with(trimming);
        if tag.trims || rest.starts_with(end) {
            tag.inner.end = at;
            tag.outer.end = at + if tag.trims { trimming.len() } else { end.len() };
            return Some(tag);
        }
        match *bytes.get(at)? {
            quote @ (b'"' | b'\'' | b'`') => at = end_of_text(bytes, at, quote)?,
            c if c == b'_' || c.is_ascii_alphabetic() => {
                let part = |c: &u8| *c == b'_' || c.is_ascii_alphanumeric();
                let length = bytes[at..].iter().take_while(|c| part(c)).count();
                let word = &source[at..at + length];
                words += 1;
                if kind == Kind::Statement && words == 1 {
                    tag.word = word;
                } else if word == "for" {
                    tag.loops = true;
                }
                at += length;
            }
            c => {
                let double = rest.starts_with("==")
                    || [b"!=", b"<=", b">="]
                        .iter()
                        .any(|op| rest.as_bytes().starts_with(*op));
                match c {
                    b'~' | b'|' => tag.operators += 1,
                    b'=' if !double && words == 2 && tag.assigned.is_none() && tag.operators == 0 => {
                        tag.assigned = Some(at + 1);
                    }
                    b'.' if rest.starts_with("...") => tag.spreads = true,
                    _ => {}
                }
                at += if double {
                    2
                } else {
                    rest.chars().next().map_or(1, char::len_utf8)
                };
            }
        }
    }
}

/// Behind the text whose opening quote stands at `at`.
fn end_of_text(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let mut escaped = false;
    let inside = bytes[at + 1..].iter().take_while(|&&c| {
        let goes_on = escaped || c != quote;
        escaped = !escaped && c == b'\\';
        goes_on
    });
    let end = at + 1 + inside.count();
    (end < bytes.len()).then_some(end + 1)
}
