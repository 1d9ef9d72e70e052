//! The program `add_test_data`.

use std::process::ExitCode;

fn main() -> ExitCode {
    herald::cli::add_test_data()
}
