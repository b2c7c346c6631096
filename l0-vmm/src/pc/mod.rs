//! The PC around the reference CPU: it boots other people's images.
//!
//! - `devices` has the devices, one file each; `board` connects them; `tables` is what firmware leaves in memory.
//! - [`boot`] puts an image into memory as its boot protocol says.
//! - [`Pc`] is all of it with its processors, and runs.
//!
//! Time is virtual and one for all: an instruction of any processor is one tick of the one clock that the TSCs, the timers and
//! the real-time clock count. Processors take turns of some thousand instructions, cut short when one waits. So the same
//! image gives the same run, always.

mod board;
pub mod boot;
mod devices;
mod model;
mod tables;
mod time;

use board::{Board, Parts, Seat, Wish};
use devices::fw_cfg::FwCfg;
use std::{cell::RefCell, io::Write, rc::Rc, sync::Arc};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use x86_ref::{Cpu, NewCpuError, Profile, Signal, Stop, Unsupported};

pub use boot::{BootError, Format, Module, Payload};

/// Instructions of a turn, where more than one processor executes.
const TURN: u64 = 20_000;
/// Least and most memory: the registers of APICs begin below 4 GiB.
pub const MEMORY: std::ops::RangeInclusive<u64> = 2 << 20..=3 << 30;
/// Most processors.
pub const CPUS: std::ops::RangeInclusive<u32> = 1..=64;

/// What PC is wanted.
pub struct Config {
    /// Bytes of memory.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// Their model. What the PC brings (APIC IDs, x2APIC, the deadline timer) is added.
    pub profile: Arc<Profile>,
    /// What is booted.
    pub payload: Payload,
    /// Where COM1 writes to.
    pub serial: Box<dyn Write>,
    /// Where port 0xE9 writes to.
    pub debug: Box<dyn Write>,
}

/// A PC cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PcError {
    /// More or less memory than there can be.
    #[error("{0:#x} bytes of memory: {min:#x} to {max:#x} are possible", min = MEMORY.start(), max = MEMORY.end())]
    Memory(u64),
    /// More or fewer processors than there can be.
    #[error("{0} processors: {min} to {max} are possible", min = CPUS.start(), max = CPUS.end())]
    Cpus(u32),
    /// No memory could be had.
    #[error("cannot map {size:#x} bytes of memory for the machine: {source}")]
    Map {
        /// How much.
        size: u64,
        /// Why.
        source: vm_memory::mmap::FromRangesError,
    },
    /// The image.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A processor.
    #[error(transparent)]
    Cpu(#[from] NewCpuError),
}

/// How a run of a PC ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PcEnd {
    /// A value was written to the debug-exit port.
    Exit(u32),
    /// The guest turned the machine off.
    PowerOff,
    /// The guest reset the machine.
    Reset,
    /// Every processor is halted, and no interrupt can wake one.
    Halted {
        /// Where the bootstrap processor stands.
        rip: u64,
    },
    /// Triple fault.
    Shutdown {
        /// Which processor.
        cpu: usize,
        /// Where.
        rip: u64,
    },
    /// So many instructions were executed.
    Budget(u64),
    /// A processor cannot do something.
    Unsupported {
        /// Which processor.
        cpu: usize,
        /// What.
        what: Unsupported,
    },
}

/// The machine.
pub struct Pc {
    cpus: Vec<Cpu>,
    board: Rc<RefCell<Board>>,
    now: u64,
    executed: u64,
    /// Whose turn it is.
    turn: usize,
}

