//! PUSH and POP of registers and immediates, LEAVE: 8 bytes in 64-bit code, 4 in 32-bit code with a 32-bit stack.

use super::reg;
use crate::{
    Cpu,
    block::op::{Body, Op, Run, fast, full},
    cpu::{gpr, seg},
    fault::{Exec, Halt},
    mem::Mode,
};

/// Linear address of a stack pointer whose segment needs no look.
#[inline(always)]
fn linear<const S: usize>(cpu: &Cpu, rsp: u64) -> u64 {
    if S == 8 { rsp } else { cpu.seg_base[seg::SS].wrapping_add(rsp) & 0xffff_ffff }
}

/// The stack pointer moved.
#[inline(always)]
fn moved<const S: usize>(rsp: u64, by: i64) -> u64 {
    let rsp = rsp.wrapping_add(by as u64);
    if S == 8 { rsp } else { rsp & 0xffff_ffff }
}

/// Pushes `S` bytes.
#[inline(always)]
pub(super) fn push<const S: usize, const FAST: bool>(cpu: &mut Cpu, value: u64) -> Exec {
    let rsp = moved::<S>(cpu.r[gpr::RSP], -(S as i64));
    if FAST {
        if !cpu.mem.tlb.store::<S>(linear::<S>(cpu, rsp), value) {
            return Err(Halt);
        }
    } else {
        let linear = cpu.linear(seg::SS, rsp, S, true)?;
        cpu.write_sized::<S>(linear, value, Mode::Data)?;
    }
    cpu.r[gpr::RSP] = rsp;
    Ok(())
}

/// What is at a stack pointer.
#[inline(always)]
pub(super) fn top<const S: usize, const FAST: bool>(cpu: &mut Cpu, rsp: u64) -> Exec<u64> {
    let rsp = moved::<S>(rsp, 0);
    if FAST {
        return cpu.mem.tlb.load::<S>(linear::<S>(cpu, rsp)).ok_or(Halt);
    }
    let linear = cpu.linear(seg::SS, rsp, S, false)?;
    cpu.read_sized::<S>(linear, Mode::Data)
}

/// Moves the stack pointer up.
#[inline(always)]
pub(super) fn release<const S: usize>(cpu: &mut Cpu, bytes: u64) {
    cpu.r[gpr::RSP] = moved::<S>(cpu.r[gpr::RSP], bytes as i64);
}

struct PushR<const S: usize>;
struct PushI<const S: usize>;
struct PopR<const S: usize>;
struct Leave<const S: usize>;

impl<const S: usize> Body for PushR<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        push::<S, FAST>(cpu, reg(cpu, op.src))
    }
}

impl<const S: usize> Body for PushI<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        push::<S, FAST>(cpu, op.imm)
    }
}

impl<const S: usize> Body for PopR<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        let value = top::<S, FAST>(cpu, cpu.r[gpr::RSP])?;
        release::<S>(cpu, S as u64);
        // POP RSP gets what was on the stack.
        super::put::<S>(cpu, op.dst, value);
        Ok(())
    }
}

impl<const S: usize> Body for Leave<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, _: &Op) -> Exec {
        let frame = cpu.r[gpr::RBP];
        let value = top::<S, FAST>(cpu, frame)?;
        cpu.r[gpr::RSP] = moved::<S>(frame, S as i64);
        super::put::<S>(cpu, gpr::RBP as u8, value);
        Ok(())
    }
}

/// The form for 8 or 4 bytes, with or without a look at the segment.
macro_rules! form {
    ($t:ident, $size:expr, $checked:expr) => {
        match ($size, $checked) {
            (8, false) => fast::<$t<8>>,
            (8, true) => full::<$t<8>>,
            (_, false) => fast::<$t<4>>,
            (_, true) => full::<$t<4>>,
        }
    };
}

/// PUSH of a register.
pub(in crate::block) fn push_r(size: usize, checked: bool) -> Run {
    form!(PushR, size, checked)
}

/// PUSH of an immediate.
pub(in crate::block) fn push_i(size: usize, checked: bool) -> Run {
    form!(PushI, size, checked)
}

/// POP of a register.
pub(in crate::block) fn pop_r(size: usize, checked: bool) -> Run {
    form!(PopR, size, checked)
}

/// LEAVE.
pub(in crate::block) fn leave(size: usize, checked: bool) -> Run {
    form!(Leave, size, checked)
}
