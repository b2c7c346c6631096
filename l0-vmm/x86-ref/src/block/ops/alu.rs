//! Operations with two operands, with one, and IMUL.

use super::{ANY, LONG, Reach, Simple, checked, linear, load, pick, put, reg, simple};
use crate::{
    Cpu,
    block::op::{Body, Op, Run},
    fault::{Exec, Halt},
    flags::{Flags, alu, binary, extend, one, unary},
    mem::Mode,
};

/// Whether the operation writes its first operand.
const fn writes(o: u8) -> bool {
    o != alu::CMP && o != alu::TEST
}

/// `FLAGS` is false where nobody looks at the flags before they are written again.
struct Rr<const O: u8, const S: usize, const FLAGS: bool>;
struct Ri<const O: u8, const S: usize, const FLAGS: bool>;
struct Rm<const O: u8, const S: usize, const A: u8>;
struct Mr<const O: u8, const S: usize, const A: u8>;
struct Mi<const O: u8, const S: usize, const A: u8>;

#[inline(always)]
fn registers<const O: u8, const S: usize, const FLAGS: bool>(cpu: &mut Cpu, op: &Op, b: u64) {
    let (result, flags) = binary::<O, S>(reg(cpu, op.dst), b, cpu.flags);
    if writes(O) {
        put::<S>(cpu, op.dst, result);
    }
    if FLAGS {
        cpu.flags = flags;
    }
}

impl<const O: u8, const S: usize, const FLAGS: bool> Simple for Rr<O, S, FLAGS> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        registers::<O, S, FLAGS>(cpu, op, reg(cpu, op.src));
    }
}

impl<const O: u8, const S: usize, const FLAGS: bool> Simple for Ri<O, S, FLAGS> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        registers::<O, S, FLAGS>(cpu, op, op.imm);
    }
}

impl<const O: u8, const S: usize, const A: u8> Body for Rm<O, S, A> {
    type Full = Rm<O, S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        let b = load::<S, A, FAST>(cpu, op)?;
        registers::<O, S, true>(cpu, op, b);
        Ok(())
    }
}

/// An operation whose first operand is in memory.
#[inline(always)]
fn memory<const O: u8, const S: usize, const A: u8, const FAST: bool>(
    cpu: &mut Cpu,
    op: &Op,
    b: u64,
) -> Exec {
    if !writes(O) {
        let a = load::<S, A, FAST>(cpu, op)?;
        cpu.flags = binary::<O, S>(a, b, cpu.flags).1;
        return Ok(());
    }
    modify::<S, A, FAST>(cpu, op, |a, flags| binary::<O, S>(a, b, flags))
}

/// Reads a memory operand, writes what becomes of it, and sets flags.
#[inline(always)]
fn modify<const S: usize, const A: u8, const FAST: bool>(
    cpu: &mut Cpu,
    op: &Op,
    operation: impl FnOnce(u64, Flags) -> (u64, Flags),
) -> Exec {
    if FAST {
        let Some(slot) = cpu.mem.tlb.slot::<S>(linear::<A>(cpu, op)) else { return Err(Halt) };
        let (result, flags) = operation(slot.load(), cpu.flags);
        slot.store(result);
        cpu.flags = flags;
        return Ok(());
    }
    let linear = checked::<S>(cpu, op, true)?;
    cpu.probe_write(linear, S, Mode::Data)?;
    let a = cpu.read_sized::<S>(linear, Mode::Data)?;
    let (result, flags) = operation(a, cpu.flags);
    cpu.write_sized::<S>(linear, result, Mode::Data)?;
    cpu.flags = flags;
    Ok(())
}

impl<const O: u8, const S: usize, const A: u8> Body for Mr<O, S, A> {
    type Full = Mr<O, S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        memory::<O, S, A, FAST>(cpu, op, reg(cpu, op.src))
    }
}

impl<const O: u8, const S: usize, const A: u8> Body for Mi<O, S, A> {
    type Full = Mi<O, S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        memory::<O, S, A, FAST>(cpu, op, op.imm)
    }
}

/// The forms of one operation.
struct Forms<const O: u8>;

