//! The program `herald`.

use std::process::ExitCode;

fn main() -> ExitCode {
    herald::cli::herald()
}
