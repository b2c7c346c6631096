//! SSE arithmetic on floats: scalar and packed, comparisons, conversions, rounding.
//!
//! Results, MXCSR flags and unmasked exceptions are exact in every rounding mode (see `soft`), with two remarks. When an
//! unmasked exception is found before computing (IE, DE, ZE) no flag of computed results (OE, UE, PE) is set, also none of
//! other lanes. RCPPS, RSQRTPS and their scalars are
//! approximations whose tables are not public: here the result is rounded to 12 bits.

use super::{
    Handler,
    feature::Feature,
    flag::sign_extend,
    soft::{self, DE, Env, F32, F64, Format, IE, TRUNCATE, ZE},
    sse::{Align, lane, vector},
    vex::{halves, is_vex, plain},
};
use crate::{Cpu, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic};
use std::cmp::Ordering;
use x86_spec::{
    cr::{cr4, rflags},
    vector as exception,
};

/// An operation: exactly, and as the host does it where that is the same.
struct Op {
    soft: fn(Format, &mut Env, u64, u64) -> u64,
    single: fn(f32, f32) -> f32,
    double: fn(f64, f64) -> f64,
}

const ADD: Op = Op { soft: soft::add, single: |a, b| a + b, double: |a, b| a + b };
const SUB: Op = Op { soft: soft::sub, single: |a, b| a - b, double: |a, b| a - b };
const MUL: Op = Op { soft: soft::mul, single: |a, b| a * b, double: |a, b| a * b };
const DIV: Op = Op { soft: soft::div, single: |a, b| a / b, double: |a, b| a / b };

impl Op {
    #[inline]
    fn run<const BITS: u32>(&self, env: &mut Env, a: u64, b: u64) -> u64 {
        let f = format::<BITS>();
        if env.plain() && f.is_plain(a) && f.is_plain(b) {
            let result = if BITS == 32 {
                u64::from((self.single)(f32::from_bits(a as u32), f32::from_bits(b as u32)).to_bits())
            } else {
                (self.double)(f64::from_bits(a), f64::from_bits(b)).to_bits()
            };
            if f.is_plain(result) {
                return result;
            }
        }
        (self.soft)(f, env, a, b)
    }
}

const fn format<const BITS: u32>() -> Format {
    if BITS == 32 { F32 } else { F64 }
}

fn square_root<const BITS: u32>(env: &mut Env, a: u64) -> u64 {
    let f = format::<BITS>();
    if env.plain() && f.is_plain(a) && a & f.sign() == 0 {
        return if BITS == 32 {
            u64::from(f32::from_bits(a as u32).sqrt().to_bits())
        } else {
            f64::from_bits(a).sqrt().to_bits()
        };
    }
    soft::sqrt(f, env, a)
}

/// Handlers of the packed and the scalar form of an operation on destination and source.
macro_rules! both {
    (packed $bits:literal, $f:expr) => {
        |cpu, insn| packed::<$bits>(cpu, insn, $f)
    };
    (scalar $bits:literal, $f:expr) => {
        |cpu, insn| scalar::<$bits>(cpu, insn, $f)
    };
}

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    if insn.is_string_instruction() {
        return None;
    }
    arithmetic(insn).or_else(|| compare(insn)).or_else(|| conversion(insn)).or_else(|| newer(insn))
}