/// Calls a function with the operation as a constant.
macro_rules! by_operation {
    ($o:expr, $f:ident($($arg:expr),*)) => {
        match $o {
            alu::ADD => Forms::<{ alu::ADD }>::$f($($arg),*),
            alu::OR => Forms::<{ alu::OR }>::$f($($arg),*),
            alu::ADC => Forms::<{ alu::ADC }>::$f($($arg),*),
            alu::SBB => Forms::<{ alu::SBB }>::$f($($arg),*),
            alu::AND => Forms::<{ alu::AND }>::$f($($arg),*),
            alu::SUB => Forms::<{ alu::SUB }>::$f($($arg),*),
            alu::XOR => Forms::<{ alu::XOR }>::$f($($arg),*),
            alu::CMP => Forms::<{ alu::CMP }>::$f($($arg),*),
            _ => Forms::<{ alu::TEST }>::$f($($arg),*),
        }
    };
}

impl<const O: u8> Forms<O> {
    fn rr(size: usize, flags: bool) -> Run {
        match (size, flags) {
            (1, _) => simple::<Rr<O, 1, true>>,
            (2, _) => simple::<Rr<O, 2, true>>,
            (4, true) => simple::<Rr<O, 4, true>>,
            (4, false) => simple::<Rr<O, 4, false>>,
            (_, true) => simple::<Rr<O, 8, true>>,
            (_, false) => simple::<Rr<O, 8, false>>,
        }
    }

    fn ri(size: usize, flags: bool) -> Run {
        match (size, flags) {
            (1, _) => simple::<Ri<O, 1, true>>,
            (2, _) => simple::<Ri<O, 2, true>>,
            (4, true) => simple::<Ri<O, 4, true>>,
            (4, false) => simple::<Ri<O, 4, false>>,
            (_, true) => simple::<Ri<O, 8, true>>,
            (_, false) => simple::<Ri<O, 8, false>>,
        }
    }

    fn rm(size: usize, reach: Reach) -> Run {
        match size {
            1 => pick::<Rm<O, 1, LONG>, Rm<O, 1, ANY>>(reach),
            2 => pick::<Rm<O, 2, ANY>, Rm<O, 2, ANY>>(reach),
            4 => pick::<Rm<O, 4, LONG>, Rm<O, 4, ANY>>(reach),
            _ => pick::<Rm<O, 8, LONG>, Rm<O, 8, ANY>>(reach),
        }
    }

    fn mr(size: usize, reach: Reach) -> Run {
        match size {
            1 => pick::<Mr<O, 1, LONG>, Mr<O, 1, ANY>>(reach),
            2 => pick::<Mr<O, 2, ANY>, Mr<O, 2, ANY>>(reach),
            4 => pick::<Mr<O, 4, LONG>, Mr<O, 4, ANY>>(reach),
            _ => pick::<Mr<O, 8, LONG>, Mr<O, 8, ANY>>(reach),
        }
    }

    fn mi(size: usize, reach: Reach) -> Run {
        match size {
            1 => pick::<Mi<O, 1, LONG>, Mi<O, 1, ANY>>(reach),
            2 => pick::<Mi<O, 2, ANY>, Mi<O, 2, ANY>>(reach),
            4 => pick::<Mi<O, 4, LONG>, Mi<O, 4, ANY>>(reach),
            _ => pick::<Mi<O, 8, LONG>, Mi<O, 8, ANY>>(reach),
        }
    }
}

/// Operation `o` of [`alu`] on two registers.
pub(in crate::block) fn rr(o: u8, size: usize, flags: bool) -> Run {
    by_operation!(o, rr(size, flags))
}

/// On a register and an immediate.
pub(in crate::block) fn ri(o: u8, size: usize, flags: bool) -> Run {
    by_operation!(o, ri(size, flags))
}

/// On a register and memory.
pub(in crate::block) fn rm(o: u8, size: usize, reach: Reach) -> Run {
    by_operation!(o, rm(size, reach))
}

/// On memory and a register.
pub(in crate::block) fn mr(o: u8, size: usize, reach: Reach) -> Run {
    by_operation!(o, mr(size, reach))
}

/// On memory and an immediate.
pub(in crate::block) fn mi(o: u8, size: usize, reach: Reach) -> Run {
    by_operation!(o, mi(size, reach))
}

/// INC, DEC, NEG, NOT of a register.
struct OneR<const O: u8, const S: usize, const FLAGS: bool>;
/// Of memory.
struct OneM<const O: u8, const S: usize, const A: u8>;

impl<const O: u8, const S: usize, const FLAGS: bool> Simple for OneR<O, S, FLAGS> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        let (result, flags) = one::<O, S>(reg(cpu, op.dst), cpu.flags);
        put::<S>(cpu, op.dst, result);
        if FLAGS {
            cpu.flags = flags;
        }
    }
}

