//! Arithmetic of the x87 in its 80-bit format: every rounding mode, precision control, every exception flag, exact.
//!
//! SDM 1, "Programming with the x87 FPU": "x87 FPU Floating-Point Exception Conditions", "Operating on NaNs". Tininess is
//! detected after rounding. Operations collect flags in [`Env`]; what an unmasked one means for the destination is up to
//! the caller.

use std::cmp::Ordering;

/// Invalid operation.
pub(super) const IE: u16 = 1 << 0;
/// Denormal operand.
pub(super) const DE: u16 = 1 << 1;
/// Divide by zero.
pub(super) const ZE: u16 = 1 << 2;
/// Overflow.
pub(super) const OE: u16 = 1 << 3;
/// Underflow.
pub(super) const UE: u16 = 1 << 4;
/// Precision.
pub(super) const PE: u16 = 1 << 5;

/// Round to nearest, ties to even.
pub(super) const NEAREST: u16 = 0;
/// Round down.
const DOWN: u16 = 1;
/// Round up.
const UP: u16 = 2;
/// Round toward zero.
pub(super) const TRUNCATE: u16 = 3;

/// The leading bit of a significand, which the format spells out.
const ONE: u64 = 1 << 63;
/// The bit that makes a NaN quiet.
const QUIET: u64 = 1 << 62;
const TOP_EXPONENT: u16 = 0x7fff;
const BIAS: i32 = 0x3fff;
/// What the exponent of an unmasked overflow or underflow is moved by.
const WRAP: i32 = 24576;

/// A number in the 80-bit format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct F80 {
    pub sign: bool,
    /// Biased.
    pub exponent: u16,
    pub significand: u64,
}

impl F80 {
    /// What masked invalid operations give: "QNaN floating-point indefinite".
    pub const INDEFINITE: Self = Self { sign: true, exponent: TOP_EXPONENT, significand: ONE | QUIET };
    pub const ONE: Self = Self::normal(0, ONE);

    /// A positive number from its unbiased exponent and significand.
    pub const fn normal(exponent: i32, significand: u64) -> Self {
        Self { sign: false, exponent: (exponent + BIAS) as u16, significand }
    }

    pub const fn zero(sign: bool) -> Self {
        Self { sign, exponent: 0, significand: 0 }
    }

    pub const fn infinity(sign: bool) -> Self {
        Self { sign, exponent: TOP_EXPONENT, significand: ONE }
    }

    pub fn from_bits(bits: u128) -> Self {
        Self { sign: bits >> 79 & 1 != 0, exponent: (bits >> 64) as u16 & 0x7fff, significand: bits as u64 }
    }

    pub fn bits(self) -> u128 {
        u128::from(self.significand) | u128::from(self.exponent) << 64 | u128::from(self.sign) << 79
    }

    pub fn is_nan(self) -> bool {
        self.exponent == TOP_EXPONENT && self.significand & ONE != 0 && self.significand != ONE
    }

    pub fn is_signalling(self) -> bool {
        self.is_nan() && self.significand & QUIET == 0
    }

    /// Formats of the 8087 that are invalid since the 387: pseudo-NaN, pseudo-infinity, unnormal.
    pub fn is_unsupported(self) -> bool {
        self.exponent != 0 && self.significand & ONE == 0
    }

    pub fn is_zero(self) -> bool {
        self.exponent == 0 && self.significand == 0
    }

    pub fn is_infinity(self) -> bool {
        self.exponent == TOP_EXPONENT && self.significand == ONE
    }

    /// Denormals, and pseudo-denormals, which have the leading bit.
    pub fn is_denormal(self) -> bool {
        self.exponent == 0 && self.significand != 0
    }

    fn quiet(self) -> Self {
        Self { significand: self.significand | QUIET, ..self }
    }

    pub fn negated(self) -> Self {
        Self { sign: !self.sign, ..self }
    }