fn arithmetic(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Addps => both!(packed 32, |e, a, b| ADD.run::<32>(e, a, b)),
        Mnemonic::Addpd => both!(packed 64, |e, a, b| ADD.run::<64>(e, a, b)),
        Mnemonic::Addss => both!(scalar 32, |e, a, b| ADD.run::<32>(e, a, b)),
        Mnemonic::Addsd => both!(scalar 64, |e, a, b| ADD.run::<64>(e, a, b)),
        Mnemonic::Subps => both!(packed 32, |e, a, b| SUB.run::<32>(e, a, b)),
        Mnemonic::Subpd => both!(packed 64, |e, a, b| SUB.run::<64>(e, a, b)),
        Mnemonic::Subss => both!(scalar 32, |e, a, b| SUB.run::<32>(e, a, b)),
        Mnemonic::Subsd => both!(scalar 64, |e, a, b| SUB.run::<64>(e, a, b)),
        Mnemonic::Mulps => both!(packed 32, |e, a, b| MUL.run::<32>(e, a, b)),
        Mnemonic::Mulpd => both!(packed 64, |e, a, b| MUL.run::<64>(e, a, b)),
        Mnemonic::Mulss => both!(scalar 32, |e, a, b| MUL.run::<32>(e, a, b)),
        Mnemonic::Mulsd => both!(scalar 64, |e, a, b| MUL.run::<64>(e, a, b)),
        Mnemonic::Divps => both!(packed 32, |e, a, b| DIV.run::<32>(e, a, b)),
        Mnemonic::Divpd => both!(packed 64, |e, a, b| DIV.run::<64>(e, a, b)),
        Mnemonic::Divss => both!(scalar 32, |e, a, b| DIV.run::<32>(e, a, b)),
        Mnemonic::Divsd => both!(scalar 64, |e, a, b| DIV.run::<64>(e, a, b)),
        Mnemonic::Minps => both!(packed 32, |e, a, b| soft::min(F32, e, a, b)),
        Mnemonic::Minpd => both!(packed 64, |e, a, b| soft::min(F64, e, a, b)),
        Mnemonic::Minss => both!(scalar 32, |e, a, b| soft::min(F32, e, a, b)),
        Mnemonic::Minsd => both!(scalar 64, |e, a, b| soft::min(F64, e, a, b)),
        Mnemonic::Maxps => both!(packed 32, |e, a, b| soft::max(F32, e, a, b)),
        Mnemonic::Maxpd => both!(packed 64, |e, a, b| soft::max(F64, e, a, b)),
        Mnemonic::Maxss => both!(scalar 32, |e, a, b| soft::max(F32, e, a, b)),
        Mnemonic::Maxsd => both!(scalar 64, |e, a, b| soft::max(F64, e, a, b)),
        Mnemonic::Sqrtps => both!(packed 32, |e, _, b| square_root::<32>(e, b)),
        Mnemonic::Sqrtpd => both!(packed 64, |e, _, b| square_root::<64>(e, b)),
        Mnemonic::Sqrtss => both!(scalar 32, |e, _, b| square_root::<32>(e, b)),
        Mnemonic::Sqrtsd => both!(scalar 64, |e, _, b| square_root::<64>(e, b)),
        Mnemonic::Rcpps => |cpu, insn| packed::<32>(cpu, insn, |_, _, b| approximate(b, |x| 1.0 / x)),
        Mnemonic::Rcpss => |cpu, insn| scalar::<32>(cpu, insn, |_, _, b| approximate(b, |x| 1.0 / x)),
        Mnemonic::Rsqrtps => {
            |cpu, insn| packed::<32>(cpu, insn, |_, _, b| approximate(b, |x| 1.0 / x.sqrt()))
        }
        Mnemonic::Rsqrtss => {
            |cpu, insn| scalar::<32>(cpu, insn, |_, _, b| approximate(b, |x| 1.0 / x.sqrt()))
        }
        _ => return None,
    })
}

/// RCPPS, RSQRTPS: the result rounded to 12 bits. Processors give what their tables have, within 1.5 * 2^-12 of the result.
/// Denormals count as zeros, and no exception is noted.
fn approximate(value: u64, f: impl Fn(f64) -> f64) -> u64 {
    let x = f32::from_bits(value as u32);
    if x.is_nan() {
        return value | 1 << 22;
    }
    let x = if x.is_subnormal() { 0f32.copysign(x) } else { x };
    let result = f(x.into());
    if result.is_nan() {
        return F32.indefinite();
    }
    if !result.is_finite() || result == 0.0 {
        return u64::from((result as f32).to_bits());
    }
    // To nearest at bit 11 of the fraction; the bits of a double carry into its exponent.
    let bits = result.to_bits().wrapping_add(1 << 40) & !((1 << 41) - 1);
    let rounded = f64::from_bits(bits) as f32;
    u64::from(if rounded.is_subnormal() { 0f32.copysign(rounded) } else { rounded }.to_bits())
}

