//! The arithmetic flags, kept as what they follow from.
//!
//! `res` is the sign-extended result: ZF, SF and PF follow from it. `aux` is a carry vector: bit 63 is CF, bit 62 is CF xor
//! OF, bit 3 is AF. Bits 8 to 16 of `aux` are corrections that POPF, SAHF and IRET need for combinations that no result has:
//! bits 15:8 are exclusive-ored into the low byte for PF, bit 16 into the sign.

/// Arithmetic flags.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The last result, sign-extended to 64 bits.
    pub res: u64,
    /// Carries and corrections.
    pub aux: u64,
}

/// CF, PF, AF, ZF, SF, OF: the bits that [`Flags`] stands for.
pub(crate) const ARITH: u64 = 0x8d5;

impl Flags {
    /// Carry flag.
    #[inline(always)]
    pub fn cf(self) -> bool {
        self.aux >> 63 != 0
    }

    /// Overflow flag.
    #[inline(always)]
    pub fn of(self) -> bool {
        (self.aux ^ (self.aux << 1)) >> 63 != 0
    }

    /// Auxiliary carry flag.
    #[inline(always)]
    pub fn af(self) -> bool {
        self.aux & 8 != 0
    }

    /// Zero flag.
    #[inline(always)]
    pub fn zf(self) -> bool {
        self.res == 0
    }

    /// Sign flag.
    #[inline(always)]
    pub fn sf(self) -> bool {
        (self.res >> 63) ^ (self.aux >> 16 & 1) != 0
    }

    /// Parity flag.
    #[inline(always)]
    pub fn pf(self) -> bool {
        ((self.res ^ (self.aux >> 8)) as u8).count_ones() & 1 == 0
    }

    /// The six bits in their places in RFLAGS.
    pub fn bits(self) -> u64 {
        u64::from(self.cf())
            | u64::from(self.pf()) << 2
            | u64::from(self.af()) << 4
            | u64::from(self.zf()) << 6
            | u64::from(self.sf()) << 7
            | u64::from(self.of()) << 11
    }

    /// The flags of an RFLAGS value.
    pub fn from_bits(bits: u64) -> Self {
        let flag = |n: u32| bits >> n & 1;
        // ZF decides whether the result is 0 (parity even, sign 0) or 1 (parity odd, sign 0); the corrections do the rest.
        let res = 1 - flag(6);
        let pf_of_res = 1 - res;
        let aux = flag(0) << 63
            | (flag(0) ^ flag(11)) << 62
            | flag(4) << 3
            | (pf_of_res ^ flag(2)) << 8
            | flag(7) << 16;
        Self { res, aux }
    }
}

/// Bits of `aux` that are corrections: a carry vector of 64 bits must not leave any there.
const CORRECTIONS: u64 = 0x1_ff00;
/// CF and CF xor OF in `aux`.
const CARRIES: u64 = 3 << 62;

/// The low `S` bytes, sign-extended.
#[inline(always)]
pub(crate) fn extend<const S: usize>(value: u64) -> u64 {
    match S {
        1 => value as i8 as u64,
        2 => value as i16 as u64,
        4 => value as i32 as u64,
        _ => value,
    }
}

/// The low `S` bytes, zero-extended.
#[inline(always)]
pub(crate) fn cut<const S: usize>(value: u64) -> u64 {
    match S {
        1 => u64::from(value as u8),
        2 => u64::from(value as u16),
        4 => u64::from(value as u32),
        _ => value,
    }
}

/// Carries out of each bit of an addition.
#[inline(always)]
fn carries(a: u64, b: u64, sum: u64) -> u64 {
    (a & b) | ((a | b) & !sum)
}

/// Borrows out of each bit of a subtraction.
#[inline(always)]
fn borrows(a: u64, b: u64, difference: u64) -> u64 {
    (!a & b) | ((!a | b) & difference)
}

