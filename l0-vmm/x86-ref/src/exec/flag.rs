//! Arithmetic flags of the families in `exec`.
//!
//! Flags that the manual leaves undefined get here what processors commonly do, always the same:
//!
//! - MUL, IMUL: SF, ZF and PF from the low half of the product, AF 0.
//! - DIV, IDIV, BOUND: all unchanged.
//! - BT, BTS, BTR, BTC: only CF changes. BSF, BSR: only ZF changes, and the destination stays on a zero source.
//! - SHLD, SHRD: AF 0; OF as for a shift by one, for every count. RCL, RCR: the same rule for OF.
//! - LZCNT, TZCNT: only CF and ZF change. BEXTR: SF from the result, AF and PF 0. BLSI, BLSMSK, BLSR, BZHI, ANDN: AF and PF 0.
//! - AAA, AAS: SF, ZF and PF unchanged, OF 0. AAD, AAM: CF, AF and OF 0. DAA, DAS: OF 0.

use crate::flags::{ARITH, Flags};

pub(super) use x86_spec::cr::rflags::{AF, CF, OF, PF, ZF};

/// Sign-extends the low `size` bytes.
pub(super) fn sign_extend(value: u64, size: usize) -> u64 {
    let shift = 64 - 8 * size as u32;
    ((value << shift) as i64 >> shift) as u64
}

impl Flags {
    /// ZF, SF and PF of a result of `size` bytes, and the others as given.
    pub(super) fn of_result(value: u64, size: usize, cf: bool, of: bool, af: bool) -> Self {
        Self {
            res: sign_extend(value, size),
            aux: u64::from(cf) << 63 | u64::from(cf ^ of) << 62 | u64::from(af) << 3,
        }
    }

    /// These flags with those of `mask` replaced by those of `bits` (RFLAGS positions).
    pub(super) fn with(self, mask: u64, bits: u64) -> Self {
        Self::from_bits((self.bits() & !mask | bits & mask) & ARITH)
    }

    /// These flags with another CF.
    pub(super) fn with_cf(self, cf: bool) -> Self {
        let of = self.of();
        let aux = self.aux & !(3 << 62) | u64::from(cf) << 63 | u64::from(cf ^ of) << 62;
        Self { aux, ..self }
    }
}

/// Flags of an addition of `size` bytes with a carry in, and the sum.
pub(super) fn add(a: u64, b: u64, size: usize) -> (u64, Flags) {
    let (a, b) = (sign_extend(a, size), sign_extend(b, size));
    let sum = a.wrapping_add(b);
    // Carries out of each bit; those of the operand's own top bits moved up to where `Flags` looks.
    let carries = a & b | (a | b) & !sum;
    let bits = 8 * size as u32;
    (sum, Flags { res: sign_extend(sum, size), aux: carries << (64 - bits) & 3 << 62 | carries & 8 })
}

/// Flags of a subtraction (comparison) of `size` bytes, and the difference.
pub(super) fn sub(a: u64, b: u64, size: usize) -> (u64, Flags) {
    let (a, b) = (sign_extend(a, size), sign_extend(b, size));
    let difference = a.wrapping_sub(b);
    let borrows = !a & b | (!a | b) & difference;
    let bits = 8 * size as u32;
    (
        difference,
        Flags { res: sign_extend(difference, size), aux: borrows << (64 - bits) & 3 << 62 | borrows & 8 },
    )
}
