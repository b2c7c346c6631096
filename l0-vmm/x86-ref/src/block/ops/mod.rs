//! The ops, and what they share: registers, addresses, memory.
//!
//! The forms are named by their operands: `Rr` register with register, `Ri` with immediate, `Rm` with memory, `Mr` and `Mi`
//! memory first. `S` is the operand size in bytes, `A` how addresses are made.

pub(super) mod alu;
pub(super) mod branch;
pub(super) mod mov;
pub(super) mod shift;
pub(super) mod stack;

use super::{
    cache::Code,
    op::{ADDRESS_MASKS, Body, Op, Run, chain, fast, full, next},
};
use crate::{
    Cpu,
    fault::{Exec, Halt},
    mem::Mode,
};

/// 64-bit code and addresses without a segment base: nothing to add and nothing to cut.
pub(super) const LONG: u8 = 0;
/// Any other address: with its size and its segment.
pub(super) const ANY: u8 = 1;

/// A general-purpose register, all of it.
#[inline(always)]
pub(super) fn reg(cpu: &Cpu, number: u8) -> u64 {
    cpu.r[usize::from(number) % 32]
}

/// Writes `S` bytes of a register; 32-bit writes clear the upper half.
#[inline(always)]
pub(super) fn put<const S: usize>(cpu: &mut Cpu, number: u8, value: u64) {
    let at = &mut cpu.r[usize::from(number) % 32];
    match S {
        1 => *at = *at & !0xff | value & 0xff,
        2 => *at = *at & !0xffff | value & 0xffff,
        4 => *at = value & 0xffff_ffff,
        _ => *at = value,
    }
}

/// The effective address, before it is cut to its size.
#[inline(always)]
pub(super) fn sum(cpu: &Cpu, op: &Op) -> u64 {
    reg(cpu, op.base).wrapping_add(reg(cpu, op.index) << (op.shape & 3)).wrapping_add(op.disp as u64)
}

/// The effective address.
#[inline(always)]
pub(super) fn effective<const A: u8>(cpu: &Cpu, op: &Op) -> u64 {
    let sum = sum(cpu, op);
    if A == LONG { sum } else { sum & ADDRESS_MASKS[usize::from(op.shape >> 2) % 4] }
}

/// The linear address of a memory operand whose segment needs no look.
#[inline(always)]
pub(super) fn linear<const A: u8>(cpu: &Cpu, op: &Op) -> u64 {
    let offset = effective::<A>(cpu, op);
    if A == LONG {
        return offset;
    }
    offset.wrapping_add(cpu.seg_base[usize::from(op.shape >> 4) % 8]) & cpu.linear_mask
}

/// The linear address of a memory operand, with all checks of its segment.
pub(super) fn checked<const S: usize>(cpu: &mut Cpu, op: &Op, write: bool) -> Exec<u64> {
    let offset = effective::<ANY>(cpu, op);
    cpu.linear(usize::from(op.shape >> 4), offset, S, write)
}

/// Reads a memory operand.
#[inline(always)]
pub(super) fn load<const S: usize, const A: u8, const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<u64> {
    if FAST {
        return cpu.mem.tlb.load::<S>(linear::<A>(cpu, op)).ok_or(Halt);
    }
    let linear = checked::<S>(cpu, op, false)?;
    cpu.read_sized::<S>(linear, Mode::Data)
}

/// Writes a memory operand.
#[inline(always)]
pub(super) fn store<const S: usize, const A: u8, const FAST: bool>(
    cpu: &mut Cpu,
    op: &Op,
    value: u64,
) -> Exec {
    if FAST {
        return if cpu.mem.tlb.store::<S>(linear::<A>(cpu, op), value) { Ok(()) } else { Err(Halt) };
    }
    let linear = checked::<S>(cpu, op, true)?;
    cpu.write_sized::<S>(linear, value, Mode::Data)
}

/// An op on registers alone: it cannot fail.
pub(super) trait Simple {
    fn exec(cpu: &mut Cpu, op: &Op);
}

/// An op that cannot fail, then the next one.
pub(super) fn simple<'a, B: Simple>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    B::exec(cpu, op);
    next(cpu, code, rest)
}

/// How a memory operand is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// As [`LONG`].
    Long,
    /// As [`ANY`].
    Any,
    /// The segment needs a look each time: only the full form will do.
    Checked,
}

/// The form of an op with a memory operand.
pub(super) fn pick<L: Body, A: Body>(reach: Reach) -> Run {
    match reach {
        Reach::Long => fast::<L>,
        Reach::Any => fast::<A>,
        Reach::Checked => full::<A>,
    }
}

/// The end of a block that no instruction ends: goes on behind it.
pub(super) fn fall_through<'a>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    cpu.rip = cpu.rip.wrapping_add(op.disp as u64);
    chain::<0>(cpu, code, op, rest)
}