fn compare(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Cmpps => |cpu, insn| {
            let predicate = insn.immediate8() & if is_vex(insn) { 31 } else { 7 };
            packed::<32>(cpu, insn, |e, a, b| holds(F32, e, a, b, predicate))
        },
        Mnemonic::Cmppd => |cpu, insn| {
            let predicate = insn.immediate8() & if is_vex(insn) { 31 } else { 7 };
            packed::<64>(cpu, insn, |e, a, b| holds(F64, e, a, b, predicate))
        },
        Mnemonic::Cmpss => |cpu, insn| {
            let predicate = insn.immediate8() & if is_vex(insn) { 31 } else { 7 };
            scalar::<32>(cpu, insn, |e, a, b| holds(F32, e, a, b, predicate))
        },
        Mnemonic::Cmpsd => |cpu, insn| {
            let predicate = insn.immediate8() & if is_vex(insn) { 31 } else { 7 };
            scalar::<64>(cpu, insn, |e, a, b| holds(F64, e, a, b, predicate))
        },
        Mnemonic::Comiss => |cpu, insn| to_flags::<32>(cpu, insn, true),
        Mnemonic::Comisd => |cpu, insn| to_flags::<64>(cpu, insn, true),
        Mnemonic::Ucomiss => |cpu, insn| to_flags::<32>(cpu, insn, false),
        Mnemonic::Ucomisd => |cpu, insn| to_flags::<64>(cpu, insn, false),
        _ => return None,
    })
}

fn conversion(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Cvtsi2ss => from_gpr::<32>,
        Mnemonic::Cvtsi2sd => from_gpr::<64>,
        Mnemonic::Cvtss2si => to_gpr::<32, false>,
        Mnemonic::Cvtsd2si => to_gpr::<64, false>,
        Mnemonic::Cvttss2si => to_gpr::<32, true>,
        Mnemonic::Cvttsd2si => to_gpr::<64, true>,
        Mnemonic::Cvtss2sd => |cpu, insn| resize::<32, 64>(cpu, insn),
        Mnemonic::Cvtsd2ss => |cpu, insn| resize::<64, 32>(cpu, insn),
        Mnemonic::Cvtps2pd => |cpu, insn| map::<32, 64>(cpu, insn, |e, v| soft::convert(F32, F64, e, v)),
        Mnemonic::Cvtpd2ps => |cpu, insn| map::<64, 32>(cpu, insn, |e, v| soft::convert(F64, F32, e, v)),
        Mnemonic::Cvtdq2ps => {
            |cpu, insn| map::<32, 32>(cpu, insn, |e, v| soft::from_int(F32, e, i64::from(v as i32)))
        }
        Mnemonic::Cvtdq2pd => {
            |cpu, insn| map::<32, 64>(cpu, insn, |e, v| soft::from_int(F64, e, i64::from(v as i32)))
        }
        Mnemonic::Cvtps2dq => |cpu, insn| {
            map::<32, 32>(cpu, insn, |e, v| {
                let rounding = e.rounding;
                soft::to_int(F32, e, v, 32, rounding) as u64
            })
        },
        Mnemonic::Cvttps2dq => {
            |cpu, insn| map::<32, 32>(cpu, insn, |e, v| soft::to_int(F32, e, v, 32, TRUNCATE) as u64)
        }
        Mnemonic::Cvtpd2dq => |cpu, insn| {
            map::<64, 32>(cpu, insn, |e, v| {
                let rounding = e.rounding;
                soft::to_int(F64, e, v, 32, rounding) as u64
            })
        },
        Mnemonic::Cvttpd2dq => {
            |cpu, insn| map::<64, 32>(cpu, insn, |e, v| soft::to_int(F64, e, v, 32, TRUNCATE) as u64)
        }
        _ => return None,
    })
}

/// SSE3 and SSE4.1.
fn newer(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Addsubps => |cpu, insn| alternate::<32>(cpu, insn),
        Mnemonic::Addsubpd => |cpu, insn| alternate::<64>(cpu, insn),
        Mnemonic::Haddps => |cpu, insn| horizontal::<32>(cpu, insn, &ADD),
        Mnemonic::Haddpd => |cpu, insn| horizontal::<64>(cpu, insn, &ADD),
        Mnemonic::Hsubps => |cpu, insn| horizontal::<32>(cpu, insn, &SUB),
        Mnemonic::Hsubpd => |cpu, insn| horizontal::<64>(cpu, insn, &SUB),
        Mnemonic::Roundps => |cpu, insn| {
            cpu.need(Feature::Sse41)?;
            let control = insn.immediate8();
            packed::<32>(cpu, insn, |e, _, b| round::<32>(e, b, control))
        },
        Mnemonic::Roundpd => |cpu, insn| {
            cpu.need(Feature::Sse41)?;
            let control = insn.immediate8();
            packed::<64>(cpu, insn, |e, _, b| round::<64>(e, b, control))
        },
        Mnemonic::Roundss => |cpu, insn| {
            cpu.need(Feature::Sse41)?;
            let control = insn.immediate8();
            scalar::<32>(cpu, insn, |e, _, b| round::<32>(e, b, control))
        },
        Mnemonic::Roundsd => |cpu, insn| {
            cpu.need(Feature::Sse41)?;
            let control = insn.immediate8();
            scalar::<64>(cpu, insn, |e, _, b| round::<64>(e, b, control))
        },
        Mnemonic::Dpps => |cpu, insn| dot_product::<32>(cpu, insn),
        Mnemonic::Dppd => |cpu, insn| dot_product::<64>(cpu, insn),
        _ => return None,
    })
}

