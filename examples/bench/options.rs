//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::ledger::Kind;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One event with many participants.
    Job,
    /// How soon the first e-mail comes.
    First,
    /// Small events beside a giant one.
    Fairness,
    /// One tenant's e-mails while another one's relay hangs.
    Hang,
}

#[derive(Debug, Parser)]
#[command(
    name = "scripts/bench",
    about = "Measures Herald's whole job against a sink of its own"
)]
pub(crate) struct Options {
    /// Round trips of the relay, in ms.
    #[arg(long, value_delimiter = ',', default_value = "0,5,20")]
    pub(crate) latency: Vec<f64>,
    /// Participants.
    #[arg(short, default_value_t = 20_000)]
    pub(crate) n: u64,
    /// Runs of each, interleaved; medians are shown.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Where the ledger is.
    #[arg(long, value_delimiter = ',', default_value = "sqlite,postgres")]
    pub(crate) databases: Vec<Kind>,
    /// `SMTP_CONNECTIONS`.
    #[arg(long, default_value_t = 20)]
    pub(crate) connections: u32,
    /// The relay offers CHUNKING.
    #[arg(long)]
    pub(crate) chunking: bool,
    /// 50 clients of `/ws` and 20 requests a second beside each job.
    #[arg(long)]
    pub(crate) operators: bool,
    /// What to measure; all four unless named.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// Participants of the giant event.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) giant: u64,
    /// More of the worker's environment.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// A short form of everything, to see that it works: its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Writes the report into this file, between its markers.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "docs/performance.md")]
    pub(crate) write: Option<PathBuf>,
    /// Puts `perf record -g` around the worker's jobs and leaves its data in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Only serves the sink on this port (any if 0).
    #[arg(long, value_name = "PORT")]
    pub(crate) sink: Option<u16>,
}

impl Options {
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.only.is_empty() {
            return Scenario::value_variants().to_vec();
        }
        self.only.clone()
    }

    pub(crate) fn n(&self) -> u64 {
        if self.quick { self.n.min(2_000) } else { self.n }
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.max(1) }
    }

    pub(crate) fn giant(&self) -> u64 {
        if self.quick {
            self.giant.min(30_000)
        } else {
            self.giant
        }
    }

    /// Small events, and tries of what is tried several times.
    pub(crate) fn tries(&self, usual: u32) -> u32 {
        if self.quick { usual.div_ceil(5) } else { usual }
    }
}