    /// Unbiased exponent and normalised significand of a finite number that is not 0.
    pub fn parts(self) -> (i32, u64) {
        let zeros = self.significand.leading_zeros();
        (i32::from(self.exponent.max(1)) - BIAS - zeros as i32, self.significand << (zeros & 63))
    }
}

/// The control word of one operation, and what it collects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Env {
    pub rounding: u16,
    /// Bits of the significand: 24, 53 or 64.
    pub precision: u32,
    pub masks: u16,
    pub flags: u16,
    /// The last rounding was away from zero: C1.
    pub up: bool,
}

impl Env {
    pub fn new(control: u16) -> Self {
        let precision = match control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Self { rounding: control >> 10 & 3, precision, masks: control & 0x3f, flags: 0, up: false }
    }

    /// Without precision control.
    pub fn full(control: u16) -> Self {
        Self { precision: 64, ..Self::new(control) }
    }

    fn masked(&self, flag: u16) -> bool {
        self.masks & flag != 0
    }

    fn invalid(&mut self) -> F80 {
        self.flags |= IE;
        F80::INDEFINITE
    }

    /// DE, if an operand is a denormal.
    pub fn note_denormals(&mut self, a: F80, b: F80) {
        if a.is_denormal() || b.is_denormal() {
            self.flags |= DE;
        }
    }

    /// The result when an operand is a NaN or invalid. SDM 1: "Rules for Handling NaNs".
    pub fn nan_of(&mut self, a: F80, b: F80) -> Option<F80> {
        if a.is_unsupported() || b.is_unsupported() {
            return Some(self.invalid());
        }
        if !a.is_nan() && !b.is_nan() {
            return None;
        }
        let (sa, sb) = (a.is_signalling(), b.is_signalling());
        if sa || sb {
            self.flags |= IE;
        }
        let first = match (a.is_nan(), b.is_nan()) {
            (true, false) => true,
            (false, _) => false,
            // Of a signalling and a quiet one the quiet one.
            _ if sa != sb => sb,
            _ => match a.quiet().significand.cmp(&b.quiet().significand) {
                Ordering::Greater => true,
                Ordering::Less => false,
                Ordering::Equal => !a.sign,
            },
        };
        Some(if first { a } else { b }.quiet())
    }
}

/// Drops the low `drop` bits of a significand: what is left, whether that lost anything, and whether it went up.
fn round(m: u128, sticky: bool, drop: u32, sign: bool, rounding: u16) -> (u128, bool, bool) {
    const HALF: u128 = 1 << 127;
    let (kept, rest, sticky) = match drop {
        0 => (m, 0, sticky),
        1..=127 => (m >> drop, m << (128 - drop), sticky),
        128 => (0, m, sticky),
        _ => (0, 1, sticky || m != 0),
    };
    let inexact = rest != 0 || sticky;
    let up = match rounding {
        NEAREST => rest > HALF || rest == HALF && (sticky || kept & 1 != 0),
        DOWN => sign && inexact,
        UP => !sign && inexact,
        _ => false,
    };
    (kept + u128::from(up), inexact, up)
}

/// A significand of `precision` bits and its biased exponent (0: denormal), or an overflow.
pub(super) struct Rounded {
    pub exponent: u32,
    pub significand: u64,
}

