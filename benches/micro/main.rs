//! What one e-mail costs, step by step: `cargo bench`, or `cargo bench --bench micro -- render` for some of it.

mod ledger;
mod letters;
#[path = "../sink/mod.rs"]
#[expect(dead_code, reason = "the whole job needs more of it")]
mod sink;
mod smtp;

/// Measures where the program allocates, too.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}
