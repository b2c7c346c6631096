//! Shifts and rotations of registers.

use super::{Simple, put, reg, simple};
use crate::{
    Cpu,
    block::op::{Op, Run},
    cpu::gpr,
    flags::{shift, shifted},
};

/// By an immediate that is not 0 (masked).
struct Immediate<const O: u8, const S: usize, const FLAGS: bool>;
/// By CL.
struct ByCl<const O: u8, const S: usize>;

impl<const O: u8, const S: usize, const FLAGS: bool> Simple for Immediate<O, S, FLAGS> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        let (result, flags) = shifted::<O, S>(reg(cpu, op.dst), op.imm, cpu.flags);
        put::<S>(cpu, op.dst, result);
        if FLAGS {
            cpu.flags = flags;
        }
    }
}

impl<const O: u8, const S: usize> Simple for ByCl<O, S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        let (result, flags) = shifted::<O, S>(reg(cpu, op.dst), cpu.r[gpr::RCX], cpu.flags);
        put::<S>(cpu, op.dst, result);
        cpu.flags = flags;
    }
}

fn immediate_form<const O: u8>(size: usize, flags: bool) -> Run {
    match (size, flags) {
        (1, _) => simple::<Immediate<O, 1, true>>,
        (2, _) => simple::<Immediate<O, 2, true>>,
        (4, true) => simple::<Immediate<O, 4, true>>,
        (4, false) => simple::<Immediate<O, 4, false>>,
        (_, true) => simple::<Immediate<O, 8, true>>,
        (_, false) => simple::<Immediate<O, 8, false>>,
    }
}

fn cl_form<const O: u8>(size: usize) -> Run {
    match size {
        1 => simple::<ByCl<O, 1>>,
        2 => simple::<ByCl<O, 2>>,
        4 => simple::<ByCl<O, 4>>,
        _ => simple::<ByCl<O, 8>>,
    }
}

/// Operation `o` of [`shift`] on a register, by an immediate.
pub(in crate::block) fn immediate(o: u8, size: usize, flags: bool) -> Run {
    match o {
        shift::ROL => immediate_form::<{ shift::ROL }>(size, flags),
        shift::ROR => immediate_form::<{ shift::ROR }>(size, flags),
        shift::SHL => immediate_form::<{ shift::SHL }>(size, flags),
        shift::SHR => immediate_form::<{ shift::SHR }>(size, flags),
        _ => immediate_form::<{ shift::SAR }>(size, flags),
    }
}

/// By CL.
pub(in crate::block) fn by_cl(o: u8, size: usize) -> Run {
    match o {
        shift::ROL => cl_form::<{ shift::ROL }>(size),
        shift::ROR => cl_form::<{ shift::ROR }>(size),
        shift::SHL => cl_form::<{ shift::SHL }>(size),
        shift::SHR => cl_form::<{ shift::SHR }>(size),
        _ => cl_form::<{ shift::SAR }>(size),
    }
}
