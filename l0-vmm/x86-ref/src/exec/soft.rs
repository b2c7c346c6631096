//! Binary floating-point arithmetic as SSE does it: every rounding mode, every exception flag, exact.
//!
//! Integers do the work, so that the host's floating-point environment never matters. [`Env::plain`] says when a plain host
//! operation gives the same: round to nearest, everything masked, and the precision flag (which is sticky) already set.
//!
//! SDM 1, "Programming with Intel Streaming SIMD Extensions (Intel SSE)", sections on SIMD floating-point exceptions and
//! "Floating-Point Exception Conditions"; tininess is detected after rounding.

use std::cmp::Ordering;

/// Invalid operation.
pub(super) const IE: u32 = 1 << 0;
/// Denormal operand.
pub(super) const DE: u32 = 1 << 1;
/// Divide by zero.
pub(super) const ZE: u32 = 1 << 2;
/// Overflow.
pub(super) const OE: u32 = 1 << 3;
/// Underflow.
pub(super) const UE: u32 = 1 << 4;
/// Precision.
pub(super) const PE: u32 = 1 << 5;
/// The six exception flags.
pub(super) const FLAGS: u32 = 0x3f;
/// Denormals are zeros.
const DAZ: u32 = 1 << 6;
/// Flush to zero.
const FTZ: u32 = 1 << 15;

/// Round to nearest, ties to even.
pub(super) const NEAREST: u32 = 0;
/// Round down.
pub(super) const DOWN: u32 = 1;
/// Round up.
pub(super) const UP: u32 = 2;
/// Round toward zero.
pub(super) const TRUNCATE: u32 = 3;

/// MXCSR of one operation, and the exception flags it collects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Env {
    /// Rounding control.
    pub rounding: u32,
    /// Mask bits, in the positions of the flags.
    pub masks: u32,
    /// Denormals are zeros.
    pub daz: bool,
    /// Flush to zero.
    pub ftz: bool,
    /// Flags raised.
    pub flags: u32,
    /// See [`Env::plain`].
    plain: bool,
}

impl Env {
    /// The environment that an MXCSR value asks for.
    pub fn new(mxcsr: u32) -> Self {
        let (rounding, masks) = (mxcsr >> 13 & 3, mxcsr >> 7 & FLAGS);
        Self {
            rounding,
            masks,
            daz: mxcsr & DAZ != 0,
            ftz: mxcsr & FTZ != 0,
            flags: 0,
            plain: rounding == NEAREST && masks == FLAGS && mxcsr & PE != 0,
        }
    }

    /// Whether host arithmetic on normal numbers with a normal result can do: no flag but a sticky one could change.
    pub fn plain(&self) -> bool {
        self.plain
    }
}

/// A binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// Bits of the fraction.
    pub fraction: u32,
    /// Bits of the exponent.
    pub exponent: u32,
}

/// Single precision.
pub(super) const F32: Format = Format { fraction: 23, exponent: 8 };
/// Double precision.
pub(super) const F64: Format = Format { fraction: 52, exponent: 11 };

/// Half precision.
pub(super) const F16: Format = Format { fraction: 10, exponent: 5 };

impl Format {
    /// Width in bits.
    pub const fn bits(self) -> u32 {
        1 + self.exponent + self.fraction
    }

    const fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }

    const fn top_exponent(self) -> u64 {
        (1 << self.exponent) - 1
    }

    /// The sign bit.
    pub const fn sign(self) -> u64 {
        1 << (self.bits() - 1)
    }

    const fn quiet_bit(self) -> u64 {
        1 << (self.fraction - 1)
    }

    const fn infinity(self, sign: bool) -> u64 {
        self.top_exponent() << self.fraction | if sign { self.sign() } else { 0 }
    }

    /// The NaN that invalid operations give: "QNaN floating-point indefinite".
    pub const fn indefinite(self) -> u64 {
        self.infinity(true) | self.quiet_bit()
    }

    const fn zero(self, sign: bool) -> u64 {
        if sign { self.sign() } else { 0 }
    }

    fn exponent_of(self, value: u64) -> u64 {
        value >> self.fraction & self.top_exponent()
    }

    fn fraction_of(self, value: u64) -> u64 {
        value & ((1 << self.fraction) - 1)
    }

    /// Not a number.
    pub fn is_nan(self, value: u64) -> bool {
        self.exponent_of(value) == self.top_exponent() && self.fraction_of(value) != 0
    }

    /// Signalling NaN.
    pub fn is_signalling(self, value: u64) -> bool {
        self.is_nan(value) && value & self.quiet_bit() == 0
    }

    fn is_denormal(self, value: u64) -> bool {
        self.exponent_of(value) == 0 && self.fraction_of(value) != 0
    }

    /// Normal and not at the edge, where rounding could make or unmake a denormal.
    pub fn is_plain(self, value: u64) -> bool {
        let e = self.exponent_of(value);
        e > 1 && e < self.top_exponent()
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Zero,
    /// 1.x times a power of two: the significand has its leading one in bit 63.
    Finite {
        exponent: i32,
        significand: u64,
    },
    Infinity,
    Nan,
}

