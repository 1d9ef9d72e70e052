//! Named points at which a test makes the process end, to see that nothing is lost there. Only builds with
//! the feature `failpoints` have them, configured by the variable `FAILPOINTS` as the crate `fail` reads it:
//! `s5-before-commit=2*off->1*return` ends the process when it comes there for the third time. In all other
//! builds these calls are empty.

/// Keeps the points armed as long as it lives.
pub(crate) struct Armed {
    #[cfg(feature = "failpoints")]
    _scenario: fail::FailScenario<'static>,
}

/// Arms what `FAILPOINTS` names.
pub(crate) fn arm() -> Armed {
    Armed {
        #[cfg(feature = "failpoints")]
        _scenario: fail::FailScenario::setup(),
    }
}

/// The process has come to the point `name`: if that is armed, it goes no further.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(name: &str) {
    fail::fail_point!(name, |_| std::process::abort());
}

/// The same, but an armed point that names somebody (`compose=return(anna@example.com)`) is one for `whom`
/// alone.
#[cfg(feature = "failpoints")]
pub(crate) fn reached_for(name: &str, whom: &impl std::fmt::Display) {
    fail::fail_point!(name, |only: Option<String>| {
        if only.is_none_or(|only| only == whom.to_string()) {
            std::process::abort();
        }
    });
}

/// `NAME=return(WHOM)` panics here over `whom`.
#[cfg(feature = "failpoints")]
pub(crate) fn panic_for(name: &str, whom: &str) {
    fail::fail_point!(name, |only: Option<String>| {
        assert_ne!(only.as_deref(), Some(whom), "told to by a failpoint");
    });
}

/// Not in this build.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn reached(_: &str) {}

/// Not in this build.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn reached_for<T>(_: &str, _: &T) {}

/// Not in this build.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn panic_for(_: &str, _: &str) {}

/// A certificate authority of a test's own, whose files may be fetched from any address.
#[cfg(feature = "failpoints")]
pub(crate) fn attachments_ca() -> Option<std::path::PathBuf> {
    std::env::var_os("HERALD_TEST_ATTACHMENTS").map(Into::into)
}

/// Not in this build.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn attachments_ca() -> Option<std::path::PathBuf> {
    None
}
