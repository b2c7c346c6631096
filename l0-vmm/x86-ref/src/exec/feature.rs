//! Which optional instructions the profile has: what its CPUID says decides, as on hardware.
//!
//! SSE, SSE2 and FXSAVE belong to every 64-bit processor and are not asked for.

use crate::{Cpu, Profile, fault::Exec};

/// A CPUID feature that guards instructions modelled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Sse3,
    Ssse3,
    Sse41,
    Sse42,
    Popcnt,
    Movbe,
    Cx16,
    Xsave,
    Xsaveopt,
    Xsavec,
    Xsaves,
    Mmx,
    Avx,
    Avx2,
    F16c,
    Fma,
    Aes,
    Pclmul,
    Sha,
    Lzcnt,
    LahfLm,
    Bmi1,
    Bmi2,
    Adx,
}

/// Where CPUID says that a feature is there: leaf, subleaf, register (EAX, EBX, ECX, EDX), bit.
const WHERE: [(Feature, u32, u32, usize, u32); 24] = [
    (Feature::Sse3, 1, 0, 2, 0),
    (Feature::Pclmul, 1, 0, 2, 1),
    (Feature::Ssse3, 1, 0, 2, 9),
    (Feature::Cx16, 1, 0, 2, 13),
    (Feature::Sse41, 1, 0, 2, 19),
    (Feature::Sse42, 1, 0, 2, 20),
    (Feature::Movbe, 1, 0, 2, 22),
    (Feature::Popcnt, 1, 0, 2, 23),
    (Feature::Aes, 1, 0, 2, 25),
    (Feature::Xsave, 1, 0, 2, 26),
    (Feature::Bmi1, 7, 0, 1, 3),
    (Feature::Bmi2, 7, 0, 1, 8),
    (Feature::Adx, 7, 0, 1, 19),
    (Feature::Sha, 7, 0, 1, 29),
    (Feature::Xsaveopt, 0xd, 1, 0, 0),
    (Feature::Xsavec, 0xd, 1, 0, 1),
    (Feature::Xsaves, 0xd, 1, 0, 3),
    (Feature::Mmx, 1, 0, 3, 23),
    (Feature::Avx, 1, 0, 2, 28),
    (Feature::Avx2, 7, 0, 1, 5),
    (Feature::F16c, 1, 0, 2, 29),
    (Feature::Fma, 1, 0, 2, 12),
    (Feature::LahfLm, 0x8000_0001, 0, 2, 0),
    (Feature::Lzcnt, 0x8000_0001, 0, 2, 5),
];

/// The set of features that a profile has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features(u32);

impl Features {
    /// What the profile's CPUID lists.
    pub fn of(profile: &Profile) -> Self {
        let listed = |leaf, subleaf, register: usize, bit: u32| {
            profile
                .cpuid
                .iter()
                .filter(|l| l.leaf == leaf && l.subleaf.unwrap_or(0) == subleaf)
                .any(|l| l.regs[register & 3] >> bit & 1 != 0)
        };
        Self(
            WHERE
                .iter()
                .filter(|(_, leaf, subleaf, register, bit)| listed(*leaf, *subleaf, *register, *bit))
                .fold(0, |set, (feature, ..)| set | 1 << *feature as u32),
        )
    }

    /// Whether a feature is there.
    pub fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 != 0
    }
}

impl Cpu {
    /// #UD unless the processor has that feature.
    #[inline]
    pub(super) fn need(&mut self, feature: Feature) -> Exec {
        if self.features.has(feature) { Ok(()) } else { Err(self.ud()) }
    }
}