#[derive(Clone, Copy, Debug)]
struct Number {
    sign: bool,
    kind: Kind,
    denormal: bool,
}

fn unpack(f: Format, env: &Env, value: u64) -> Number {
    let sign = value & f.sign() != 0;
    let (e, fraction) = (f.exponent_of(value), f.fraction_of(value));
    let mut denormal = false;
    let kind = if e == f.top_exponent() {
        if fraction == 0 { Kind::Infinity } else { Kind::Nan }
    } else if e != 0 {
        let significand = (1 << f.fraction | fraction) << (63 - f.fraction);
        Kind::Finite { exponent: e as i32 - f.bias(), significand }
    } else if fraction == 0 || env.daz {
        Kind::Zero
    } else {
        denormal = true;
        let zeros = fraction.leading_zeros();
        let exponent = 1 - f.bias() - (zeros as i32 - (63 - f.fraction as i32));
        Kind::Finite { exponent, significand: fraction << zeros }
    };
    Number { sign, kind, denormal }
}

/// Drops the low `drop` bits (1 or more) of a significand: what is left, and whether that lost anything.
fn round(significand: u64, sticky: bool, drop: u32, sign: bool, rounding: u32) -> (u64, bool) {
    const HALF: u64 = 1 << 63;
    let (kept, rest, sticky) = match drop {
        1..=63 => (significand >> drop, significand << (64 - drop), sticky),
        64 => (0, significand, sticky),
        // Everything lies below the half.
        _ => (0, 1, sticky || significand != 0),
    };
    let inexact = rest != 0 || sticky;
    let up = match rounding {
        NEAREST => rest > HALF || rest == HALF && (sticky || kept & 1 != 0),
        DOWN => sign && inexact,
        UP => !sign && inexact,
        _ => false,
    };
    (kept + u64::from(up), inexact)
}

/// Rounds into the format. Flags: overflow, underflow, precision.
fn pack(f: Format, env: &mut Env, sign: bool, mut exponent: i32, significand: u64, sticky: bool) -> u64 {
    let drop = 63 - f.fraction;
    let signed = |value: u64| value | f.zero(sign);
    let (mut kept, inexact) = round(significand, sticky, drop, sign, env.rounding);
    let unrounded = exponent;
    if kept >> (f.fraction + 1) != 0 {
        kept >>= 1;
        exponent += 1;
    }
    let least = 1 - f.bias();
    if exponent > f.bias() {
        env.flags |= OE;
        if inexact || env.masks & OE != 0 {
            env.flags |= PE;
        }
        let infinite = match env.rounding {
            NEAREST => true,
            DOWN => sign,
            UP => !sign,
            _ => false,
        };
        return if infinite { f.infinity(sign) } else { f.infinity(sign) - 1 };
    }
    if exponent >= least {
        if inexact {
            env.flags |= PE;
        }
        return signed(((exponent + f.bias()) as u64) << f.fraction | f.fraction_of(kept));
    }
    // Tiny.
    if env.masks & UE == 0 {
        env.flags |= UE | if inexact { PE } else { 0 };
        return f.zero(sign);
    }
    if env.ftz {
        env.flags |= UE | PE;
        return f.zero(sign);
    }
    let (kept, inexact) =
        round(significand, sticky, drop + (least - unrounded).min(128) as u32, sign, env.rounding);
    if inexact {
        env.flags |= UE | PE;
    }
    // A carry into the exponent makes the least normal number, as it should.
    signed(kept)
}

/// The result when an operand is a NaN: the first NaN, made quiet. `None` when there is none.
fn nan_of(f: Format, env: &mut Env, a: u64, b: u64) -> Option<u64> {
    if !f.is_nan(a) && !f.is_nan(b) {
        return None;
    }
    if f.is_signalling(a) || f.is_signalling(b) {
        env.flags |= IE;
    }
    Some(if f.is_nan(a) { a } else { b } | f.quiet_bit())
}

