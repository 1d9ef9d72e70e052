//! Which process holds a lease, so that one that is provably dead need not be waited for: same boot, same
//! PID namespace, and no process of that number and start time. Where that cannot be told, it is not.

use std::fs;

/// This process, as written into a lease: `boot/namespace/pid/start`.
pub fn this_process() -> String {
    let (boot, namespace) = here();
    let pid = std::process::id();
    format!("{boot}/{namespace}/{pid}/{}", start_of(pid).unwrap_or_default())
}

/// Whether the process named in a lease is certainly gone.
pub fn is_dead(holder: &str) -> bool {
    let mut parts = holder.split('/');
    let (Some(boot), Some(namespace), Some(pid), Some(start), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return false;
    };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let comparable = !boot.is_empty() && !namespace.is_empty() && !start.is_empty();
    if !comparable || here() != (boot.to_owned(), namespace.to_owned()) {
        return false;
    }
    match stat(pid) {
        Ok(text) => start_in(&text).as_deref() != Some(start),
        // Hidden is not gone: where the first process cannot be seen, others may be hidden as well.
        Err(error) => error.kind() == std::io::ErrorKind::NotFound && stat(1).is_ok(),
    }
}

fn here() -> (String, String) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits = namespace
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    (boot.trim().to_owned(), digits)
}

fn start_of(pid: u32) -> Option<String> {
    start_in(&stat(pid).ok()?)
}

fn stat(pid: u32) -> std::io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/stat"))
}

/// Start time in clock ticks since boot: field 22 of `stat`, counted behind the command's closing bracket.
/// A zombie is no longer a process that could send anything.
fn start_in(stat: &str) -> Option<String> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let state = fields.first()?;
    (!matches!(*state, "Z" | "X")).then(|| fields.get(19).map(|s| (*s).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_not_dead() {
        assert!(!is_dead(&this_process()));
    }

    #[test]
    fn an_ended_process_is_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (boot, namespace) = here();
        let start = start_of(child.id()).unwrap();
        let holder = format!("{boot}/{namespace}/{}/{start}", child.id());
        assert!(!is_dead(&holder));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_dead(&holder));
    }

    #[test]
    fn a_number_that_was_given_again_is_another_process() {
        let mut parts: Vec<String> = this_process().split('/').map(str::to_owned).collect();
        parts[3] = "1".into();
        assert!(is_dead(&parts.join("/")));
    }

    #[test]
    fn elsewhere_is_not_judged() {
        let other = this_process().replacen(|c: char| c.is_ascii_hexdigit(), "x", 1);
        assert!(!is_dead(&other));
        assert!(!is_dead(""));
        assert!(!is_dead("///"));
    }
}