impl Pc {
    /// A machine with an image in its memory.
    pub fn new(config: Config) -> Result<Self, PcError> {
        if !MEMORY.contains(&config.memory) {
            return Err(PcError::Memory(config.memory));
        }
        if !CPUS.contains(&config.cpus) {
            return Err(PcError::Cpus(config.cpus));
        }
        let size = config.memory & !0xfff;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size as usize)])
            .map_err(|source| PcError::Map { size, source })?;
        let state = boot::load(&memory, &config.payload)?;
        let models: Vec<_> =
            (0..config.cpus).map(|n| Arc::new(model::of(&config.profile, n, config.cpus))).collect();
        let [_, _, _, features] = model::leaf(&models[0], 1);
        let [signature, ..] = model::leaf(&models[0], 1);
        for (at, bytes) in [
            (tables::AT, tables::acpi(config.cpus)),
            (tables::MP_AT, tables::mp(config.cpus, signature, features)),
        ] {
            let written = memory.write_slice(&bytes, GuestAddress(at));
            written.map_err(|_| PcError::Memory(size))?;
        }
        let map: Vec<u8> = boot::e820(size)
            .iter()
            .flat_map(|r| [&r.base.to_le_bytes()[..], &r.size.to_le_bytes(), &r.kind.to_le_bytes()].concat())
            .collect();
        let fw_cfg = FwCfg::new(size, config.cpus, &config.payload.command_line, &[("etc/e820", map)]);
        let apic_base = |n| if n == 0 { 0xfee0_0900 } else { 0xfee0_0800 };
        let board = Rc::new(RefCell::new(Board::new(Parts {
            ram: size,
            fw_cfg,
            serial: config.serial,
            debug: config.debug,
            apic_bases: (0..config.cpus).map(apic_base).collect(),
        })));
        let mut cpus = Vec::new();
        for (n, model) in models.into_iter().enumerate() {
            let seat = Rc::new(RefCell::new(Seat { cpu: n, board: Rc::clone(&board) }));
            let mut cpu = Cpu::new(model, memory.clone(), seat)?;
            if n == 0 {
                cpu.set_state(&state);
            }
            cpu.set_bootstrap(n == 0);
            if config.cpus > 1 {
                cpu.share_memory();
            }
            cpus.push(cpu);
        }
        Ok(Self { cpus, board, now: 0, executed: 0, turn: 0 })
    }

    /// Instructions executed so far, of all processors.
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// Virtual time so far, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Runs to the end, or until so many instructions are executed.
    pub fn run(&mut self, most: u64) -> PcEnd {
        let end = loop {
            if let Some(end) = self.round(most) {
                break end;
            }
        };
        self.board.borrow_mut().flush();
        end
    }

    /// One processor's turn, or the wait for the next event.
    fn round(&mut self, most: u64) -> Option<PcEnd> {
        self.board.borrow_mut().advance(self.now);
        if let Some(end) = self.attend() {
            return Some(end);
        }
        let left = most.saturating_sub(self.executed);
        if left == 0 {
            return Some(PcEnd::Budget(most));
        }
        let due = self.board.borrow().due();
        let awake = self.cpus.iter_mut().filter_map(|cpu| cpu.is_awake().then_some(())).count();
        // A processor in MWAIT must see soon that its line was written to.
        let others = awake > 1 || self.cpus.iter().any(Cpu::waits_for_line);
        self.board.borrow_mut().crowded = others;
        if awake == 0 {
            return self.wait(due);
        }
        let cpus = self.cpus.len();
        let turn = (0..cpus).map(|n| (self.turn + n) % cpus).find(|n| self.cpus[*n].is_awake())?;
        let slice = due.map_or(u64::MAX, |due| due.saturating_sub(self.now)).clamp(1, left);
        let slice = if others { slice.min(TURN) } else { slice };
        self.turn = turn;
        let cpu = &mut self.cpus[turn];
        cpu.pass_to(self.now);
        let stop = cpu.run(slice);
        self.executed += cpu.retired().saturating_sub(self.now);
        self.now = cpu.retired();
        if cpus > 1 {
            let (before, rest) = self.cpus.split_at_mut(turn);
            if let Some((cpu, after)) = rest.split_first_mut() {
                let mut others: Vec<&mut Cpu> = before.iter_mut().chain(after).collect();
                cpu.exchange(&mut others);
            }
        }
        if awake > 1 && !matches!(stop, Stop::Unsupported(_)) {
            self.turn = (turn + 1) % cpus;
        }
        match stop {
            Stop::Bus | Stop::Budget | Stop::Halted | Stop::Root => None,
            Stop::Shutdown => Some(PcEnd::Shutdown { cpu: turn, rip: self.cpus[turn].state().rip }),
            Stop::Unsupported(what) => Some(PcEnd::Unsupported { cpu: turn, what }),
        }
    }

    /// Nobody executes: time goes on to the next event.
    fn wait(&mut self, due: Option<u64>) -> Option<PcEnd> {
        match due {
            Some(due) if !self.cpus.iter().all(Cpu::is_deaf) => {
                self.now = self.now.max(due);
                None
            }
            _ => Some(PcEnd::Halted { rip: self.cpus[0].state().rip }),
        }
    }

    /// What devices and other processors have for the processors.
    fn attend(&mut self) -> Option<PcEnd> {
        let mut board = self.board.borrow_mut();
        if let Some(wish) = board.wish.take() {
            return Some(match wish {
                Wish::Exit(value) => PcEnd::Exit(value),
                Wish::PowerOff => PcEnd::PowerOff,
                Wish::Reset => PcEnd::Reset,
            });
        }
        for (n, cpu) in self.cpus.iter_mut().enumerate() {
            let signals = std::mem::take(&mut board.signals[n]);
            if signals.init && cpu.init() == Signal::Unmodelled {
                let what = "INIT in VMX operation".to_owned();
                let what = Unsupported { what, rip: cpu.state().rip, bytes: Vec::new() };
                return Some(PcEnd::Unsupported { cpu: n, what });
            }
            if let Some(page) = signals.startup {
                cpu.startup(page);
            }
            if signals.nmi {
                cpu.signal_nmi();
            }
            cpu.offer(board.offered(n), board.lapics[n].class());
        }
        None
    }
}

#[cfg(test)]
mod tests;
