//! Transcendental functions. Their results are approximate on every processor, and differ between processors in the last
//! place; here they come from series in 80-bit arithmetic, within a few units in the last place, and the same on every host.
//! Operands for which the manual says what comes are exact: zeros, infinities, NaNs, what is out of range.

use super::{
    soft::{self, Env, F80, PE, ZE},
    stack::C2,
};
use crate::{Cpu, exec::Handler, fault::Exec};
use iced_x86::{Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::F2xm1 => f2xm1,
        Mnemonic::Fyl2x => |cpu, insn| two(cpu, insn, logarithm),
        Mnemonic::Fyl2xp1 => |cpu, insn| two(cpu, insn, logarithm_of_more),
        Mnemonic::Fpatan => |cpu, insn| two(cpu, insn, arctangent),
        Mnemonic::Fsin => |cpu, insn| angle(cpu, insn, |s, _| (s, None)),
        Mnemonic::Fcos => |cpu, insn| angle(cpu, insn, |_, c| (c, None)),
        Mnemonic::Fsincos => |cpu, insn| angle(cpu, insn, |s, c| (s, Some(c))),
        Mnemonic::Fptan => |cpu, insn| angle(cpu, insn, |s, c| (quotient(s, c), Some(F80::ONE))),
        _ => return None,
    })
}

const LN2: F80 = F80::normal(-1, 0xb172_17f7_d1cf_79ac);
const HALF_PI: F80 = F80::normal(0, 0xc90f_daa2_2168_c235);
/// What the constant above is too large by.
const HALF_PI_EXCESS: F80 = F80::normal(-66, 0xece6_75d1_fc8f_8cbb);
/// Square root of 2.
const SQRT2: F80 = F80::normal(0, 0xb504_f333_f9de_6484);
const SQRT3: F80 = F80::normal(0, 0xddb3_d742_c265_539e);
const TAN_15_DEGREES: F80 = F80::normal(-2, 0x8930_a2f4_f66a_b18a);

/// Round to nearest, full precision, everything masked.
fn plain() -> Env {
    Env::new(0x37f)
}

fn sum(a: F80, b: F80) -> F80 {
    soft::add(&mut plain(), a, b)
}

fn difference(a: F80, b: F80) -> F80 {
    soft::sub(&mut plain(), a, b)
}

fn product(a: F80, b: F80) -> F80 {
    soft::mul(&mut plain(), a, b)
}

fn quotient(a: F80, b: F80) -> F80 {
    soft::div(&mut plain(), a, b)
}

fn less(a: F80, b: F80) -> bool {
    soft::compare(&mut plain(), a, b, false) == Some(std::cmp::Ordering::Less)
}

/// `first` + `first` * x / (d1) + ...: each term is the one before times `x` over a divisor, until it no longer counts.
fn series(first: F80, x: F80, divisor: impl Fn(i64) -> i64) -> F80 {
    let (mut term, mut total) = (first, first);
    for n in 1..40 {
        term = quotient(product(term, x), soft::from_int(divisor(n)));
        total = sum(total, term);
    }
    total
}

/// x - x^3/3 + x^5/5 ... (`x2` = -x*x), or with plus signs (`x2` = x*x).
fn odd_powers(x: F80, x2: F80) -> F80 {
    // Smallest terms first.
    (0..40)
        .rev()
        .fold(F80::zero(false), |rest, n| {
            sum(quotient(F80::ONE, soft::from_int(2 * n + 1)), product(rest, x2))
        })
        .mul_by(x)
}

impl F80 {
    fn mul_by(self, x: Self) -> Self {
        product(self, x)
    }

    fn magnitude(self) -> Self {
        Self { sign: false, ..self }
    }
}

