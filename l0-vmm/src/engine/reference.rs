//! The reference CPU as an engine: in process, deterministic, there on every machine.

use super::{Engine, EngineError, EngineKind, Job, Limit, Limits, Nested, Run, Stats};
use crate::{
    machine::Machine,
    vcpu::{Vcpu, VcpuExit},
};
use std::sync::Arc;
use x86_ref::{Cpu, Profile, State, Stop};
use x86_spec::vmx::rules::Rule;

/// The engine.
pub(super) struct Reference {
    profile: Arc<Profile>,
}

impl Reference {
    pub(super) fn new(profile: Arc<Profile>) -> Self {
        Self { profile }
    }
}

impl Engine for Reference {
    fn kind(&self) -> EngineKind {
        EngineKind::Ref
    }

    fn nested(&self) -> Nested {
        Nested::Reference
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn describe(&self) -> String {
        format!("ref ({})", self.profile.name)
    }

    fn run(&mut self, job: &Job) -> Result<Run, EngineError> {
        let machine = Machine::new(job)?;
        let cpu = Cpu::new(Arc::clone(&self.profile), machine.ram.memory().clone(), machine.devices.clone())?;
        machine.run(&mut RefVcpu { cpu }, job)
    }
}

struct RefVcpu {
    cpu: Cpu,
}

impl Vcpu for RefVcpu {
    fn set_state(&mut self, state: &State) -> Result<(), EngineError> {
        self.cpu.set_state(state);
        Ok(())
    }

    fn state(&mut self) -> Result<State, EngineError> {
        Ok(self.cpu.state())
    }

    fn run(&mut self, limits: &Limits) -> Result<VcpuExit, EngineError> {
        let left = limits.instructions.saturating_sub(self.cpu.retired());
        if left == 0 {
            return Ok(VcpuExit::Budget(Limit::Instructions(limits.instructions)));
        }
        Ok(match self.cpu.run(left) {
            Stop::Bus | Stop::Root => VcpuExit::Device,
            Stop::Budget => VcpuExit::Budget(Limit::Instructions(limits.instructions)),
            Stop::Shutdown => VcpuExit::Shutdown,
            Stop::Halted => VcpuExit::Halted { rip: self.cpu.state().rip },
            Stop::Unsupported(u) => VcpuExit::Unsupported { what: u.what, rip: u.rip, bytes: u.bytes },
        })
    }

    fn refusals(&self) -> Vec<&'static Rule> {
        self.cpu.refusals().to_vec()
    }

    fn stats(&self) -> Stats {
        Stats { instructions: Some(self.cpu.retired()), ..Stats::default() }
    }
}
