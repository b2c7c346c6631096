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
}