fn invalid(f: Format, env: &mut Env) -> u64 {
    env.flags |= IE;
    f.indefinite()
}

fn note_denormals(env: &mut Env, a: &Number, b: &Number) {
    if a.denormal || b.denormal {
        env.flags |= DE;
    }
}

/// Addition.
pub(super) fn add(f: Format, env: &mut Env, a: u64, b: u64) -> u64 {
    if let Some(nan) = nan_of(f, env, a, b) {
        return nan;
    }
    let (x, y) = (unpack(f, env, a), unpack(f, env, b));
    if x.kind == Kind::Infinity && y.kind == Kind::Infinity && x.sign != y.sign {
        return invalid(f, env);
    }
    note_denormals(env, &x, &y);
    match (x.kind, y.kind) {
        (Kind::Infinity, _) => f.infinity(x.sign),
        (_, Kind::Infinity) => f.infinity(y.sign),
        (Kind::Zero, Kind::Zero) => f.zero(if x.sign == y.sign { x.sign } else { env.rounding == DOWN }),
        (Kind::Zero, Kind::Finite { exponent, significand }) => {
            pack(f, env, y.sign, exponent, significand, false)
        }
        (Kind::Finite { exponent, significand }, Kind::Zero) => {
            pack(f, env, x.sign, exponent, significand, false)
        }
        (Kind::Finite { exponent: ex, significand: mx }, Kind::Finite { exponent: ey, significand: my }) => {
            // The larger first, with 62 bits of room below and one above.
            let swap = (ex, mx) < (ey, my);
            let (ebig, big, esmall, small) = if swap { (ey, my, ex, mx) } else { (ex, mx, ey, my) };
            let sign = if swap { y.sign } else { x.sign };
            let big = u128::from(big) << 62;
            let mut small = u128::from(small) << 62;
            let distance = (ebig - esmall) as u32;
            small = if distance > 126 {
                1
            } else {
                small >> distance | u128::from(small & ((1 << distance) - 1) != 0)
            };
            let sum = if x.sign == y.sign { big + small } else { big - small };
            if sum == 0 {
                return f.zero(env.rounding == DOWN);
            }
            let zeros = sum.leading_zeros();
            let sum = sum << zeros;
            pack(f, env, sign, ebig + 2 - zeros as i32, (sum >> 64) as u64, sum as u64 != 0)
        }
        // NaNs are done with.
        _ => f.indefinite(),
    }
}

/// Subtraction.
pub(super) fn sub(f: Format, env: &mut Env, a: u64, b: u64) -> u64 {
    match nan_of(f, env, a, b) {
        Some(nan) => nan,
        None => add(f, env, a, b ^ f.sign()),
    }
}

/// Multiplication.
pub(super) fn mul(f: Format, env: &mut Env, a: u64, b: u64) -> u64 {
    if let Some(nan) = nan_of(f, env, a, b) {
        return nan;
    }
    let (x, y) = (unpack(f, env, a), unpack(f, env, b));
    let sign = x.sign != y.sign;
    if matches!((x.kind, y.kind), (Kind::Infinity, Kind::Zero) | (Kind::Zero, Kind::Infinity)) {
        return invalid(f, env);
    }
    note_denormals(env, &x, &y);
    match (x.kind, y.kind) {
        (Kind::Infinity, _) | (_, Kind::Infinity) => f.infinity(sign),
        (Kind::Finite { exponent: ex, significand: mx }, Kind::Finite { exponent: ey, significand: my }) => {
            let product = u128::from(mx) * u128::from(my);
            let zeros = product.leading_zeros();
            let product = product << zeros;
            pack(f, env, sign, ex + ey + 1 - zeros as i32, (product >> 64) as u64, product as u64 != 0)
        }
        _ => f.zero(sign),
    }
}

