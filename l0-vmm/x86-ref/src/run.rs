//! The run loop.

use crate::{
    Cpu,
    block::{Code, op::Out},
    boundary::{Next, STEP},
    cpu::attention,
    fault::{Exec, Why},
};

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

/// How long a run goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// To the end of the budget.
    Budget,
    /// To the next place between instructions that is outside VMX non-root operation.
    Root,
}

impl Cpu {
    /// Runs for at most `budget` instructions.
    pub fn run(&mut self, budget: u64) -> Stop {
        self.go(budget, Until::Budget)
    }

    /// Executes one instruction, and if that entered VMX non-root operation, everything up to the next VM exit.
    pub fn step_root(&mut self, budget: u64) -> Stop {
        self.go(budget, Until::Root)
    }

    /// Time: instructions retired since the start (and events taken, each of which counts one). Inside an instruction, those
    /// before it.
    pub(crate) fn now(&self) -> u64 {
        self.retired.wrapping_add((self.slice - self.budget - self.ahead) as u64)
    }

    /// Brings [`Cpu::retired`] up to date, with the rest of the budget as the new slice.
    fn settle(&mut self) {
        self.retired = self.now();
        self.slice = self.budget;
    }

    /// Settles, and gives the CPU instructions up to `end` or to the next time that VMX wants to look.
    fn grant(&mut self, end: u64) {
        self.settle();
        let rest = end.saturating_sub(self.retired).min(i64::MAX as u64);
        self.budget = match self.vmx_deadline() {
            Some(deadline) if deadline < rest => deadline,
            _ => rest,
        } as i64;
        self.slice = self.budget;
    }

    fn go(&mut self, budget: u64, until: Until) -> Stop {
        let mut code = self.code.take().unwrap_or_default();
        self.budget = self.slice;
        let end = self.retired.saturating_add(budget);
        let stop = self.turns(&mut code, end, until);
        self.settle();
        self.code = Some(code);
        stop
    }

    fn turns(&mut self, code: &mut Code, end: u64, until: Until) -> Stop {
        self.grant(end);
        let mut first = true;
        loop {
            if self.budget <= 0 {
                self.grant(end);
                if self.retired >= end {
                    return Stop::Budget;
                }
                if self.budget <= 0 {
                    // Time is up for VMX, not for us.
                    self.attention |= attention::VMX;
                }
            }
            if until == Until::Root && !first && !self.vmx.non_root {
                return Stop::Root;
            }
            if self.mem.stamp == 0 {
                self.settle_code(code);
            }
            if self.attention != 0 {
                match self.boundary() {
                    Ok(Next::Go) => {}
                    Ok(Next::Again) => {
                        self.budget -= 1;
                        first = false;
                        self.grant(end);
                        continue;
                    }
                    Ok(Next::Idle) => match self.idle(end) {
                        Some(stop) => return stop,
                        None => continue,
                    },
                    Ok(Next::Shutdown) => return Stop::Shutdown,
                    Ok(Next::Stop) => return Stop::Bus,
                    Err(_) => return self.cannot(),
                }
            }
            let alone = until == Until::Root && !self.vmx.non_root;
            let done = if self.attention & STEP != 0 || alone || self.must_step() {
                self.single(code)
            } else {
                self.chained(code)
            };
            first = false;
            if done.is_err()
                && let Some(stop) = self.halted(code, end)
            {
                return stop;
            }
        }
    }

    /// The CPU is not active. Time passes until something that is timed happens; without that nothing ever will.
    fn idle(&mut self, end: u64) -> Option<Stop> {
        let deadline = match self.vmx_deadline() {
            // A timer that has run out and ends nothing now never will.
            None | Some(0) => return Some(Stop::Halted),
            Some(deadline) => deadline,
        };
        self.settle();
        let rest = end.saturating_sub(self.retired);
        self.retired += deadline.min(rest);
        self.grant(end);
        if self.retired >= end {
            return Some(Stop::Budget);
        }
        self.attention |= attention::VMX;
        None
    }

    /// Whether the code segment's limit asks for single steps.
    fn must_step(&self) -> bool {
        self.mem.mode() & crate::block::mode::LIMITED != 0
    }

    /// Executes blocks.
    fn chained(&mut self, code: &mut Code) -> Exec {
        let mut number = self.lookup(code)?;
        loop {
            let block = code.block(number);
            if block.count > self.budget {
                return self.single(code);
            }
            self.budget -= block.count;
            self.r[crate::cpu::gpr::RIP] = self.rip;
            if let Some((op, rest)) = block.ops.split_first() {
                (op.run)(self, code, op, rest);
            }
            if self.out == Out::Halted {
                return Err(crate::fault::Halt);
            }
            if self.attention != 0 || self.budget <= 0 || self.mem.stamp == 0 || self.must_step() {
                return Ok(());
            }
            let (from, cleared) = (self.out, code.cleared);
            number = self.lookup(code)?;
            if let Out::Link { block, side } = from
                && cleared == code.cleared
            {
                code.link(block, side, number);
            }
        }
    }

    /// Executes one instruction without decoded code.
    fn single(&mut self, code: &mut Code) -> Exec {
        self.step_begins();
        loop {
            match self.step() {
                Ok(()) => {
                    self.budget -= 1;
                    self.step_ended();
                    return Ok(());
                }
                Err(halt) => match self.why {
                    Why::CodeWrite(physical) => self.drop_page(code, physical),
                    Why::Again => {
                        self.budget -= 1;
                        // RF is for the whole of the instruction.
                        self.step_rf = false;
                        self.step_ended();
                        return Ok(());
                    }
                    _ => return Err(halt),
                },
            }
        }
    }

    /// An instruction did not complete.
    fn halted(&mut self, code: &mut Code, end: u64) -> Option<Stop> {
        match self.why {
            Why::CodeWrite(physical) => {
                self.drop_page(code, physical);
                return match self.single(code) {
                    Ok(()) => None,
                    Err(_) => self.halted(code, end),
                };
            }
            Why::Again => {
                self.budget -= 1;
                return None;
            }
            Why::Unsupported(_) => return Some(self.cannot()),
            Why::Exception(exception) => {
                self.settle();
                if self.raise(exception).is_err() {
                    return Some(self.cannot());
                }
            }
            Why::Ept(fault) => {
                self.settle();
                if self.ept_exit(fault).is_err() && self.why != Why::Switched {
                    return Some(self.cannot());
                }
            }
            Why::Switched => {}
            Why::None => {
                self.why = Why::Unsupported("an instruction that stopped without saying why");
                return Some(self.cannot());
            }
        }
        // Every event costs one: a guest can make them for ever without completing an instruction.
        self.budget -= 1;
        self.grant(end);
        None
    }

    fn cannot(&mut self) -> Stop {
        let what = match self.why {
            Why::Unsupported(what) => what.to_owned(),
            other => format!("{other:?}"),
        };
        Stop::Unsupported(Unsupported { what, rip: self.rip, bytes: self.instruction_bytes() })
    }
}