/// A carry vector of `S` bytes as `aux` keeps it.
#[inline(always)]
fn pack<const S: usize>(vector: u64) -> u64 {
    if S == 8 { vector & !CORRECTIONS } else { vector << (64 - 8 * S) | vector & 8 }
}

/// An operation with two operands, in the numbers of the encoding, and TEST.
pub(crate) mod alu {
    pub const ADD: u8 = 0;
    pub const OR: u8 = 1;
    pub const ADC: u8 = 2;
    pub const SBB: u8 = 3;
    pub const AND: u8 = 4;
    pub const SUB: u8 = 5;
    pub const XOR: u8 = 6;
    pub const CMP: u8 = 7;
    pub const TEST: u8 = 8;
}

/// An operation with one operand.
pub(crate) mod unary {
    pub const INC: u8 = 0;
    pub const DEC: u8 = 1;
    pub const NEG: u8 = 2;
    pub const NOT: u8 = 3;
}

/// A shift or rotation, in the numbers of the encoding (those through CF are in `exec`).
pub(crate) mod shift {
    pub const ROL: u8 = 0;
    pub const ROR: u8 = 1;
    pub const SHL: u8 = 4;
    pub const SHR: u8 = 5;
    pub const SAR: u8 = 7;
}

/// The flags of a logical operation.
#[inline(always)]
pub(crate) fn logic<const S: usize>(result: u64) -> Flags {
    Flags { res: extend::<S>(result), aux: 0 }
}

/// Operation `O` of [`alu`] on operands of `S` bytes (upper bits may be anything): result (upper bits too) and flags.
#[inline(always)]
pub(crate) fn binary<const O: u8, const S: usize>(a: u64, b: u64, before: Flags) -> (u64, Flags) {
    let carry = if O == alu::ADC || O == alu::SBB { before.aux >> 63 } else { 0 };
    match O {
        alu::ADD | alu::ADC => {
            let sum = a.wrapping_add(b).wrapping_add(carry);
            (sum, Flags { res: extend::<S>(sum), aux: pack::<S>(carries(a, b, sum)) })
        }
        alu::SUB | alu::SBB | alu::CMP => {
            let difference = a.wrapping_sub(b).wrapping_sub(carry);
            let aux = pack::<S>(borrows(a, b, difference));
            (difference, Flags { res: extend::<S>(difference), aux })
        }
        alu::OR => (a | b, logic::<S>(a | b)),
        alu::XOR => (a ^ b, logic::<S>(a ^ b)),
        _ => (a & b, logic::<S>(a & b)),
    }
}

/// Operation `O` of [`unary`].
#[inline(always)]
pub(crate) fn one<const O: u8, const S: usize>(a: u64, before: Flags) -> (u64, Flags) {
    let keep_carry = |result: u64, vector: u64| {
        let vector = pack::<S>(vector);
        let overflow = (vector ^ vector << 1) >> 63;
        let carry = before.aux >> 63;
        Flags { res: extend::<S>(result), aux: carry << 63 | (carry ^ overflow) << 62 | vector & 8 }
    };
    match O {
        unary::INC => {
            let sum = a.wrapping_add(1);
            (sum, keep_carry(sum, carries(a, 1, sum)))
        }
        unary::DEC => {
            let difference = a.wrapping_sub(1);
            (difference, keep_carry(difference, borrows(a, 1, difference)))
        }
        unary::NEG => binary::<{ alu::SUB }, S>(0, a, before),
        _ => (!a, before),
    }
}

