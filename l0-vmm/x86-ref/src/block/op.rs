//! Ops: instructions as threaded code.
//!
//! Each op is a function that does its work and calls the next one in tail position, where the optimiser makes a jump of
//! it (`cfg(chain)`, set by the build script). Nothing guarantees that, so nothing depends on it: without optimisation
//! a block ends by returning to the run loop, and a test runs 100 million instructions on a small stack.
//! Three things keep the calls jumps: one signature for all, no locals with destructors, no address of a local taken.
//!
//! An op comes in two forms. The *fast* one only looks at the TLB and has no cold code that would need a stack frame; if it
//! fails, nothing has changed, and the *full* one does everything again: segment checks, page walk, devices, faults.

use super::cache::{Block, Code};
use crate::{
    Cpu,
    cpu::gpr,
    fault::{Exec, Halt},
};
use std::cell::Cell;

/// What executes an op: the processor, all code, the op, and the ops behind it in its block.
pub(crate) type Run = for<'a> fn(&mut Cpu, &'a Code, &'a Op, &'a [Op]);

/// One decoded instruction.
pub(crate) struct Op {
    pub run: Run,
    /// Immediate; target of a direct branch; index of a slow op in its table.
    pub imm: u64,
    /// Displacement; for branches, where the instruction behind is, relative to the start of the block.
    pub disp: i32,
    /// Numbers of registers; [`gpr::ZERO`] for none.
    pub dst: u8,
    pub src: u8,
    pub base: u8,
    pub index: u8,
    /// How an address is made: bits 1:0 shift of the index, 3:2 address size (see [`ADDRESS_MASKS`]), 6:4 segment.
    pub shape: u8,
    /// Instructions from here to the end of the block, this one included.
    pub left: u8,
    /// RIP relative to the start of the block.
    pub offset: u16,
    /// Blocks that this one goes on with; 0 is none.
    pub link: [Cell<u16>; 2],
}

/// Masks of effective addresses: 16, 32 and 64 bits.
pub(crate) const ADDRESS_MASKS: [u64; 4] = [0xffff, 0xffff_ffff, u64::MAX, u64::MAX];

/// How a chain of ops came back to the run loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// Go on at RIP; side `side` of the last op of that block may be linked to what is found there.
    Link { block: u16, side: u8 },
    /// Go on at RIP.
    Lookup,
    /// An instruction did not complete: [`Cpu::why`]. RIP is that of the instruction.
    Halted,
}

/// The next op of the block.
#[inline(always)]
pub(super) fn next<'a>(cpu: &mut Cpu, code: &'a Code, rest: &'a [Op]) {
    if let Some((op, rest)) = rest.split_first() {
        (op.run)(cpu, code, op, rest)
    }
}

/// An op that faulted.
#[cold]
#[inline(never)]
pub(super) fn fault(cpu: &mut Cpu, op: &Op) {
    cpu.rip = cpu.rip.wrapping_add(u64::from(op.offset));
    cpu.budget += i64::from(op.left);
    cpu.out = Out::Halted;
}

/// Leaves the block behind an op that is not its last, because something wants attention.
#[cold]
#[inline(never)]
pub(super) fn leave(cpu: &mut Cpu, rest: &[Op]) {
    if let Some(next) = rest.first() {
        cpu.rip = cpu.rip.wrapping_add(u64::from(next.offset));
        cpu.budget += i64::from(next.left);
    }
    cpu.out = Out::Lookup;
}

/// What an op does, in its fast form and in full. It changes nothing before the last thing that may fail.
pub(super) trait Body {
    /// What has the full form: the same op, with an address of any kind.
    type Full: Body;

    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec;
}

/// The fast form of an op, then the next one.
pub(super) fn fast<'a, B: Body>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    match B::exec::<true>(cpu, op) {
        Ok(()) => next(cpu, code, rest),
        Err(Halt) => full::<B::Full>(cpu, code, op, rest),
    }
}

/// The full form of an op, then the next one.
#[cold]
#[inline(never)]
pub(super) fn full<'a, B: Body>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    match B::exec::<false>(cpu, op) {
        // A device or a data breakpoint may have something to say before the next instruction.
        Ok(()) if cpu.attention != 0 => leave(cpu, rest),
        Ok(()) => next(cpu, code, rest),
        Err(Halt) => fault(cpu, op),
    }
}

/// Where an op that ends a block goes on.
pub(super) enum Way {
    /// By link 0.
    Taken,
    /// By link 1.
    Behind,
    /// Wherever RIP says.
    Anywhere,
}

