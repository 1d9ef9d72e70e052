//! The fault campaign: the same fault many times, at moments that differ, judged from outside by what the
//! relay took, what the ledger says and what the queue holds. `scripts/faults` runs it longer and writes
//! down what came of it; here each fault strikes a few times.

mod audience;
mod broker;
mod clock;
mod crash;
mod database;
mod disk;
mod equal;
mod foreign;
mod memory;
mod outages;
mod relay;
mod relay_down;
mod relay_phases;
#[cfg(feature = "failpoints")]
mod renderings;
mod scene;
mod stall;
#[cfg(feature = "failpoints")]
mod steps;
mod strikes;
mod workers;