/// Operation `O` of [`shift`] by a count as the instruction gives it. A count of 0 changes nothing. Where the manual leaves
/// OF undefined (counts other than 1), it is what the same formula gives; AF is 0.
#[inline(always)]
pub(crate) fn shifted<const O: u8, const S: usize>(a: u64, count: u64, before: Flags) -> (u64, Flags) {
    let bits = 8 * S as u32;
    let n = count as u32 & if S == 8 { 63 } else { 31 };
    let a = cut::<S>(a);
    if n == 0 {
        return (a, before);
    }
    let top = |v: u64| v >> (bits - 1) & 1;
    let next = |v: u64| v >> (bits - 2) & 1;
    let set = |result: u64, cf: u64, of: u64| {
        let result = cut::<S>(result);
        (result, Flags { res: extend::<S>(result), aux: cf << 63 | (cf ^ of) << 62 })
    };
    // Rotations leave SF, ZF, AF and PF alone.
    let patch = |result: u64, cf: u64, of: u64| {
        let aux = before.aux & !CARRIES | cf << 63 | (cf ^ of) << 62;
        (cut::<S>(result), Flags { res: before.res, aux })
    };
    match O {
        shift::SHL => {
            let result = a << n;
            let cf = top(a << (n - 1));
            set(result, cf, top(result) ^ cf)
        }
        shift::SHR => {
            let result = a >> n;
            set(result, a >> (n - 1) & 1, top(result) ^ next(result))
        }
        shift::SAR => {
            let signed = extend::<S>(a) as i64;
            set((signed >> n) as u64, (signed >> (n - 1)) as u64 & 1, 0)
        }
        shift::ROL => {
            let n = n % bits;
            let result = cut::<S>(a << n | a.checked_shr(bits - n).unwrap_or(0));
            patch(result, result & 1, top(result) ^ result & 1)
        }
        shift::ROR => {
            let n = n % bits;
            let result = cut::<S>(a >> n | a.checked_shl(bits - n).unwrap_or(0));
            patch(result, top(result), top(result) ^ next(result))
        }
        _ => (a, before),
    }
}