/// Rounds to a format. `m` has its leading one in bit 127, worth `exponent`. `wrap`: unmasked overflow and underflow move the
/// exponent. `None`: infinity.
fn round_to(
    env: &mut Env,
    sign: bool,
    exponent: i32,
    m: u128,
    sticky: bool,
    (precision, bias, wrap): (u32, i32, i32),
) -> Option<Rounded> {
    let drop = 128 - precision;
    let carry = |kept: u128, e: i32| if kept >> precision != 0 { (kept >> 1, e + 1) } else { (kept, e) };
    let (kept, inexact, up) = round(m, sticky, drop, sign, env.rounding);
    let (kept, mut e) = carry(kept, exponent);
    let finish = |env: &mut Env, inexact: bool, up: bool| {
        env.up = inexact && up;
        if inexact {
            env.flags |= PE;
        }
    };
    if e > bias {
        env.flags |= OE;
        if !env.masked(OE) {
            e -= wrap;
            if wrap == 0 || e > bias {
                // Still too large.
                finish(env, true, true);
                return None;
            }
            finish(env, inexact, up);
            return Some(Rounded { exponent: (e + bias) as u32, significand: kept as u64 });
        }
        let infinite = match env.rounding {
            NEAREST => true,
            DOWN => sign,
            UP => !sign,
            _ => false,
        };
        finish(env, true, infinite);
        let ones = u64::MAX >> (64 - precision);
        return (!infinite).then_some(Rounded { exponent: 2 * bias as u32, significand: ones });
    }
    let least = 1 - bias;
    if e < least {
        if !env.masked(UE) {
            env.flags |= UE;
            let e = e + wrap;
            if e < least {
                // Still too small.
                finish(env, true, false);
                return Some(Rounded { exponent: 0, significand: 0 });
            }
            finish(env, inexact, up);
            return Some(Rounded { exponent: (e + bias) as u32, significand: kept as u64 });
        }
        let (kept, inexact, up) =
            round(m, sticky, drop + (least - exponent).min(256) as u32, sign, env.rounding);
        finish(env, inexact, up);
        if inexact {
            env.flags |= UE;
        }
        // A carry makes the least normal number.
        let exponent = u32::from(kept >> (precision - 1) != 0);
        return Some(Rounded { exponent, significand: kept as u64 });
    }
    finish(env, inexact, up);
    Some(Rounded { exponent: (e + bias) as u32, significand: kept as u64 })
}

/// Rounds into a register, under precision control.
fn pack(env: &mut Env, sign: bool, exponent: i32, m: u128, sticky: bool) -> F80 {
    let precision = env.precision;
    match round_to(env, sign, exponent, m, sticky, (precision, BIAS, WRAP)) {
        Some(r) => F80 { sign, exponent: r.exponent as u16, significand: r.significand << (64 - precision) },
        None => F80::infinity(sign),
    }
}

/// Addition.
pub(super) fn add(env: &mut Env, a: F80, b: F80) -> F80 {
    if let Some(nan) = env.nan_of(a, b) {
        return nan;
    }
    if a.is_infinity() && b.is_infinity() && a.sign != b.sign {
        return env.invalid();
    }
    env.note_denormals(a, b);
    if a.is_infinity() || b.is_infinity() {
        return F80::infinity(if a.is_infinity() { a.sign } else { b.sign });
    }
    match (a.is_zero(), b.is_zero()) {
        (true, true) => return F80::zero(if a.sign == b.sign { a.sign } else { env.rounding == DOWN }),
        (true, false) => return same(env, b),
        (false, true) => return same(env, a),
        _ => {}
    }
    let ((ex, mx), (ey, my)) = (a.parts(), b.parts());
    let swap = (ex, mx) < (ey, my);
    let (ebig, big, esmall, small) = if swap { (ey, my, ex, mx) } else { (ex, mx, ey, my) };
    let sign = if swap { b.sign } else { a.sign };
    let (big, small) = (u128::from(big) << 62, u128::from(small) << 62);
    let distance = (ebig - esmall) as u32;
    let small =
        if distance > 126 { 1 } else { small >> distance | u128::from(small & ((1 << distance) - 1) != 0) };
    let sum = if a.sign == b.sign { big + small } else { big - small };
    if sum == 0 {
        return F80::zero(env.rounding == DOWN);
    }
    let zeros = sum.leading_zeros();
    pack(env, sign, ebig + 2 - zeros as i32, sum << zeros, false)
}

/// A finite number that is not 0, rounded.
pub(super) fn same(env: &mut Env, a: F80) -> F80 {
    let (e, m) = a.parts();
    pack(env, a.sign, e, u128::from(m) << 64, false)
}