fn f2xm1(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let Some(a) = cpu.st(0) else {
        if cpu.stack_underflow() {
            cpu.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    };
    let mut env = Env::full(cpu.fpu.fcw);
    let result = if let Some(nan) = env.nan_of(a, a) {
        nan
    } else if a.is_infinity() {
        if a.sign { F80::ONE.negated() } else { a }
    } else if a.is_zero() {
        a
    } else {
        env.note_denormals(a, a);
        env.flags |= PE;
        let y = product(a, LN2);
        series(y, y, |n| n + 1)
    };
    if cpu.x87_flags(env.flags, false) {
        cpu.set_st(0, result);
    }
    Ok(())
}

/// An operation on ST(1) and ST(0), in this order, whose result takes the place of both.
fn two(cpu: &mut Cpu, insn: &Instruction, f: fn(&mut Env, F80, F80) -> F80) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let result = match (cpu.st(1), cpu.st(0)) {
        (Some(y), Some(x)) => {
            let mut env = Env::full(cpu.fpu.fcw);
            let result = match env.nan_of(y, x) {
                Some(nan) => nan,
                None => f(&mut env, y, x),
            };
            cpu.x87_flags(env.flags, env.up).then_some(result)
        }
        _ => cpu.stack_underflow().then_some(F80::INDEFINITE),
    };
    if let Some(result) = result {
        cpu.set_st(1, result);
        cpu.pop_st();
    }
    Ok(())
}

/// Base-2 logarithm of a positive finite number.
fn log2(x: F80) -> F80 {
    let (mut e, m) = x.parts();
    let mut m = F80::normal(0, m);
    if less(SQRT2, m) {
        m = F80::normal(-1, m.significand);
        e += 1;
    }
    let s = quotient(difference(m, F80::ONE), sum(m, F80::ONE));
    sum(soft::from_int(i64::from(e)), natural(s))
}

/// 2 atanh(s) / ln 2.
fn natural(s: F80) -> F80 {
    let half = odd_powers(s, product(s, s));
    quotient(sum(half, half), LN2)
}

/// y log2(x).
fn logarithm(env: &mut Env, y: F80, x: F80) -> F80 {
    if x.sign && !x.is_zero() {
        return soft::div(env, F80::zero(false), F80::zero(false));
    }
    let above = less(F80::ONE, x);
    if x.is_zero() {
        if y.is_zero() {
            return soft::div(env, y, y);
        }
        if !y.is_infinity() {
            env.flags |= ZE;
        }
        return F80::infinity(!y.sign);
    }
    if x == F80::ONE {
        return soft::mul(env, y, F80::zero(false));
    }
    env.note_denormals(y, x);
    if x.is_infinity() || y.is_infinity() {
        let factor = F80 { sign: !above, ..F80::ONE };
        return soft::mul(env, y, if x.is_infinity() { x } else { factor });
    }
    if y.is_zero() {
        return F80::zero(y.sign == above);
    }
    let result = soft::mul(env, y, log2(x));
    env.flags |= PE;
    result
}

/// y log2(x + 1).
fn logarithm_of_more(env: &mut Env, y: F80, x: F80) -> F80 {
    if x.is_zero() || x.is_infinity() && !x.sign {
        return soft::mul(env, y, x);
    }
    if !less(F80::ONE.negated(), x) {
        return soft::div(env, F80::zero(false), F80::zero(false));
    }
    env.note_denormals(y, x);
    let two = F80::normal(1, F80::ONE.significand);
    let factor = if less(x.magnitude(), F80::normal(-1, F80::ONE.significand)) {
        natural(quotient(x, sum(two, x)))
    } else {
        log2(sum(F80::ONE, x))
    };
    let result = soft::mul(env, y, factor);
    if !y.is_zero() && !y.is_infinity() {
        env.flags |= PE;
    }
    result
}

/// Arctangent of a number from 0 to 1.
fn arctangent_of(t: F80) -> F80 {
    let reduce = less(TAN_15_DEGREES, t);
    let t = if reduce { quotient(difference(product(t, SQRT3), F80::ONE), sum(t, SQRT3)) } else { t };
    let angle = odd_powers(t, product(t, t).negated());
    if reduce { sum(angle, quotient(HALF_PI, soft::from_int(3))) } else { angle }
}

