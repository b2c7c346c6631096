//! The loop that every engine shares: a processor, the devices, the limits, and from them a [`Run`].

use crate::{
    boot,
    devices::Devices,
    engine::{End, EngineError, Job, L0What, Run},
    ram::Ram,
    vcpu::{Vcpu, VcpuExit},
};
use std::{cell::RefCell, rc::Rc, time::Instant};

/// A fresh machine with a job in its memory.
pub(crate) struct Machine {
    pub ram: Ram,
    pub devices: Rc<RefCell<Devices>>,
}

impl Machine {
    /// Makes a machine and loads a job.
    pub fn new(job: &Job) -> Result<Self, EngineError> {
        let ram = Ram::new()?;
        boot::load(&ram, job)?;
        let devices = Rc::new(RefCell::new(Devices::new(ram.clone())));
        Ok(Self { ram, devices })
    }

    /// Boots L1 and runs it to its end.
    pub fn run(&self, vcpu: &mut dyn Vcpu, job: &Job) -> Result<Run, EngineError> {
        let start = Instant::now();
        vcpu.set_state(&boot::state(job.l1.entry))?;
        let end = self.run_to_end(vcpu, job)?;
        if !matches!(end, End::Finished { .. }) {
            // Where L1 was, for whoever wants to know why.
            let rip = vcpu.state().ok().map(|s| s.rip);
            self.devices.borrow_mut().note(rip, L0What::Note(format!("end: {end:?}")));
        }
        let mut devices = self.devices.borrow_mut();
        let heard = devices.finish();
        let mut stats = vcpu.stats();
        stats.wall = start.elapsed();
        stats.exits = devices.exits;
        tracing::debug!(?end, records = heard.records.len(), ?stats, "run");
        Ok(Run {
            end,
            records: heard.records,
            damage: heard.damage,
            debug: heard.debug,
            l0_track: heard.track,
            refusals: vcpu.refusals(),
            stats,
        })
    }

    fn run_to_end(&self, vcpu: &mut dyn Vcpu, job: &Job) -> Result<End, EngineError> {
        loop {
            let end = match vcpu.run(&job.limits)? {
                VcpuExit::Device => {
                    let devices = self.devices.borrow();
                    match (devices.exit, devices.exhausted()) {
                        (Some(code), _) => End::Finished { code },
                        (None, Some(limit)) => End::Budget { limit },
                        (None, None) => continue,
                    }
                }
                VcpuExit::Halted { rip } => End::Halted { rip },
                VcpuExit::Shutdown => End::Shutdown,
                VcpuExit::Budget(limit) => End::Budget { limit },
                VcpuExit::Unsupported { what, rip, bytes } => End::Unsupported { what, rip, bytes },
                VcpuExit::Fault(details) => End::Fault { details },
            };
            return Ok(end);
        }
    }
}