/// Subtraction.
pub(super) fn sub(env: &mut Env, a: F80, b: F80) -> F80 {
    match env.nan_of(a, b) {
        Some(nan) => nan,
        None => add(env, a, b.negated()),
    }
}

/// Multiplication.
pub(super) fn mul(env: &mut Env, a: F80, b: F80) -> F80 {
    if let Some(nan) = env.nan_of(a, b) {
        return nan;
    }
    let sign = a.sign != b.sign;
    if a.is_infinity() && b.is_zero() || a.is_zero() && b.is_infinity() {
        return env.invalid();
    }
    env.note_denormals(a, b);
    if a.is_infinity() || b.is_infinity() {
        return F80::infinity(sign);
    }
    if a.is_zero() || b.is_zero() {
        return F80::zero(sign);
    }
    let ((ex, mx), (ey, my)) = (a.parts(), b.parts());
    let product = u128::from(mx) * u128::from(my);
    let zeros = product.leading_zeros();
    pack(env, sign, ex + ey + 1 - zeros as i32, product << zeros, false)
}

/// Division.
pub(super) fn div(env: &mut Env, a: F80, b: F80) -> F80 {
    if let Some(nan) = env.nan_of(a, b) {
        return nan;
    }
    let sign = a.sign != b.sign;
    if a.is_infinity() && b.is_infinity() || a.is_zero() && b.is_zero() {
        return env.invalid();
    }
    if b.is_zero() && !a.is_infinity() {
        env.flags |= ZE;
        return F80::infinity(sign);
    }
    env.note_denormals(a, b);
    if a.is_infinity() {
        return F80::infinity(sign);
    }
    if a.is_zero() || b.is_infinity() {
        return F80::zero(sign);
    }
    let ((ex, mx), (ey, my)) = (a.parts(), b.parts());
    let my = u128::from(my);
    let dividend = u128::from(mx) << 63;
    let (high, rest) = (dividend / my, dividend % my);
    let (low, rest) = ((rest << 64) / my, (rest << 64) % my);
    let quotient = high << 64 | low;
    let zeros = quotient.leading_zeros();
    pack(env, sign, ex - ey - zeros as i32, quotient << zeros, rest != 0)
}

/// Square root.
pub(super) fn sqrt(env: &mut Env, a: F80) -> F80 {
    if let Some(nan) = env.nan_of(a, a) {
        return nan;
    }
    if a.is_zero() {
        return a;
    }
    if a.sign {
        return env.invalid();
    }
    if a.is_infinity() {
        return a;
    }
    env.note_denormals(a, a);
    let (e, m) = a.parts();
    let square = u128::from(m) << if e & 1 == 0 { 63 } else { 64 };
    let root = square.isqrt();
    let rest = square - root * root;
    // Above or below the half; an irrational root never is the half.
    let behind = if rest > root { 3 << 62 } else { u128::from(rest != 0) << 62 };
    pack(env, false, e >> 1, root << 64 | behind, false)
}

/// Compares; `None` is unordered. `signal`: quiet NaNs are invalid too.
pub(super) fn compare(env: &mut Env, a: F80, b: F80, signal: bool) -> Option<Ordering> {
    if a.is_unsupported() || b.is_unsupported() {
        env.flags |= IE;
        return None;
    }
    if a.is_nan() || b.is_nan() {
        if signal || a.is_signalling() || b.is_signalling() {
            env.flags |= IE;
        }
        return None;
    }
    env.note_denormals(a, b);
    let key = |v: F80| {
        // A pseudo-denormal counts as the normal number that it equals.
        let exponent = if v.is_denormal() && v.significand & ONE != 0 { 1 } else { v.exponent };
        let magnitude = i128::from(exponent) << 64 | i128::from(v.significand);
        if v.sign { -magnitude } else { magnitude }
    };
    Some(key(a).cmp(&key(b)))
}