impl Flags {
    /// Condition `CC`, in the numbers of the encoding (0 O, 1 NO, 2 B ... 15 NLE).
    #[inline(always)]
    pub fn condition<const CC: u8>(self) -> bool {
        let met = match CC >> 1 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        met != (CC & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives() {
        for n in 0..1u64 << 12 {
            let bits = n & ARITH;
            assert_eq!(Flags::from_bits(bits).bits(), bits);
        }
    }

    /// What the manual says, bit by bit.
    fn expected(o: u8, a: u8, b: u8, cf: bool) -> (u8, u64) {
        let c = u16::from(cf && (o == alu::ADC || o == alu::SBB));
        let (wa, wb) = (u16::from(a), u16::from(b));
        let (wide, of, af) = match o {
            alu::ADD | alu::ADC => {
                let w = wa + wb + c;
                let r = w as u8;
                (w, (a ^ r) & (b ^ r) & 0x80 != 0, (wa & 15) + (wb & 15) + c > 15)
            }
            alu::SUB | alu::SBB | alu::CMP => {
                let w = wa.wrapping_sub(wb).wrapping_sub(c);
                let r = w as u8;
                (w, (a ^ b) & (a ^ r) & 0x80 != 0, (wa & 15) < (wb & 15) + c)
            }
            alu::OR => (wa | wb, false, false),
            alu::XOR => (wa ^ wb, false, false),
            _ => (wa & wb, false, false),
        };
        let r = wide as u8;
        let bits = u64::from(wide > 0xff)
            | u64::from(r.count_ones().is_multiple_of(2)) << 2
            | u64::from(af) << 4
            | u64::from(r == 0) << 6
            | u64::from(r >> 7) << 7
            | u64::from(of) << 11;
        (r, bits)
    }

    #[test]
    fn all_byte_operations() {
        fn check<const O: u8>() {
            for n in 0..=0x1_ffffu32 {
                let (a, b, cf) = (n as u8, (n >> 8) as u8, n >> 16 != 0);
                let before = Flags::from_bits(u64::from(cf));
                // Upper bits of registers must not matter.
                let (r, f) = binary::<O, 1>(u64::from(a) | 0xa5a5_ff00, u64::from(b) | 0x5aff_3300, before);
                assert_eq!((r as u8, f.bits()), expected(O, a, b, cf), "{O} {a:#x} {b:#x} {cf}");
                let (r, f) = binary::<O, 8>(u64::from(a) << 56, u64::from(b) << 56, Flags::default());
                if !cf {
                    let (er, eb) = expected(O, a, b, false);
                    let without = !(4 | 16);
                    assert_eq!(((r >> 56) as u8, f.bits() & without), (er, eb & without));
                }
            }
        }
        check::<{ alu::ADD }>();
        check::<{ alu::OR }>();
        check::<{ alu::ADC }>();
        check::<{ alu::SBB }>();
        check::<{ alu::AND }>();
        check::<{ alu::SUB }>();
        check::<{ alu::XOR }>();
        check::<{ alu::CMP }>();
    }

    #[test]
    fn inc_and_dec_keep_carry() {
        for n in 0..512u32 {
            let (a, cf) = (n as u8, n > 255);
            let before = Flags::from_bits(u64::from(cf));
            for (result, o, b) in [
                (one::<{ unary::INC }, 1>(u64::from(a), before), alu::ADD, 1),
                (one::<{ unary::DEC }, 1>(u64::from(a), before), alu::SUB, 1),
            ] {
                let (r, bits) = expected(o, a, b, false);
                assert_eq!((result.0 as u8, result.1.bits()), (r, bits & !1 | u64::from(cf)));
            }
        }
    }

    /// Shifts bit by bit, as the manual's operation sections do.
    fn shift_expected(o: u8, a: u8, count: u32, cf: bool) -> (u8, bool) {
        let (mut v, mut c) = (a, cf);
        for _ in 0..count & 31 {
            let (top, low) = (v >> 7 != 0, v & 1 != 0);
            match o {
                shift::SHL => (v, c) = (v << 1, top),
                shift::SHR => (v, c) = (v >> 1, low),
                shift::SAR => (v, c) = ((v as i8 >> 1) as u8, low),
                shift::ROL => (v, c) = (v.rotate_left(1), top),
                shift::ROR => (v, c) = (v.rotate_right(1), low),
                _ => {}
            }
        }
        (v, c)
    }

    #[test]
    fn all_byte_shifts() {
        fn check<const O: u8>() {
            for n in 0..1u32 << 14 {
                let (a, count, cf) = (n as u8, n >> 8 & 31, n >> 13 != 0);
                let before = Flags::from_bits(u64::from(cf) | 0x10);
                let (r, f) = shifted::<O, 1>(u64::from(a), u64::from(count), before);
                assert_eq!((r as u8, f.cf()), shift_expected(O, a, count, cf), "{O} {a:#x} by {count}, {cf}");
                if O < shift::SHL {
                    assert_eq!(f.bits() & 0xd4, before.bits() & 0xd4, "SF, ZF, AF, PF stay");
                }
                if count == 1 {
                    let (top, next) = (r as u8 >> 7, r as u8 >> 6 & 1);
                    let of = match O {
                        shift::SHL | shift::ROL => (top != 0) != f.cf(),
                        shift::SHR => a >> 7 != 0,
                        shift::SAR => false,
                        _ => top != next,
                    };
                    assert_eq!(f.of(), of);
                }
            }
        }
        check::<{ shift::ROL }>();
        check::<{ shift::ROR }>();
        check::<{ shift::SHL }>();
        check::<{ shift::SHR }>();
        check::<{ shift::SAR }>();
    }

    #[test]
    fn wide_shifts() {
        let f = Flags::default();
        assert_eq!(shifted::<{ shift::ROL }, 8>(1 << 63 | 1, 1, f).0, 3);
        assert_eq!(shifted::<{ shift::ROR }, 8>(3, 1, f).0, 1 << 63 | 1);
        assert_eq!(shifted::<{ shift::ROL }, 4>(0x1234_5678, 32, f).0, 0x1234_5678);
    }
}