impl<const O: u8, const S: usize, const A: u8> Body for OneM<O, S, A> {
    type Full = OneM<O, S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        modify::<S, A, FAST>(cpu, op, one::<O, S>)
    }
}

fn one_r<const O: u8>(size: usize, flags: bool) -> Run {
    match (size, flags) {
        (1, _) => simple::<OneR<O, 1, true>>,
        (2, _) => simple::<OneR<O, 2, true>>,
        (4, true) => simple::<OneR<O, 4, true>>,
        (4, false) => simple::<OneR<O, 4, false>>,
        (_, true) => simple::<OneR<O, 8, true>>,
        (_, false) => simple::<OneR<O, 8, false>>,
    }
}

fn one_m<const O: u8>(size: usize, reach: Reach) -> Run {
    match size {
        1 => pick::<OneM<O, 1, LONG>, OneM<O, 1, ANY>>(reach),
        2 => pick::<OneM<O, 2, ANY>, OneM<O, 2, ANY>>(reach),
        4 => pick::<OneM<O, 4, LONG>, OneM<O, 4, ANY>>(reach),
        _ => pick::<OneM<O, 8, LONG>, OneM<O, 8, ANY>>(reach),
    }
}

/// Operation `o` of [`unary`] on a register.
pub(in crate::block) fn unary_r(o: u8, size: usize, flags: bool) -> Run {
    match o {
        unary::INC => one_r::<{ unary::INC }>(size, flags),
        unary::DEC => one_r::<{ unary::DEC }>(size, flags),
        unary::NEG => one_r::<{ unary::NEG }>(size, flags),
        _ => one_r::<{ unary::NOT }>(size, flags),
    }
}

/// On memory.
pub(in crate::block) fn unary_m(o: u8, size: usize, reach: Reach) -> Run {
    match o {
        unary::INC => one_m::<{ unary::INC }>(size, reach),
        unary::DEC => one_m::<{ unary::DEC }>(size, reach),
        unary::NEG => one_m::<{ unary::NEG }>(size, reach),
        _ => one_m::<{ unary::NOT }>(size, reach),
    }
}

/// IMUL of two registers; of a register and an immediate.
struct MulRr<const S: usize>;
struct MulRi<const S: usize>;
/// IMUL of a register and memory.
struct MulRm<const S: usize, const A: u8>;

#[inline(always)]
fn multiply<const S: usize>(cpu: &mut Cpu, op: &Op, a: u64, b: u64) {
    let (a, b) = (extend::<S>(a) as i64, extend::<S>(b) as i64);
    let (result, overflow) = if S == 8 {
        a.overflowing_mul(b)
    } else {
        let product = a.wrapping_mul(b);
        (product, extend::<S>(product as u64) != product as u64)
    };
    put::<S>(cpu, op.dst, result as u64);
    // CF and OF alike.
    cpu.flags = Flags { res: extend::<S>(result as u64), aux: u64::from(overflow) << 63 };
}

impl<const S: usize> Simple for MulRr<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        multiply::<S>(cpu, op, reg(cpu, op.dst), reg(cpu, op.src));
    }
}

impl<const S: usize> Simple for MulRi<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        multiply::<S>(cpu, op, reg(cpu, op.src), op.imm);
    }
}

impl<const S: usize, const A: u8> Body for MulRm<S, A> {
    type Full = MulRm<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        let b = load::<S, A, FAST>(cpu, op)?;
        multiply::<S>(cpu, op, reg(cpu, op.dst), b);
        Ok(())
    }
}

/// IMUL of two registers of 4 or 8 bytes.
pub(in crate::block) fn imul_rr(size: usize) -> Run {
    if size == 4 { simple::<MulRr<4>> } else { simple::<MulRr<8>> }
}

/// IMUL of a register and an immediate into a third.
pub(in crate::block) fn imul_ri(size: usize) -> Run {
    if size == 4 { simple::<MulRi<4>> } else { simple::<MulRi<8>> }
}

/// IMUL of a register and memory.
pub(in crate::block) fn imul_rm(size: usize, reach: Reach) -> Run {
    match size {
        4 => pick::<MulRm<4, LONG>, MulRm<4, ANY>>(reach),
        _ => pick::<MulRm<8, LONG>, MulRm<8, ANY>>(reach),
    }
}