/// Rounds to an integral value (FRNDINT).
pub(super) fn round_int(env: &mut Env, a: F80) -> F80 {
    if let Some(nan) = env.nan_of(a, a) {
        return nan;
    }
    if a.is_infinity() || a.is_zero() {
        return a;
    }
    env.note_denormals(a, a);
    let (e, m) = a.parts();
    if e >= 63 {
        return a;
    }
    let (kept, inexact, up) =
        round(u128::from(m) << 64, false, (127 - e).min(200) as u32, a.sign, env.rounding);
    env.up = inexact && up;
    if inexact {
        env.flags |= PE;
    }
    if kept == 0 {
        return F80::zero(a.sign);
    }
    let zeros = kept.leading_zeros();
    F80 { sign: a.sign, ..F80::normal(127 - zeros as i32, (kept << zeros >> 64) as u64) }
}

/// As a signed integer of `bits`; `None` (and IE): it does not fit.
pub(super) fn to_int(env: &mut Env, a: F80, bits: u32, rounding: u16) -> Option<i64> {
    if a.is_nan() || a.is_unsupported() || a.is_infinity() {
        env.flags |= IE;
        return None;
    }
    if a.is_zero() {
        return Some(0);
    }
    let (e, m) = a.parts();
    if e > 63 {
        env.flags |= IE;
        return None;
    }
    let (kept, inexact, up) = round(u128::from(m) << 64, false, (127 - e).min(200) as u32, a.sign, rounding);
    let limit = 1u128 << (bits - 1);
    if kept > limit || kept == limit && !a.sign {
        env.flags |= IE;
        return None;
    }
    env.up = inexact && up;
    if inexact {
        env.flags |= PE;
    }
    Some(if a.sign { (kept as i64).wrapping_neg() } else { kept as i64 })
}

/// From a signed integer: always exact.
pub(super) fn from_int(value: i64) -> F80 {
    if value == 0 {
        return F80::zero(false);
    }
    let magnitude = value.unsigned_abs();
    let zeros = magnitude.leading_zeros();
    F80 { sign: value < 0, ..F80::normal(63 - zeros as i32, magnitude << zeros) }
}

/// A memory format: bits of the fraction and of the exponent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    fraction: u32,
    exponent: u32,
}

/// Single precision.
pub(super) const F32: Format = Format { fraction: 23, exponent: 8 };
/// Double precision.
pub(super) const F64: Format = Format { fraction: 52, exponent: 11 };

impl Format {
    fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }

    fn top(self) -> u64 {
        (1 << self.exponent) - 1
    }
}

/// A number of a memory format in the format of registers, exactly, and whether it is a denormal. NaNs stay as they are.
pub(super) fn widen(f: Format, value: u64) -> (F80, bool) {
    let sign = value >> (f.fraction + f.exponent) & 1 != 0;
    let exponent = value >> f.fraction & f.top();
    let fraction = (value & ((1 << f.fraction) - 1)) << (63 - f.fraction);
    if exponent == f.top() {
        return (F80 { sign, exponent: TOP_EXPONENT, significand: ONE | fraction }, false);
    }
    if exponent != 0 {
        return (F80 { sign, ..F80::normal(exponent as i32 - f.bias(), ONE | fraction) }, false);
    }
    if fraction == 0 {
        return (F80::zero(sign), false);
    }
    let zeros = fraction.leading_zeros();
    (F80 { sign, ..F80::normal(1 - f.bias() - zeros as i32, fraction << zeros) }, true)
}