/// The angle of the point (x, y).
fn arctangent(env: &mut Env, y: F80, x: F80) -> F80 {
    let pi = F80::normal(1, HALF_PI.significand);
    let (ax, ay) = (x.magnitude(), y.magnitude());
    let signed = |v: F80| F80 { sign: y.sign, ..v };
    if y.is_zero() || x.is_infinity() && !y.is_infinity() {
        if !x.sign {
            return F80::zero(y.sign);
        }
        env.flags |= PE;
        return signed(pi);
    }
    env.flags |= PE;
    if x.is_infinity() {
        let quarter = F80::normal(-1, HALF_PI.significand);
        return signed(if x.sign { sum(HALF_PI, quarter) } else { quarter });
    }
    if y.is_infinity() || x.is_zero() {
        return signed(HALF_PI);
    }
    env.note_denormals(y, x);
    let angle = if less(ax, ay) {
        difference(HALF_PI, arctangent_of(quotient(ax, ay)))
    } else {
        arctangent_of(quotient(ay, ax))
    };
    signed(if x.sign { difference(pi, angle) } else { angle })
}

/// Sine and cosine of a finite number below 2^63.
fn sine_and_cosine(x: F80) -> (F80, F80) {
    let found = soft::remainder(&mut plain(), x, HALF_PI, true);
    let q = found.quotient.unwrap_or(0);
    let turns = F80 { sign: x.sign, ..soft::from_int((q >> 1) as i64) };
    let turns = sum(sum(turns, turns), F80 { sign: x.sign, ..soft::from_int((q & 1) as i64) });
    let r = sum(found.value, product(turns, HALF_PI_EXCESS));
    let square = product(r, r).negated();
    let sine = series(r, square, |n| 2 * n * (2 * n + 1));
    let cosine = series(F80::ONE, square, |n| 2 * n * (2 * n - 1));
    // Quarter turns: counted backwards for negative angles.
    match if x.sign { q.wrapping_neg() & 3 } else { q & 3 } {
        0 => (sine, cosine),
        1 => (cosine, sine.negated()),
        2 => (sine.negated(), cosine.negated()),
        _ => (cosine.negated(), sine),
    }
}

/// FSIN and its like: what takes the place of ST(0), and what is pushed. C2: the angle is out of range.
fn angle(cpu: &mut Cpu, insn: &Instruction, f: fn(F80, F80) -> (F80, Option<F80>)) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let pushes = matches!(insn.mnemonic(), Mnemonic::Fsincos | Mnemonic::Fptan);
    let full = pushes && cpu.st(7).is_some();
    let a = cpu.st(0);
    cpu.fpu.fsw &= !C2;
    let Some(a) = a.filter(|_| !full) else {
        let masked = if a.is_none() { cpu.stack_underflow() } else { cpu.stack_overflow() };
        if masked {
            cpu.set_st(0, F80::INDEFINITE);
            if pushes {
                cpu.push_st(F80::INDEFINITE);
            }
        }
        return Ok(());
    };
    let mut env = Env::full(cpu.fpu.fcw);
    let (result, pushed) = if let Some(nan) = env.nan_of(a, a) {
        (nan, pushes.then_some(nan))
    } else if a.is_infinity() {
        let indefinite = soft::sub(&mut env, a, a);
        (indefinite, pushes.then_some(indefinite))
    } else if a.is_zero() {
        f(a, F80::ONE)
    } else if a.exponent >= 0x3fff + 63 {
        cpu.x87_flags(0, false);
        cpu.fpu.fsw |= C2;
        return Ok(());
    } else {
        env.note_denormals(a, a);
        env.flags |= PE;
        let (sine, cosine) = sine_and_cosine(a);
        f(sine, cosine)
    };
    if cpu.x87_flags(env.flags, false) {
        cpu.set_st(0, result);
        if let Some(pushed) = pushed {
            cpu.push_st(pushed);
        }
    }
    Ok(())
}
