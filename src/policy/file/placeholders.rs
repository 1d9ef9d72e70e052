//! `${NAME}` in the strings of a file.

use crate::config::Environment;

/// Herald's own: who may write a tenant's file must not be able to send them anywhere.
const OWN: &[&str] = &["LAVINMQ_URL", "LAVINMQ_PASSWORD", "DATABASE_URL", "API_TOKEN"];

/// What begins a placeholder.
pub(super) const OPEN: &str = "${";

/// `text` with each `${NAME}` replaced by the variable's value, which is not looked into again; or why not,
/// which shows no value.
pub(super) fn fill(text: &str, environment: &Environment) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, behind) = after
            .split_once('}')
            .filter(|(name, _)| is_name(name))
            .ok_or("takes the name of a variable and } behind ${, as in ${ACME_PASSWORD}")?;
        if OWN.contains(&name) {
            return Err(format!("takes no ${{{name}}}: that is Herald's own"));
        }
        let value = environment.get(name).filter(|value| !value.is_empty());
        filled.push_str(before);
        filled.push_str(&value.ok_or_else(|| format!("the variable {name} is not set"))?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::collections::HashMap;

    fn environment() -> Environment {
        let pairs = [
            ("A", "1"),
            ("B_2", "${A}"),
            ("EMPTY", ""),
            ("API_TOKEN", "s3cr3t"),
        ];
        let map: HashMap<_, _> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        map.into()
    }

    #[rstest]
    #[case("plain $A {A} $", "plain $A {A} $")]
    #[case("${A}", "1")]
    #[case("<${A}-${A}>", "<1-1>")]
    #[case("${B_2}", "${A}")]
    fn filled(#[case] text: &str, #[case] value: &str) {
        assert_eq!(fill(text, &environment()).as_deref(), Ok(value));
    }

    #[rstest]
    #[case("${C}", "the variable C is not set")]
    #[case("${EMPTY}", "the variable EMPTY is not set")]
    #[case("${API_TOKEN}", "takes no ${API_TOKEN}: that is Herald's own")]
    #[case("${LAVINMQ_URL}", "that is Herald's own")]
    #[case("${LAVINMQ_PASSWORD}", "that is Herald's own")]
    #[case("x${DATABASE_URL}", "that is Herald's own")]
    #[case("${A", "takes the name of a variable")]
    #[case("${}", "takes the name of a variable")]
    #[case("${1A}", "takes the name of a variable")]
    #[case("${A B}", "takes the name of a variable")]
    #[case("${A\n}", "takes the name of a variable")]
    fn refused(#[case] text: &str, #[case] why: &str) {
        let error = fill(text, &environment()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "[${}A_ü]{0,20}|.{0,40}") {
            let _ = fill(&text, &environment());
        }
    }
}
