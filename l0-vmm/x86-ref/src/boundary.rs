//! What happens between two instructions: traps, interrupts, NMIs, windows and timers, in the manual's order.
//!
//! The run loop calls [`Cpu::boundary`] whenever [`Cpu::attention`] is not 0, and executes one instruction at a time,
//! between [`Cpu::step_begins`] and [`Cpu::step_ended`], while one of [`STEP`] is set.

use crate::{
    Cpu,
    cpu::{Activity, attention, seg},
    event::{Event, EventKind},
    exec::msr::DEBUGCTL_BTF,
    fault::{Exception, Exec},
};
use x86_spec::{
    cr::{dr6, rflags},
    vector,
};

/// Bits of [`attention`] under which the run loop executes single instructions.
pub(crate) const STEP: u32 = attention::TRAP | attention::SHADOW | attention::BREAKPOINT | attention::VMX;

/// Blocking by STI, in [`Cpu::blocking`].
pub(crate) const BLOCKING_STI: u32 = 1 << 0;
/// Blocking by MOV SS and POP SS.
pub(crate) const BLOCKING_MOV_SS: u32 = 1 << 1;
/// Blocking by NMI.
pub(crate) const BLOCKING_NMI: u32 = 1 << 3;
/// The shadow of one instruction over the next.
pub(crate) const SHADOWS: u32 = BLOCKING_STI | BLOCKING_MOV_SS;

/// Bit 12 of the pending debug exceptions: a data or I/O breakpoint that is enabled was met.
pub(crate) const PENDING_ENABLED_BREAKPOINT: u64 = 1 << 12;
/// Bits of the pending debug exceptions that make one really pending.
const PENDING_REAL: u64 = PENDING_ENABLED_BREAKPOINT | dr6::BS | dr6::RTM;

/// The places among the events of a boundary at which VMX has something to say. SDM 3C: "Other Causes of VM Exits",
/// "Relative Priority of Faults and VM Exits".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before debug traps: pending MTF VM exits, APIC-write and TPR-below-threshold VM exits.
    MonitorTrap,
    /// After debug traps and before NMIs: the preemption timer, then NMI-window exits.
    Timer,
    /// After NMIs and before external interrupts: interrupt-window exits, then virtual interrupts.
    InterruptWindow,
}

/// What the run loop does after a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Execute: blocks, or one instruction while one of [`STEP`] is set in [`Cpu::attention`].
    Go,
    /// An event was delivered, or a VM exit done: count one against the budget (a guest can make events for ever without
    /// completing an instruction) and look again.
    Again,
    /// The CPU is halted (or waits for a SIPI) and nothing wakes it now.
    Idle,
    /// The CPU is shut down.
    Shutdown,
    /// A device asked to stop.
    Stop,
}

impl Cpu {
    /// Recomputes [`Cpu::attention`] from the state it follows from. Call it after changing RFLAGS.TF/IF as a whole, DR7,
    /// the activity state, blocking, pending events, or VMX controls.
    pub(crate) fn attention_changed(&mut self) {
        self.next_interrupt();
        let mut bits = self.attention & attention::STOP;
        if self.nmi_ready() || self.interrupt_ready().is_some() {
            bits |= attention::INTERRUPT;
        }
        if self.sysflags & (rflags::TF | rflags::RF) != 0 || self.pending_dbg != 0 {
            bits |= attention::TRAP;
        }
        if self.blocking & SHADOWS != 0 {
            bits |= attention::SHADOW;
        }
        if self.activity != Activity::Active {
            bits |= attention::INACTIVE;
        }
        if self.vmx_attention() {
            bits |= attention::VMX;
        }
        if self.instruction_breakpoints() {
            bits |= attention::BREAKPOINT;
        }
        self.attention = bits;
    }

    /// Looks between two instructions. SDM 3A: "Priority Among Concurrent Events".
    ///
    /// An error is that of [`Cpu::take`].
    pub(crate) fn boundary(&mut self) -> Exec<Next> {
        if self.attention & attention::STOP != 0 {
            self.attention &= !attention::STOP;
            return Ok(Next::Stop);
        }
        if self.activity == Activity::Shutdown && !self.vmx.non_root {
            return Ok(Next::Shutdown);
        }
        // The states that listen to nothing but a few signals, which exit.
        let awake = matches!(self.activity, Activity::Active | Activity::Hlt);
        if self.vmx_boundary(Stage::MonitorTrap)? {
            return Ok(Next::Again);
        }
        if awake && self.debug_trap()? {
            return Ok(Next::Again);
        }
        if self.vmx_boundary(Stage::Timer)? {
            return Ok(Next::Again);
        }
        if self.activity != Activity::WaitForSipi && self.nmi()? {
            return Ok(Next::Again);
        }
        if self.vmx_boundary(Stage::InterruptWindow)? {
            return Ok(Next::Again);
        }
        if awake && self.external_interrupt()? {
            return Ok(Next::Again);
        }
        if self.activity != Activity::Active {
            return Ok(Next::Idle);
        }
        if self.instruction_breakpoint()? {
            return Ok(Next::Again);
        }
        Ok(Next::Go)
    }

    /// Before an instruction that is executed alone.
    pub(crate) fn step_begins(&mut self) {
        self.step_tf = self.sysflags & rflags::TF != 0;
        self.step_rf = self.sysflags & rflags::RF != 0;
        self.step_shadow = self.blocking & SHADOWS;
        self.step_branch = false;
    }