/// What an op that ends a block does: it sets RIP.
pub(super) trait End {
    /// What has the full form: the same op, with an address of any kind.
    type Full: End;

    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way>;
}

/// The fast form of an op that ends a block. The ways out must stay apart as real branches to different functions: a link
/// that is selected by data would hold up everything behind it.
pub(super) fn fast_end<'a, E: End>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    match E::exec::<true>(cpu, op) {
        Ok(Way::Taken) => chain::<0>(cpu, code, op, rest),
        Ok(Way::Behind) => chain::<1>(cpu, code, op, rest),
        Ok(Way::Anywhere) => chain::<ANYWHERE>(cpu, code, op, rest),
        Err(Halt) => full_end::<E::Full>(cpu, code, op, rest),
    }
}

/// The full form of an op that ends a block.
#[cold]
#[inline(never)]
pub(super) fn full_end<'a, E: End>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    match E::exec::<false>(cpu, op) {
        Ok(Way::Taken) => chain::<0>(cpu, code, op, rest),
        Ok(Way::Behind) => chain::<1>(cpu, code, op, rest),
        Ok(Way::Anywhere) => chain::<ANYWHERE>(cpu, code, op, rest),
        Err(Halt) => fault(cpu, op),
    }
}

/// [`chain`] by RIP instead of a link.
pub(super) const ANYWHERE: usize = 2;

/// Goes on in the next block, if it is known, may run, fits into the budget, and nothing wants attention.
#[inline(never)]
pub(super) fn chain<'a, const WAY: usize>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    let block = target::<WAY>(cpu, code, op);
    let known = block.stamp.get() == cpu.mem.stamp && (WAY != ANYWHERE || block.rip == cpu.rip);
    if cfg!(chain)
        && known
        && cpu.attention == 0
        && cpu.budget >= block.count
        && let Some((op, rest)) = block.ops.split_first()
    {
        cpu.budget -= block.count;
        cpu.r[gpr::RIP] = cpu.rip;
        return (op.run)(cpu, code, op, rest);
    }
    missed::<WAY>(cpu, code, op, rest)
}

#[inline(always)]
fn target<'a, const WAY: usize>(cpu: &Cpu, code: &'a Code, op: &Op) -> &'a Block {
    match WAY {
        ANYWHERE => code.recent(cpu.rip),
        way => code.block(op.link[way].get()),
    }
}

/// The next block is not known, or not in this state of the address space; or it is not its turn.
#[cold]
#[inline(never)]
fn missed<'a, const WAY: usize>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    let block = target::<WAY>(cpu, code, op);
    let stale = block.stamp.get() != cpu.mem.stamp;
    if stale && block.rip == cpu.rip && cpu.revalidate(block) {
        return chain::<WAY>(cpu, code, op, rest);
    }
    cpu.out = match WAY {
        ANYWHERE => Out::Lookup,
        // Ops that end blocks with links have the number of their block here.
        way => Out::Link { block: u16::from_le_bytes([op.base, op.index]), side: way as u8 },
    };
}

/// An instruction that is executed by a function of `exec`, inside a block.
pub(super) fn slow<'a>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    if call(cpu, code, op).is_err() {
        return;
    }
    cpu.rip = cpu.rip.wrapping_sub(u64::from(op.offset));
    if cpu.attention != 0 {
        return leave(cpu, rest);
    }
    next(cpu, code, rest)
}

/// An instruction that is executed by a function of `exec`, behind which the world may be another.
pub(super) fn slow_after<'a>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    if call(cpu, code, op).is_err() {
        return;
    }
    cpu.rip = cpu.rip.wrapping_sub(u64::from(op.offset)).wrapping_add(op.disp as u64);
    chain::<0>(cpu, code, op, rest)
}

/// An instruction that is executed by a function of `exec` and sets RIP.
pub(super) fn slow_flow<'a>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    if call(cpu, code, op).is_err() {
        return;
    }
    chain::<ANYWHERE>(cpu, code, op, rest)
}

/// Calls the function of a slow op, with RIP and the clock as they are at the instruction.
#[inline(never)]
fn call(cpu: &mut Cpu, code: &Code, op: &Op) -> Exec {
    cpu.rip = cpu.rip.wrapping_add(u64::from(op.offset));
    cpu.ahead = i64::from(op.left);
    let done = match code.slow(op.imm) {
        Some((handler, insn)) => handler(cpu, insn),
        None => Err(cpu.unsupported("an op without its instruction")),
    };
    cpu.ahead = 0;
    if done.is_err() {
        // RIP is that of the instruction, or that of another world.
        cpu.budget += i64::from(op.left);
        cpu.out = Out::Halted;
    }
    done
}