impl Cpu {
    /// Puts the exception flags of an operation into MXCSR; an unmasked one is #XM, or #UD without CR4.OSXMMEXCPT. Call it
    /// before the destination is written.
    pub(super) fn collect(&mut self, env: &Env) -> Exec {
        let unmasked = env.flags & !env.masks;
        let before = IE | DE | ZE;
        self.fpu.mxcsr |= if unmasked & before != 0 { env.flags & before } else { env.flags };
        if unmasked == 0 {
            return Ok(());
        }
        if self.cr4 & cr4::OSXMMEXCPT == 0 { Err(self.ud()) } else { Err(self.fault(exception::XM, None)) }
    }
}

/// An operation on each pair of lanes.
fn each<const BITS: u32>(a: u128, b: u128, mut f: impl FnMut(u64, u64) -> u64) -> u128 {
    (0..128 / BITS)
        .fold(0, |result, n| result | u128::from(f(lane::<BITS>(a, n), lane::<BITS>(b, n))) << (n * BITS))
}

fn packed<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(&mut Env, u64, u64) -> u64) -> Exec {
    cpu.halves_env(insn, |env, a, b| each::<BITS>(a, b, |a, b| f(env, a, b)))
}

/// What a vector becomes when its low lane is replaced.
fn with_low<const BITS: u32>(a: u128, value: u64) -> u128 {
    let low = u128::MAX >> (128 - BITS);
    a & !low | u128::from(value) & low
}

fn scalar<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(&mut Env, u64, u64) -> u64) -> Exec {
    let (a, b) = cpu.scalars(insn)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let result = f(&mut env, lane::<BITS>(a, 0), lane::<BITS>(b, 0));
    cpu.collect(&env)?;
    cpu.set_vector(insn, with_low::<BITS>(a, result));
    Ok(())
}

/// CVTSS2SD, CVTSD2SS.
fn resize<const FROM: u32, const TO: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let (a, b) = cpu.scalars(insn)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let result = soft::convert(format::<FROM>(), format::<TO>(), &mut env, lane::<FROM>(b, 0));
    cpu.collect(&env)?;
    cpu.set_vector(insn, with_low::<TO>(a, result));
    Ok(())
}

/// Converts as many lanes as both widths have room for; what is left of the destination becomes 0.
fn map<const FROM: u32, const TO: u32>(
    cpu: &mut Cpu,
    insn: &Instruction,
    f: impl Fn(&mut Env, u64) -> u64,
) -> Exec {
    let vex = is_vex(insn);
    let b = if vex {
        cpu.avx(insn)?;
        cpu.read_wide(insn, 1)?
    } else {
        cpu.sse()?;
        [cpu.read_sse(insn, 1, Align::Checked)?, 0]
    };
    let mut env = Env::new(cpu.fpu.mxcsr);
    let mut result = [0; 2];
    let count = if vex { halves(insn) as u32 } else { 1 } * 128 / FROM.max(TO);
    for n in 0..count {
        let from = b[(n * FROM / 128) as usize & 1];
        let value = f(&mut env, lane::<FROM>(from, n % (128 / FROM))) & u64::MAX >> (64 - TO);
        result[(n * TO / 128) as usize & 1] |= u128::from(value) << (n * TO % 128);
    }
    cpu.collect(&env)?;
    if vex {
        cpu.set_wide(insn.op0_register(), result)
    } else {
        cpu.set_xmm(insn.op0_register(), result[0])
    }
    Ok(())
}

/// Which outcomes (less 1, equal 2, greater 4, unordered 8) each predicate of VCMPPS and its like is true for; those from 16
/// on are the same.
const PREDICATES: [u8; 16] = [2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15];

/// A predicate of CMPPS and its like: all ones or zeros.
fn holds(f: Format, env: &mut Env, a: u64, b: u64, predicate: u8) -> u64 {
    // LT, LE, GE, GT and their negations signal; in the second half those that do not in the first.
    let signal = matches!(predicate & 3, 1 | 2) != (predicate & 16 != 0);
    let outcome = match soft::compare(f, env, a, b, signal) {
        Some(Ordering::Less) => 1,
        Some(Ordering::Equal) => 2,
        Some(Ordering::Greater) => 4,
        None => 8,
    };
    let holds = PREDICATES[usize::from(predicate & 15)] & outcome != 0;
    if holds { u64::MAX >> (64 - f.bits()) } else { 0 }
}

