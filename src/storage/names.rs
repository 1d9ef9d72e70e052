//! Names of resources: a URL's last part, made harmless for file systems and S3. Plain names stay as they are.

use sha2::{Digest, Sha256};

/// Longest name, in bytes; `.meta` has to fit behind it.
const MAX: usize = 150;

/// Longest ending that is kept when a name is cut, in bytes.
const MAX_ENDING: usize = 16;

/// What Windows keeps for itself.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// What stands for the resource at `url`. Different URLs may have the same name: see [`distinct`].
pub(super) fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    // What an archive had inside stands behind the number sign.
    let path = url.split_once('#').map_or(path, |(_, entry)| entry);
    let last = path.rsplit('/').next().unwrap_or_default();
    let clean: String = last
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if clean == last && is_harmless(&clean) {
        return clean;
    }
    let start = clean.trim_matches('.');
    distinct(if start.is_empty() { "resource" } else { start }, url)
}

/// `name` with a hash of `url` before its ending.
pub(super) fn distinct(name: &str, url: &str) -> String {
    let hash = hex::encode(&Sha256::digest(url.as_bytes())[..6]);
    let dot = name
        .rfind('.')
        .filter(|&at| at > 0 && name.len() - at <= MAX_ENDING);
    let (stem, ending) = name.split_at(dot.unwrap_or(name.len()));
    // All of it is ASCII, so that it can be cut anywhere.
    let stem = &stem[..stem.len().min(MAX - ending.len() - hash.len() - 1)];
    let ending = if ending == ".meta" { ".meta_" } else { ending };
    format!("{stem}-{hash}{ending}")
}

fn is_harmless(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let device =
        DEVICES.contains(&stem) || (stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")));
    let ours =
        matches!(lower.as_str(), "bundle.json" | "resources.zip") || lower.strip_suffix(".meta").is_some();
    !name.is_empty()
        && name.len() <= MAX
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !device
        && !ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://a/b/agenda.pdf", "agenda.pdf")]
    #[case("https://a/b/agenda.pdf?x=/y#z", "z")]
    #[case("herald://dispatches/1/emails-1-1.mbox.gz", "emails-1-1.mbox.gz")]
    #[case("https://a/x.zip#dir/inner.txt", "inner.txt")]
    fn plain_names_stay(#[case] url: &str, #[case] name: &str) {
        assert_eq!(name_of(url), name);
    }

    #[rstest]
    #[case("https://a/")]
    #[case("https://a/..")]
    #[case("https://a/.hidden")]
    #[case("https://a/CON.txt")]
    #[case("https://a/bundle.json")]
    #[case("https://a/Resources.ZIP")]
    #[case("https://a/x.meta")]
    #[case("https://a/x%00y\u{0}")]
    #[case("https://a/ü.txt")]
    fn others_are_made_harmless(#[case] url: &str) {
        let name = name_of(url);
        assert!(is_harmless(&name), "{name}");
    }

    proptest! {
        #[test]
        fn whatever_comes(url in ".{0,400}") {
            let name = name_of(&url);
            prop_assert!(is_harmless(&name), "{}", name);
            prop_assert!(!name.contains(['/', '\\', ':']));
            prop_assert!(is_harmless(&distinct(&name, &url)));
        }
    }
}
