//! The run loop.

use crate::Cpu;

/// Why [`Cpu::run`] came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A device asked for it; the instruction is complete.
    Bus,
    /// The instruction budget is used up.
    Budget,
    /// Triple fault outside VMX non-root operation.
    Shutdown,
    /// The CPU is halted and nothing can wake it.
    Halted,
    /// The CPU is back in (or never left) VMX root operation after [`Cpu::step_root`].
    Root,
    /// The CPU model cannot do this. Nothing of the instruction has happened.
    Unsupported(Unsupported),
}

/// What the CPU model could not do, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not modelled, at {rip:#x} (bytes {bytes:02x?})")]
pub struct Unsupported {
    /// What it was.
    pub what: String,
    /// RIP.
    pub rip: u64,
    /// The instruction's bytes, as far as they could be read.
    pub bytes: Vec<u8>,
}

impl Cpu {
    /// Time: instructions retired since the start.
    pub(crate) fn now(&self) -> u64 {
        self.retired
    }

    /// Runs for at most `budget` instructions.
    pub fn run(&mut self, budget: u64) -> Stop {
        let _ = budget;
        Stop::Budget
    }

    /// Executes one instruction, and if that entered VMX non-root operation, everything up to the next VM exit.
    pub fn step_root(&mut self, budget: u64) -> Stop {
        let _ = budget;
        Stop::Budget
    }
}
