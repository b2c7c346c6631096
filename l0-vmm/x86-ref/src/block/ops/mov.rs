//! MOV, MOVZX, MOVSX, LEA, CMOVcc, SETcc, XCHG of registers, and the extensions of RAX.

use super::{ANY, LONG, Reach, Simple, effective, load, pick, put, reg, simple, store};
use crate::{
    Cpu,
    block::{
        op::{Body, Op, Run},
        plain::condition,
    },
    cpu::gpr,
    fault::Exec,
    flags::{cut, extend},
};

struct Rr<const S: usize>;
struct Ri<const S: usize>;
struct Rm<const S: usize, const A: u8>;
struct Mr<const S: usize, const A: u8>;
struct Mi<const S: usize, const A: u8>;

impl<const S: usize> Simple for Rr<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        put::<S>(cpu, op.dst, reg(cpu, op.src));
    }
}

impl<const S: usize> Simple for Ri<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        put::<S>(cpu, op.dst, op.imm);
    }
}

impl<const S: usize, const A: u8> Body for Rm<S, A> {
    type Full = Rm<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        let value = load::<S, A, FAST>(cpu, op)?;
        put::<S>(cpu, op.dst, value);
        Ok(())
    }
}

impl<const S: usize, const A: u8> Body for Mr<S, A> {
    type Full = Mr<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        store::<S, A, FAST>(cpu, op, reg(cpu, op.src))
    }
}

impl<const S: usize, const A: u8> Body for Mi<S, A> {
    type Full = Mi<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        store::<S, A, FAST>(cpu, op, op.imm)
    }
}

/// MOV between registers.
pub(in crate::block) fn rr(size: usize) -> Run {
    match size {
        1 => simple::<Rr<1>>,
        2 => simple::<Rr<2>>,
        4 => simple::<Rr<4>>,
        _ => simple::<Rr<8>>,
    }
}

/// MOV of an immediate to a register.
pub(in crate::block) fn ri(size: usize) -> Run {
    match size {
        1 => simple::<Ri<1>>,
        2 => simple::<Ri<2>>,
        4 => simple::<Ri<4>>,
        _ => simple::<Ri<8>>,
    }
}

/// MOV of memory to a register.
pub(in crate::block) fn rm(size: usize, reach: Reach) -> Run {
    match size {
        1 => pick::<Rm<1, LONG>, Rm<1, ANY>>(reach),
        2 => pick::<Rm<2, ANY>, Rm<2, ANY>>(reach),
        4 => pick::<Rm<4, LONG>, Rm<4, ANY>>(reach),
        _ => pick::<Rm<8, LONG>, Rm<8, ANY>>(reach),
    }
}

/// MOV of a register to memory.
pub(in crate::block) fn mr(size: usize, reach: Reach) -> Run {
    match size {
        1 => pick::<Mr<1, LONG>, Mr<1, ANY>>(reach),
        2 => pick::<Mr<2, ANY>, Mr<2, ANY>>(reach),
        4 => pick::<Mr<4, LONG>, Mr<4, ANY>>(reach),
        _ => pick::<Mr<8, LONG>, Mr<8, ANY>>(reach),
    }
}

/// MOV of an immediate to memory.
pub(in crate::block) fn mi(size: usize, reach: Reach) -> Run {
    match size {
        1 => pick::<Mi<1, LONG>, Mi<1, ANY>>(reach),
        2 => pick::<Mi<2, ANY>, Mi<2, ANY>>(reach),
        4 => pick::<Mi<4, LONG>, Mi<4, ANY>>(reach),
        _ => pick::<Mi<8, LONG>, Mi<8, ANY>>(reach),
    }
}

/// MOVZX, MOVSX, MOVSXD: `FROM` bytes, extended to `TO`.
struct ExtendR<const FROM: usize, const TO: usize, const SIGNED: bool>;
struct ExtendM<const FROM: usize, const TO: usize, const SIGNED: bool, const A: u8>;