/// COMISS, UCOMISS and their like.
fn to_flags<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, signal: bool) -> Exec {
    cpu.enabled(insn)?;
    let b = cpu.read_sse(insn, 1, Align::Any)?;
    let a = cpu.xmm(insn.op0_register());
    let mut env = Env::new(cpu.fpu.mxcsr);
    let order = soft::compare(format::<BITS>(), &mut env, lane::<BITS>(a, 0), lane::<BITS>(b, 0), signal);
    cpu.collect(&env)?;
    cpu.flags = Flags::from_bits(match order {
        None => rflags::ZF | rflags::PF | rflags::CF,
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => rflags::CF,
        Some(Ordering::Equal) => rflags::ZF,
    });
    Ok(())
}

fn from_gpr<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    let (n, rest) = if is_vex(insn) { (2, insn.op1_register()) } else { (1, insn.op0_register()) };
    let size = cpu.operand_size(insn, n);
    let value = sign_extend(cpu.read_operand(insn, n)?, size) as i64;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let result = soft::from_int(format::<BITS>(), &mut env, value);
    cpu.collect(&env)?;
    cpu.set_vector(insn, with_low::<BITS>(cpu.xmm(rest), result));
    Ok(())
}

fn to_gpr<const BITS: u32, const CUT: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    let value = lane::<BITS>(cpu.read_sse(insn, 1, Align::Any)?, 0);
    let bits = 8 * cpu.operand_size(insn, 0) as u32;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let rounding = if CUT { TRUNCATE } else { env.rounding };
    let result = soft::to_int(format::<BITS>(), &mut env, value, bits, rounding);
    cpu.collect(&env)?;
    cpu.set_reg(insn.op0_register(), result as u64);
    Ok(())
}

/// ROUNDSS and its like: the immediate says the rounding mode (bit 2: that of MXCSR) and whether PE stays away (bit 3).
fn round<const BITS: u32>(env: &mut Env, value: u64, control: u8) -> u64 {
    let rounding = if control & 4 != 0 { env.rounding } else { u32::from(control & 3) };
    soft::round_int(format::<BITS>(), env, value, rounding, control & 8 != 0)
}

/// ADDSUBPS, ADDSUBPD: subtracts in even lanes, adds in odd ones.
fn alternate<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Sse3)?;
    cpu.halves_env(insn, |env, a, b| {
        let mut odd = true;
        each::<BITS>(a, b, |a, b| {
            odd = !odd;
            if odd { ADD.run::<BITS>(env, a, b) } else { SUB.run::<BITS>(env, a, b) }
        })
    })
}

/// HADDPS and its like: neighbours of the destination give the low half, those of the source the high half.
fn horizontal<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, op: &Op) -> Exec {
    cpu.need(Feature::Sse3)?;
    let half = 64 / BITS;
    cpu.halves_env(insn, |env, a, b| {
        (0..128 / BITS).fold(0, |result, n| {
            let (from, at) = if n < half { (a, 2 * n) } else { (b, 2 * (n - half)) };
            let value = op.run::<BITS>(env, lane::<BITS>(from, at), lane::<BITS>(from, at + 1));
            result | u128::from(value) << (n * BITS)
        })
    })
}

/// DPPS, DPPD: products that bits 7:4 of the immediate choose, summed in pairs, to the lanes that bits 3:0 choose.
fn dot_product<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Sse41)?;
    let imm = u32::from(insn.immediate8());
    cpu.halves_env(insn, |env, a, b| {
        let mut product = |n: u32| {
            if imm >> (4 + n) & 1 == 0 {
                return 0;
            }
            MUL.run::<BITS>(env, lane::<BITS>(a, n), lane::<BITS>(b, n))
        };
        let (first, second) = (product(0), product(1));
        let rest = (BITS == 32).then(|| (product(2), product(3)));
        let mut sum = ADD.run::<BITS>(env, first, second);
        if let Some((third, fourth)) = rest {
            let other = ADD.run::<BITS>(env, third, fourth);
            sum = ADD.run::<BITS>(env, sum, other);
        }
        vector::<BITS>(|n| if imm >> n & 1 != 0 { sum } else { 0 })
    })
}
