//! Text from outside as Slack takes it: only `&`, `<` and `>` mean something, and those are escaped.

/// Said where something is missing.
const CUT: &str = "… (cut)";
/// Begins and ends a code block.
const FENCE: &str = "```";

/// `text` escaped, at most `max` characters long as Slack may count them: in UTF-16.
pub(super) fn escaped(text: &str, max: usize) -> String {
    let whole: usize = text.chars().map(length).sum();
    let room = if whole > max {
        max - CUT.chars().count()
    } else {
        max
    };
    let mut out = String::with_capacity(text.len().min(4 * max));
    let mut used = 0;
    for c in text.chars() {
        used += length(c);
        if used > room {
            out.push_str(CUT);
            break;
        }
        match entity(c) {
            Some(entity) => out.push_str(entity),
            None => out.push(c),
        }
    }
    out
}

/// The same as a code block. Backticks become apostrophes, so that none of them ends it.
pub(super) fn code(text: &str, max: usize) -> String {
    let inside = escaped(&text.replace('`', "'"), max - 2 * FENCE.len());
    format!("{FENCE}{inside}{FENCE}")
}

const fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

fn length(c: char) -> usize {
    entity(c).map_or(c.len_utf16(), str::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", 150, "plain")]
    #[case(
        "<!channel> & <https://evil.example|here>",
        150,
        "&lt;!channel&gt; &amp; &lt;https://evil.example|here&gt;"
    )]
    #[case("0123456789", 10, "0123456789")]
    #[case("0123456789x", 10, "012… (cut)")]
    #[case("<<<<", 16, "&lt;&lt;&lt;&lt;")]
    #[case("<<<<", 15, "&lt;&lt;… (cut)")]
    #[case("🚨🚨🚨🚨🚨🚨", 11, "🚨🚨… (cut)")]
    fn texts(#[case] text: &str, #[case] max: usize, #[case] shown: &str) {
        assert_eq!(escaped(text, max), shown);
    }

    #[test]
    fn code_ends_only_where_it_should() {
        assert_eq!(code("a ``` <b> `", 50), "```a ''' &lt;b&gt; '```");
        assert_eq!(code(&"x".repeat(99), 20), "```xxxxxxx… (cut)```");
    }
}