#[inline(always)]
fn extended<const FROM: usize, const SIGNED: bool>(value: u64) -> u64 {
    if SIGNED { extend::<FROM>(value) } else { cut::<FROM>(value) }
}

impl<const FROM: usize, const TO: usize, const SIGNED: bool> Simple for ExtendR<FROM, TO, SIGNED> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        put::<TO>(cpu, op.dst, extended::<FROM, SIGNED>(reg(cpu, op.src)));
    }
}

impl<const FROM: usize, const TO: usize, const SIGNED: bool, const A: u8> Body
    for ExtendM<FROM, TO, SIGNED, A>
{
    type Full = ExtendM<FROM, TO, SIGNED, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        let value = load::<FROM, A, FAST>(cpu, op)?;
        put::<TO>(cpu, op.dst, extended::<FROM, SIGNED>(value));
        Ok(())
    }
}

/// MOVZX and MOVSX of a register, from 1, 2 or 4 bytes to 4 or 8.
pub(in crate::block) fn extend_r(from: usize, to: usize, signed: bool) -> Run {
    match (from, to, signed) {
        (1, _, false) => simple::<ExtendR<1, 8, false>>,
        (_, _, false) => simple::<ExtendR<2, 8, false>>,
        (1, 4, true) => simple::<ExtendR<1, 4, true>>,
        (1, _, true) => simple::<ExtendR<1, 8, true>>,
        (2, 4, true) => simple::<ExtendR<2, 4, true>>,
        (2, _, true) => simple::<ExtendR<2, 8, true>>,
        (_, _, true) => simple::<ExtendR<4, 8, true>>,
    }
}

/// Of memory.
pub(in crate::block) fn extend_m(from: usize, to: usize, signed: bool, reach: Reach) -> Run {
    match (from, to, signed) {
        (1, _, false) => pick::<ExtendM<1, 8, false, LONG>, ExtendM<1, 8, false, ANY>>(reach),
        (_, _, false) => pick::<ExtendM<2, 8, false, LONG>, ExtendM<2, 8, false, ANY>>(reach),
        (1, 4, true) => pick::<ExtendM<1, 4, true, LONG>, ExtendM<1, 4, true, ANY>>(reach),
        (1, _, true) => pick::<ExtendM<1, 8, true, LONG>, ExtendM<1, 8, true, ANY>>(reach),
        (2, 4, true) => pick::<ExtendM<2, 4, true, LONG>, ExtendM<2, 4, true, ANY>>(reach),
        (2, _, true) => pick::<ExtendM<2, 8, true, LONG>, ExtendM<2, 8, true, ANY>>(reach),
        (_, _, true) => pick::<ExtendM<4, 8, true, LONG>, ExtendM<4, 8, true, ANY>>(reach),
    }
}

struct Lea<const S: usize, const A: u8>;

impl<const S: usize, const A: u8> Simple for Lea<S, A> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        put::<S>(cpu, op.dst, effective::<A>(cpu, op));
    }
}

/// LEA; `long`: a 64-bit address.
pub(in crate::block) fn lea(size: usize, long: bool) -> Run {
    match (size, long) {
        (2, _) => simple::<Lea<2, ANY>>,
        (4, true) => simple::<Lea<4, LONG>>,
        (4, false) => simple::<Lea<4, ANY>>,
        (_, true) => simple::<Lea<8, LONG>>,
        (_, false) => simple::<Lea<8, ANY>>,
    }
}

/// CMOVcc between registers.
struct Cmov<const CC: u8, const S: usize>;
/// CMOVcc from memory; the condition is in the immediate.
struct CmovM<const S: usize, const A: u8>;
/// SETcc of a register.
struct Set<const CC: u8>;

impl<const CC: u8, const S: usize> Simple for Cmov<CC, S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        let from = if cpu.flags.condition::<CC>() { op.src } else { op.dst };
        put::<S>(cpu, op.dst, reg(cpu, from));
    }
}