    /// After an instruction that was executed alone and completed, or one iteration of it; not after one that ended in an
    /// event or in a switch to or from VMX non-root operation.
    pub(crate) fn step_ended(&mut self) {
        // SDM 3B: "Single-Stepping on Branches".
        if self.step_tf && (self.step_branch || self.msr.debugctl & DEBUGCTL_BTF == 0) {
            self.pending_dbg |= dr6::BS;
        }
        if self.step_rf {
            self.sysflags &= !rflags::RF;
        }
        self.blocking &= !self.step_shadow;
        (self.step_tf, self.step_rf, self.step_shadow) = (false, false, 0);
        self.attention_changed();
    }

    /// An external interrupt arrives. Those that wait are taken from the highest vector down, each of them once, as a local
    /// APIC holds them.
    pub fn interrupt(&mut self, vector: u8) {
        for vector in self.intr_pending.take().into_iter().chain([vector]) {
            self.intr_queue[usize::from(vector >> 6)] |= 1 << (vector & 63);
        }
        self.attention_changed();
    }

    /// Puts the highest vector of the queue forward where none is.
    fn next_interrupt(&mut self) {
        if self.intr_pending.is_some() {
            return;
        }
        for (n, word) in self.intr_queue.iter_mut().enumerate().rev() {
            if let Some(bit) = word.checked_ilog2() {
                *word &= !(1 << bit);
                self.intr_pending = Some((n as u32 * 64 + bit) as u8);
                return;
            }
        }
    }

    /// An NMI arrives.
    pub fn signal_nmi(&mut self) {
        self.nmi_pending = true;
        self.attention_changed();
    }

    /// Traps that the instruction before left: single step, data breakpoints.
    fn debug_trap(&mut self) -> Exec<bool> {
        if self.pending_dbg & PENDING_REAL == 0 || self.blocking & BLOCKING_MOV_SS != 0 {
            return Ok(false);
        }
        let info = self.pending_dbg & (0xf | dr6::BS | dr6::BT);
        self.pending_dbg = 0;
        self.raise(Exception { vector: vector::DB, error: None, info, software_len: 0 })?;
        Ok(true)
    }

    /// Whether an NMI waits and is not blocked.
    fn nmi_ready(&self) -> bool {
        let blocked = if self.vmx_virtual_nmis() { BLOCKING_MOV_SS } else { BLOCKING_MOV_SS | BLOCKING_NMI };
        self.nmi_pending && self.blocking & blocked == 0
    }

    fn nmi(&mut self) -> Exec<bool> {
        if !self.nmi_ready() {
            return Ok(false);
        }
        self.nmi_pending = false;
        let event = Event { vector: vector::NMI, kind: EventKind::Nmi, error: None, len: 0 };
        if !self.interrupt_exits(event)? {
            self.take(event)?;
        }
        self.attention_changed();
        Ok(true)
    }

    /// The external interrupt that waits and is not blocked. CR8 holds up the classes up to its value, as the local APIC
    /// would.
    fn interrupt_ready(&self) -> Option<u8> {
        let enabled = self.sysflags & rflags::IF != 0 || self.vmx_takes_interrupts();
        self.intr_pending
            .filter(|_| enabled && self.blocking & SHADOWS == 0)
            .filter(|vector| self.platform || u64::from(vector >> 4) > self.cr8)
    }

    fn external_interrupt(&mut self) -> Exec<bool> {
        let Some(vector) = self.interrupt_ready() else {
            return Ok(false);
        };
        if self.posted_interrupt(vector) {
            return Ok(true);
        }
        let event = Event { vector, kind: EventKind::External, error: None, len: 0 };
        if !self.interrupt_exits(event)? {
            if self.sysflags & rflags::IF == 0 {
                return Ok(false);
            }
            self.acknowledge(vector);
            self.take(event)?;
        }
        self.attention_changed();
        Ok(true)
    }

    /// Whether DR7 enables a breakpoint on instructions.
    fn instruction_breakpoints(&self) -> bool {
        (0..4).any(|n| self.breakpoint_kind(n) == Some(0))
    }

    /// The R/W field of breakpoint `n`, if it is enabled.
    pub(crate) fn breakpoint_kind(&self, n: u32) -> Option<u64> {
        let dr7 = self.dr[7];
        (dr7 >> (2 * n) & 3 != 0).then_some(dr7 >> (16 + 4 * n) & 3)
    }

    /// SDM 3B: "Instruction-Breakpoint Exception Condition".
    fn instruction_breakpoint(&mut self) -> Exec<bool> {
        if self.sysflags & rflags::RF != 0 || self.blocking & BLOCKING_MOV_SS != 0 {
            return Ok(false);
        }
        let linear = self.seg_base[seg::CS].wrapping_add(self.rip);
        let linear = if self.long64() { linear } else { linear & 0xffff_ffff };
        let hit = (0..4)
            .filter(|&n| self.breakpoint_kind(n) == Some(0) && self.dr[n as usize & 3] == linear)
            .fold(0, |bits, n| bits | 1 << n);
        if hit == 0 {
            return Ok(false);
        }
        self.raise(Exception { vector: vector::DB, error: None, info: hit, software_len: 0 })?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
