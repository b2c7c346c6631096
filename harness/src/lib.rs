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
pub enum ExitCode {
    /// 0: all as expected.
    Expected,
    /// 1: something differs from what was expected.
    Difference,
    /// 2: bad usage or input.
    BadInput,
    /// 77: nothing could be run.
    NothingRan,
    /// What a guest gave.
    Guest(u8),
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(match code {
            ExitCode::Expected => 0,
            ExitCode::Difference => 1,
            ExitCode::BadInput => 2,
            ExitCode::NothingRan => 77,
            ExitCode::Guest(code) => code,
        })
    }
}
