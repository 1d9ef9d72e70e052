//! What `/proc` says of processes and of the machine.

use std::fs;
use std::path::Path;

/// Clock ticks a second, as Linux tells them to programs.
const TICKS: f64 = 100.0;

/// CPU seconds of a process, its reaped children included; 0 where there is none.
pub(crate) fn cpu(pid: u32) -> f64 {
    stat(format!("/proc/{pid}/stat")).map_or(0.0, |s| s.cpu)
}

/// Peak resident size in MB; 0 where there is no such process.
pub(crate) fn peak_rss(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1024.0
}

struct Stat {
    group: u32,
    cpu: f64,
}

fn stat(path: impl AsRef<Path>) -> Option<Stat> {
    let line = fs::read_to_string(path).ok()?;
    // The program's name stands in parentheses and may contain anything.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|f| f.parse().unwrap_or(0.0));
    Some(Stat {
        group: fields.get(2)?.parse().ok()?,
        cpu: ticks.sum::<f64>() / TICKS,
    })
}

/// CPU seconds that processes outside of these groups, and outside of this process, have used.
pub(crate) fn foreign(groups: &[u32]) -> f64 {
    let ours: f64 = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|b| b.is_ascii_digit())
        })
        .filter_map(|entry| stat(entry.path().join("stat")))
        .filter(|stat| groups.contains(&stat.group))
        .map(|stat| stat.cpu)
        .sum();
    busy() - ours - cpu(std::process::id())
}

/// CPU seconds that the machine has used.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1);
    let counted = fields.take(8).enumerate().filter(|(i, _)| ![3, 4].contains(i));
    counted.map(|(_, f)| f.parse().unwrap_or(0.0)).sum::<f64>() / TICKS
}

/// Cores, processor and memory, in words.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kilobytes: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    format!("{cores} cores ({model}), {:.0} GB", kilobytes / 1024.0 / 1024.0)
}
