//! What the flags after a VMX instruction say. SDM: "Conventions" of "VMX Instruction Reference".

use rig_abi::record::Outcome;

const CF: u64 = 1 << 0;
const ZF: u64 = 1 << 6;
/// CF, PF, AF, ZF, SF and OF: every one of them is defined after a VMX instruction.
const ARITHMETIC: u64 = CF | 1 << 2 | 1 << 4 | ZF | 1 << 7 | 1 << 11;

/// The outcome of a VMX instruction that left these RFLAGS.
pub const fn of_flags(rflags: u64) -> Outcome {
    match rflags & ARITHMETIC {
        0 => Outcome::VM_SUCCEED,
        CF => Outcome::VM_FAIL_INVALID,
        ZF => Outcome::VM_FAIL_VALID,
        _ => Outcome::BAD_FLAGS,
    }
}

/// Whether an outcome is a success, of which a quiet step leaves no record.
pub const fn succeeded(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::OK | Outcome::VM_SUCCEED)
}

/// An exception in a step, as the trap handler hands it over in one register: bit 63 set, error code from bit 8,
/// vector below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub u64);

impl Fault {
    /// No exception.
    pub const NONE: Self = Self(0);
    const PRESENT: u64 = 1 << 63;

    /// An exception with its error code (0 where it has none).
    pub const fn new(vector: u64, error: u64) -> Self {
        Self(Self::PRESENT | (error & 0xffff_ffff) << 8 | vector & 0xff)
    }

    /// Whether there was one.
    pub const fn is_some(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// The vector.
    pub const fn vector(self) -> u32 {
        (self.0 & 0xff) as u32
    }

    /// The error code.
    pub const fn error(self) -> u32 {
        (self.0 >> 8 & 0xffff_ffff) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_combinations_mean_something() {
        // Bit 1 is always set; IF, DF and the like do not count.
        for noise in [0x2, 0x202, 0x4_0602] {
            assert_eq!(of_flags(noise), Outcome::VM_SUCCEED);
            assert_eq!(of_flags(noise | 1), Outcome::VM_FAIL_INVALID);
            assert_eq!(of_flags(noise | 0x40), Outcome::VM_FAIL_VALID);
        }
        for flags in [0x41, 0x4, 0x10, 0x80, 0x800, 0x44, 0x5, 0x8d5] {
            assert_eq!(of_flags(flags), Outcome::BAD_FLAGS, "{flags:#x}");
        }
    }

    #[test]
    fn a_fault_keeps_vector_and_error_code() {
        let fault = Fault::new(14, 0xffff_fffb);
        assert!(fault.is_some() && !Fault::NONE.is_some());
        assert_eq!((fault.vector(), fault.error()), (14, 0xffff_fffb));
    }
}
