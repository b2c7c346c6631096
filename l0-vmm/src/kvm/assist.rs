//! The assist: VMX for L1 on a KVM that has none.
//!
//! L1's sensitive instructions are known by address. INT3 is planted over them; when the virtual processor gets to one,
//! its state goes to a reference CPU over the same memory, which executes the instruction that was there, and after a VM
//! entry all of L2 up to the next VM exit. Then the state goes back. It is the way of the first hypervisors for x86.
#![allow(unsafe_code, reason = "planted bytes are written by address")]

use super::state::FxImage;
use crate::{
    engine::{EngineError, Job, Limit, Limits},
    machine::Machine,
    ram::Ram,
    vcpu::VcpuExit,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use x86_ref::{Cpu, Profile, State, Stop};
use x86_spec::vmx::rules::Rule;

const INT3: u8 = 0xcc;
const VMLAUNCH: [u8; 3] = [0x0f, 0x01, 0xc2];
const VMRESUME: [u8; 3] = [0x0f, 0x01, 0xc3];
/// Instructions of L2 between two looks at the clock.
const SLICE: u64 = 4_000_000;

/// The reference CPU beside KVM, and the planted instructions.
pub(super) struct Assist {
    cpu: Cpu,
    _ram: Ram,
    /// In ascending order of addresses.
    planted: Vec<Planted>,
    /// Assists so far.
    pub count: u64,
    /// Wall-clock time in them.
    pub wall: Duration,
}

/// An INT3 and what it stands for.
struct Planted {
    at: u64,
    /// The same in this process: at every assist all of them are changed twice.
    host: *mut u8,
    original: u8,
    /// The instruction enters L2, and with it anything can change.
    enters: bool,
}

/// How an assist ended.
pub(super) enum Assisted {
    /// L1 goes on with this state.
    Root(Box<State>),
    /// The run ends.
    End(VcpuExit),
}

impl Assist {
    pub fn new(machine: &Machine, job: &Job, profile: &Arc<Profile>) -> Result<Self, EngineError> {
        let cpu = Cpu::new(Arc::clone(profile), machine.ram.memory().clone(), machine.devices.clone())?;
        let ram = machine.ram.clone();
        let planted = job.l1.sensitive.iter().filter_map(|&at| {
            let enters = [VMLAUNCH, VMRESUME].iter().any(|i| i[..] == ram.bytes(at, 3));
            Some(Planted { at, host: ram.host(at)?, original: ram.byte(at)?, enters })
        });
        let planted = planted.collect();
        let assist = Self { cpu, _ram: ram, planted, count: 0, wall: Duration::ZERO };
        assist.plant();
        Ok(assist)
    }

    /// The rules that failing VM entries broke, in order.
    pub fn refusals(&self) -> &[&'static Rule] {
        self.cpu.refusals()
    }

    /// Whether an INT3 is planted there.
    pub fn is_planted(&self, address: u64) -> bool {
        self.find(address).is_some()
    }

    /// Whether the instruction there changes neither debug nor vector registers.
    pub fn is_shallow(&self, address: u64) -> bool {
        self.find(address).is_some_and(|p| !p.enters)
    }

    fn find(&self, address: u64) -> Option<&Planted> {
        let index = self.planted.binary_search_by_key(&address, |p| p.at).ok()?;
        self.planted.get(index)
    }

    /// The reference CPU's state after the last assist.
    pub fn state(&self) -> State {
        self.cpu.state()
    }

    fn plant(&self) {
        for p in &self.planted {
            // SAFETY: as in `restore`.
            unsafe { p.host.write_volatile(INT3) };
        }
    }

    fn restore(&self) {
        for p in &self.planted {
            // SAFETY: the byte is in the machine's memory, which `_ram` keeps mapped; neither KVM nor the reference CPU
            // runs now.
            unsafe {
                // What the guest has written there since is its own.
                if p.host.read_volatile() == INT3 {
                    p.host.write_volatile(p.original);
                }
            }
        }
    }

    /// Puts vector registers in.
    pub fn set_vectors(&mut self, image: &FxImage) {
        self.cpu.load_fxsave_image(image);
    }

    /// The vector registers.
    pub fn vectors(&self) -> FxImage {
        self.cpu.fxsave_image()
    }

    /// Executes the instruction at the state's RIP, and after a VM entry all of L2 up to the next VM exit.
    pub fn step(&mut self, state: &State, limits: &Limits, deadline: Option<Instant>) -> Assisted {
        let start = Instant::now();
        self.restore();
        self.cpu.set_state(state);
        self.cpu.memory_written();
        let end = self.step_to_root(limits, deadline);
        self.plant();
        self.count += 1;
        self.wall += start.elapsed();
        match end {
            Some(exit) => Assisted::End(exit),
            None => Assisted::Root(Box::new(self.cpu.state())),
        }
    }

    /// `None`: the CPU is in VMX root operation.
    fn step_to_root(&mut self, limits: &Limits, deadline: Option<Instant>) -> Option<VcpuExit> {
        loop {
            let left = limits.instructions.saturating_sub(self.cpu.retired());
            if left == 0 {
                return Some(VcpuExit::Budget(Limit::Instructions(limits.instructions)));
            }
            match self.cpu.step_root(left.min(SLICE)) {
                Stop::Root => return None,
                Stop::Bus => return Some(VcpuExit::Device),
                Stop::Budget => {}
                Stop::Shutdown => return Some(VcpuExit::Shutdown),
                Stop::Halted => return Some(VcpuExit::Halted { rip: self.cpu.state().rip }),
                Stop::Unsupported(u) => {
                    return Some(VcpuExit::Unsupported { what: u.what, rip: u.rip, bytes: u.bytes });
                }
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                return Some(VcpuExit::Budget(Limit::Wall(limits.wall)));
            }
        }
    }
}
