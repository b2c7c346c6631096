//! What a processor is to the machine, whoever it is.

use crate::engine::{EngineError, Limit, Limits, Stats};
use x86_ref::State;
use x86_spec::vmx::rules::Rule;

/// Why a [`Vcpu`] came back to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VcpuExit {
    /// A device asked for it.
    Device,
    /// It halted, and nothing can wake it.
    Halted {
        /// The instruction behind HLT.
        rip: u64,
    },
    /// Triple fault in VMX root operation.
    Shutdown,
    /// A limit was reached.
    Budget(Limit),
    /// It cannot do what the guest asked for.
    Unsupported {
        /// What.
        what: String,
        /// Where.
        rip: u64,
        /// The instruction's bytes, as far as they are known.
        bytes: Vec<u8>,
    },
    /// The engine failed.
    Fault(String),
}

/// A processor over the machine's memory and devices.
pub(crate) trait Vcpu {
    /// Puts a state in.
    fn set_state(&mut self, state: &State) -> Result<(), EngineError>;
    /// Takes the state out.
    fn state(&mut self) -> Result<State, EngineError>;
    /// Runs until something happens that the machine must know of.
    fn run(&mut self, limits: &Limits) -> Result<VcpuExit, EngineError>;
    /// The rules that failing VM entries broke, in order, where it knows them.
    fn refusals(&self) -> Vec<&'static Rule>;
    /// What it counted.
    fn stats(&self) -> Stats;
}