/// A product and a sum, rounded once: plus or minus `v[0] * v[1]`, plus or minus `v[2]`.
pub(super) fn multiply_add(f: Format, env: &mut Env, v: [u64; 3], negate: bool, subtract: bool) -> u64 {
    if let Some(nan) = v.into_iter().find(|v| f.is_nan(*v)) {
        if v.into_iter().any(|v| f.is_signalling(v)) {
            env.flags |= IE;
        }
        return nan | f.quiet_bit();
    }
    let [x, y, z] = v.map(|v| unpack(f, env, v));
    let (product_sign, sign) = ((x.sign != y.sign) != negate, z.sign != subtract);
    if matches!((x.kind, y.kind), (Kind::Infinity, Kind::Zero) | (Kind::Zero, Kind::Infinity)) {
        return invalid(f, env);
    }
    let infinite = x.kind == Kind::Infinity || y.kind == Kind::Infinity;
    if infinite && z.kind == Kind::Infinity && product_sign != sign {
        return invalid(f, env);
    }
    note_denormals(env, &x, &y);
    note_denormals(env, &z, &z);
    if infinite {
        return f.infinity(product_sign);
    }
    let product = match (x.kind, y.kind) {
        (Kind::Finite { exponent: ex, significand: mx }, Kind::Finite { exponent: ey, significand: my }) => {
            // Both have 53 bits at most; the product's leading one goes to bit 125.
            let product = u128::from(mx >> 11) * u128::from(my >> 11);
            let zeros = product.leading_zeros();
            Some((ex + ey + 23 - zeros as i32, product << (zeros - 2)))
        }
        _ => None,
    };
    let (ez, mz) = match (z.kind, product) {
        (Kind::Infinity, _) => return f.infinity(sign),
        (Kind::Finite { exponent, significand }, _) => (exponent, u128::from(significand) << 62),
        (_, Some((e, m))) => {
            return pack(f, env, product_sign, e, (m >> 62) as u64, m & ((1 << 62) - 1) != 0);
        }
        _ => return f.zero(if product_sign == sign { sign } else { env.rounding == DOWN }),
    };
    let Some((ep, mp)) = product else {
        return pack(f, env, sign, ez, (mz >> 62) as u64, false);
    };
    let swap = (ep, mp) < (ez, mz);
    let (ebig, big, esmall, small) = if swap { (ez, mz, ep, mp) } else { (ep, mp, ez, mz) };
    let distance = (ebig - esmall) as u32;
    let small =
        if distance > 126 { 1 } else { small >> distance | u128::from(small & ((1 << distance) - 1) != 0) };
    let sum = if product_sign == sign { big + small } else { big - small };
    if sum == 0 {
        return f.zero(env.rounding == DOWN);
    }
    let zeros = sum.leading_zeros();
    let sum = sum << zeros;
    let sign = if swap { sign } else { product_sign };
    pack(f, env, sign, ebig + 2 - zeros as i32, (sum >> 64) as u64, sum as u64 != 0)
}

/// Division.
pub(super) fn div(f: Format, env: &mut Env, a: u64, b: u64) -> u64 {
    if let Some(nan) = nan_of(f, env, a, b) {
        return nan;
    }
    let (x, y) = (unpack(f, env, a), unpack(f, env, b));
    let sign = x.sign != y.sign;
    if matches!((x.kind, y.kind), (Kind::Infinity, Kind::Infinity) | (Kind::Zero, Kind::Zero)) {
        return invalid(f, env);
    }
    if let (Kind::Finite { .. }, Kind::Zero) = (x.kind, y.kind) {
        env.flags |= ZE;
        return f.infinity(sign);
    }
    note_denormals(env, &x, &y);
    match (x.kind, y.kind) {
        (Kind::Infinity, _) => f.infinity(sign),
        (Kind::Finite { exponent: ex, significand: mx }, Kind::Finite { exponent: ey, significand: my }) => {
            let dividend = u128::from(mx) << 63;
            let (quotient, rest) = (dividend / u128::from(my), dividend % u128::from(my));
            let quotient = quotient as u64;
            let zeros = quotient.leading_zeros();
            pack(f, env, sign, ex - ey - zeros as i32, quotient << zeros, rest != 0)
        }
        _ => f.zero(sign),
    }
}

/// Square root.
pub(super) fn sqrt(f: Format, env: &mut Env, a: u64) -> u64 {
    if let Some(nan) = nan_of(f, env, a, a) {
        return nan;
    }
    let x = unpack(f, env, a);
    match x.kind {
        Kind::Zero => f.zero(x.sign),
        _ if x.sign => invalid(f, env),
        Kind::Finite { exponent, significand } => {
            note_denormals(env, &x, &x);
            let square = u128::from(significand) << if exponent & 1 == 0 { 63 } else { 64 };
            let root = square.isqrt();
            pack(f, env, false, exponent >> 1, root as u64, root * root != square)
        }
        _ => f.infinity(false),
    }
}

/// MIN and MAX: the second operand when either is a NaN or both are zeros.
fn choose(f: Format, env: &mut Env, a: u64, b: u64, first_if: Ordering) -> u64 {
    let flushed = |env: &Env, v| if env.daz && f.is_denormal(v) { v & f.sign() } else { v };
    match compare(f, env, a, b, true) {
        Some(order) if order == first_if => flushed(env, a),
        _ => flushed(env, b),
    }
}