impl<const S: usize, const A: u8> Body for CmovM<S, A> {
    type Full = CmovM<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec {
        let value = load::<S, A, FAST>(cpu, op)?;
        let met = condition(cpu.flags, op.imm as u8);
        put::<S>(cpu, op.dst, if met { value } else { reg(cpu, op.dst) });
        Ok(())
    }
}

impl<const CC: u8> Simple for Set<CC> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        put::<1>(cpu, op.dst, u64::from(cpu.flags.condition::<CC>()));
    }
}

/// A function pointer for each condition.
macro_rules! conditions {
    ($cc:expr, $f:ident, $t:ident $(, $size:literal)?) => {
        match $cc {
            0 => $f::<$t<0 $(, $size)?>>,
            1 => $f::<$t<1 $(, $size)?>>,
            2 => $f::<$t<2 $(, $size)?>>,
            3 => $f::<$t<3 $(, $size)?>>,
            4 => $f::<$t<4 $(, $size)?>>,
            5 => $f::<$t<5 $(, $size)?>>,
            6 => $f::<$t<6 $(, $size)?>>,
            7 => $f::<$t<7 $(, $size)?>>,
            8 => $f::<$t<8 $(, $size)?>>,
            9 => $f::<$t<9 $(, $size)?>>,
            10 => $f::<$t<10 $(, $size)?>>,
            11 => $f::<$t<11 $(, $size)?>>,
            12 => $f::<$t<12 $(, $size)?>>,
            13 => $f::<$t<13 $(, $size)?>>,
            14 => $f::<$t<14 $(, $size)?>>,
            _ => $f::<$t<15 $(, $size)?>>,
        }
    };
}
pub(super) use conditions;

/// CMOVcc between registers of 4 or 8 bytes.
pub(in crate::block) fn cmov(cc: u8, size: usize) -> Run {
    if size == 4 { conditions!(cc, simple, Cmov, 4) } else { conditions!(cc, simple, Cmov, 8) }
}

/// CMOVcc from memory.
pub(in crate::block) fn cmov_m(size: usize, reach: Reach) -> Run {
    match size {
        4 => pick::<CmovM<4, LONG>, CmovM<4, ANY>>(reach),
        _ => pick::<CmovM<8, LONG>, CmovM<8, ANY>>(reach),
    }
}

/// SETcc of a register.
pub(in crate::block) fn set(cc: u8) -> Run {
    conditions!(cc, simple, Set)
}

struct Xchg<const S: usize>;

impl<const S: usize> Simple for Xchg<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, op: &Op) {
        let (a, b) = (reg(cpu, op.dst), reg(cpu, op.src));
        put::<S>(cpu, op.dst, b);
        put::<S>(cpu, op.src, a);
    }
}

/// XCHG of registers of 4 or 8 bytes.
pub(in crate::block) fn xchg(size: usize) -> Run {
    if size == 4 { simple::<Xchg<4>> } else { simple::<Xchg<8>> }
}

/// CWDE (4) and CDQE (8); CDQ and CQO.
struct Widen<const S: usize>;
struct Spread<const S: usize>;

impl<const S: usize> Simple for Widen<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, _: &Op) {
        let a = cpu.r[gpr::RAX];
        put::<S>(cpu, gpr::RAX as u8, if S == 4 { extend::<2>(a) } else { extend::<4>(a) });
    }
}

impl<const S: usize> Simple for Spread<S> {
    #[inline(always)]
    fn exec(cpu: &mut Cpu, _: &Op) {
        let sign = (extend::<S>(cpu.r[gpr::RAX]) as i64 >> 63) as u64;
        put::<S>(cpu, gpr::RDX as u8, sign);
    }
}

/// CWDE, CDQE.
pub(in crate::block) fn widen(size: usize) -> Run {
    if size == 4 { simple::<Widen<4>> } else { simple::<Widen<8>> }
}

/// CDQ, CQO.
pub(in crate::block) fn spread(size: usize) -> Run {
    if size == 4 { simple::<Spread<4>> } else { simple::<Spread<8>> }
}