/// A register in a memory format. With an unmasked OE or UE nothing is to be stored.
pub(super) fn to_float(f: Format, env: &mut Env, a: F80) -> u64 {
    let sign = u64::from(a.sign) << (f.fraction + f.exponent);
    let infinity = f.top() << f.fraction;
    let shift = 63 - f.fraction;
    if let Some(nan) = env.nan_of(a, a) {
        let sign = u64::from(nan.sign) << (f.fraction + f.exponent);
        return sign | infinity | nan.significand << 1 >> 1 >> shift;
    }
    if a.is_infinity() {
        return sign | infinity;
    }
    if a.is_zero() {
        return sign;
    }
    let (e, m) = a.parts();
    match round_to(env, a.sign, e, u128::from(m) << 64, false, (f.fraction + 1, f.bias(), 0)) {
        Some(r) => {
            let fraction = r.significand & ((1 << f.fraction) - 1);
            sign | u64::from(r.exponent) << f.fraction | fraction
        }
        None => sign | infinity,
    }
}

/// What FPREM and FPREM1 find.
pub(super) struct Remainder {
    pub value: F80,
    /// The low bits of the quotient; `None`: the reduction is partial (C2).
    pub quotient: Option<u64>,
}

/// Partial remainder. `nearest`: the quotient is rounded as IEEE 754 wants (FPREM1), else cut (FPREM).
pub(super) fn remainder(env: &mut Env, a: F80, b: F80, nearest: bool) -> Remainder {
    let done = |value| Remainder { value, quotient: Some(0) };
    if let Some(nan) = env.nan_of(a, b) {
        return done(nan);
    }
    if a.is_infinity() || b.is_zero() {
        return done(env.invalid());
    }
    env.note_denormals(a, b);
    if a.is_zero() {
        return done(a);
    }
    if b.is_infinity() {
        return done(same(env, a));
    }
    let ((ex, mx), (mut ey, my)) = (a.parts(), b.parts());
    let distance = ex - ey;
    if distance < -1 || distance == -1 && !nearest {
        return done(same(env, a));
    }
    if distance >= 64 {
        // Between 32 and 63 bits of the quotient at a time.
        let n = distance as u32 & 31 | 32;
        ey += distance - n as i32;
        let rest = (u128::from(mx) << n) % u128::from(my);
        return Remainder { value: rest_of(env, a.sign, ey, rest), quotient: None };
    }
    // With the divisor in units of half its last place, so that a distance of -1 needs no fraction.
    let (dividend, divisor) = (u128::from(mx) << (distance + 1), u128::from(my) << 1);
    let (mut quotient, mut rest) = (dividend / divisor, dividend % divisor);
    let mut sign = a.sign;
    if nearest && (rest > divisor - rest || rest == divisor - rest && quotient & 1 != 0) {
        quotient += 1;
        rest = divisor - rest;
        sign = !sign;
    }
    let value = if rest == 0 { F80::zero(a.sign) } else { rest_of(env, sign, ey - 1, rest) };
    Remainder { value, quotient: Some(quotient as u64) }
}

/// A remainder in units of the last place of a significand with that exponent.
fn rest_of(env: &mut Env, sign: bool, exponent: i32, rest: u128) -> F80 {
    if rest == 0 {
        return F80::zero(sign);
    }
    let zeros = rest.leading_zeros();
    pack(env, sign, exponent + 64 - zeros as i32, rest << zeros, false)
}

/// `a` times two to the power of the integral part of `b` (FSCALE).
pub(super) fn scale(env: &mut Env, a: F80, b: F80) -> F80 {
    if let Some(nan) = env.nan_of(a, b) {
        return nan;
    }
    if b.is_infinity() && (b.sign && a.is_infinity() || !b.sign && a.is_zero()) {
        return env.invalid();
    }
    env.note_denormals(a, b);
    if b.is_infinity() {
        return if b.sign { F80::zero(a.sign) } else { F80::infinity(a.sign) };
    }
    if a.is_infinity() || a.is_zero() {
        return a;
    }
    let by = if b.is_zero() {
        0
    } else {
        let (e, m) = b.parts();
        let magnitude = match e {
            ..0 => 0,
            0..=16 => (m >> (63 - e)) as i32,
            _ => 1 << 17,
        };
        if b.sign { -magnitude } else { magnitude }
    };
    let (e, m) = a.parts();
    pack(env, a.sign, e + by, u128::from(m) << 64, false)
}