/// Minimum.
pub(super) fn min(f: Format, env: &mut Env, a: u64, b: u64) -> u64 {
    choose(f, env, a, b, Ordering::Less)
}

/// Maximum.
pub(super) fn max(f: Format, env: &mut Env, a: u64, b: u64) -> u64 {
    choose(f, env, a, b, Ordering::Greater)
}

/// Compares; `None` is unordered. `signal`: quiet NaNs are invalid too.
pub(super) fn compare(f: Format, env: &mut Env, a: u64, b: u64, signal: bool) -> Option<Ordering> {
    if f.is_nan(a) || f.is_nan(b) {
        if signal || f.is_signalling(a) || f.is_signalling(b) {
            env.flags |= IE;
        }
        return None;
    }
    let (x, y) = (unpack(f, env, a), unpack(f, env, b));
    note_denormals(env, &x, &y);
    // As integers of sign and magnitude.
    let key = |n: &Number, v: u64| match n.kind {
        Kind::Zero => 0,
        _ => {
            let magnitude = (v & (f.sign() - 1)) as i64;
            if n.sign { -magnitude } else { magnitude }
        }
    };
    Some(key(&x, a).cmp(&key(&y, b)))
}

/// A value of one format in the other.
pub(super) fn convert(from: Format, to: Format, env: &mut Env, a: u64) -> u64 {
    let x = unpack(from, env, a);
    match x.kind {
        Kind::Zero => to.zero(x.sign),
        Kind::Infinity => to.infinity(x.sign),
        Kind::Nan => {
            if from.is_signalling(a) {
                env.flags |= IE;
            }
            let fraction = from.fraction_of(a) << (63 - from.fraction) >> (63 - to.fraction);
            to.infinity(x.sign) | to.quiet_bit() | fraction
        }
        Kind::Finite { exponent, significand } => {
            note_denormals(env, &x, &x);
            pack(to, env, x.sign, exponent, significand, false)
        }
    }
}

/// A signed integer as a floating-point number.
pub(super) fn from_int(f: Format, env: &mut Env, value: i64) -> u64 {
    if value == 0 {
        return 0;
    }
    let magnitude = value.unsigned_abs();
    let zeros = magnitude.leading_zeros();
    pack(f, env, value < 0, 63 - zeros as i32, magnitude << zeros, false)
}

/// A floating-point number as a signed integer of `bits`; out of range and NaN give the "integer indefinite" and IE.
pub(super) fn to_int(f: Format, env: &mut Env, a: u64, bits: u32, rounding: u32) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    let x = unpack(f, env, a);
    let Kind::Finite { exponent, significand } = x.kind else {
        if x.kind != Kind::Zero {
            env.flags |= IE;
            return indefinite;
        }
        return 0;
    };
    if exponent > 63 {
        env.flags |= IE;
        return indefinite;
    }
    let (magnitude, inexact) = if exponent == 63 {
        (significand, false)
    } else {
        round(significand, false, (63 - exponent) as u32, x.sign, rounding)
    };
    let limit = 1u64 << (bits - 1);
    if magnitude > limit || magnitude == limit && !x.sign {
        env.flags |= IE;
        return indefinite;
    }
    if inexact {
        env.flags |= PE;
    }
    if x.sign { (magnitude as i64).wrapping_neg() } else { magnitude as i64 }
}

/// Rounds to an integral value in the same format (ROUNDSS and its like). `quiet`: without PE.
pub(super) fn round_int(f: Format, env: &mut Env, a: u64, rounding: u32, quiet: bool) -> u64 {
    if let Some(nan) = nan_of(f, env, a, a) {
        return nan;
    }
    let x = unpack(f, env, a);
    match x.kind {
        Kind::Finite { exponent, significand } if exponent < f.fraction as i32 => {
            let (magnitude, inexact) = round(significand, false, (63 - exponent) as u32, x.sign, rounding);
            if inexact && !quiet {
                env.flags |= PE;
            }
            if magnitude == 0 {
                return f.zero(x.sign);
            }
            let zeros = magnitude.leading_zeros();
            let exponent = (63 - zeros as i32 + f.bias()) as u64;
            f.zero(x.sign) | exponent << f.fraction | f.fraction_of(magnitude << zeros >> (63 - f.fraction))
        }
        Kind::Zero => f.zero(x.sign),
        _ => a,
    }
}
