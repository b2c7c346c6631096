//! nestrig: does this engine do nested VMX as the manual says?
//!
//! Scenarios are TOML files ([`scenario`]); they are compiled to a script, run by L1 on an engine, and the trace of what L1 saw is
//! put into words ([`render`]) and held against a reviewed snapshot ([`snapshot`], [`verdict`]).

pub mod cli;
mod commands;
pub mod deviations;
pub mod engines;
pub mod fixtures;
pub mod images;
pub mod laws;
pub mod render;
pub mod report;
pub mod scenario;
pub mod snapshot;
pub mod verdict;

/// What the program tells its caller by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All as expected.
    Expected = 0,
    /// Something differs from what was expected.
    Difference = 1,
    /// Bad usage or input.
    BadInput = 2,
    /// Nothing could be run.
    NothingRan = 77,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
