//! What CPUID says, in the words of [`Features`]. SDM: "CPUID - CPU Identification".

use x86_ref::Profile;
use x86_spec::vmx::caps::Features;

const EAX: usize = 0;
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;

/// Leaf, subleaf, register and bit of each feature.
const BITS: &[(Features, u32, u32, usize, u32)] = &[
    (Features::SMX, 1, 0, ECX, 6),
    (Features::PCID, 1, 0, ECX, 17),
    (Features::X2APIC, 1, 0, ECX, 21),
    (Features::XSAVE, 1, 0, ECX, 26),
    (Features::FSGSBASE, 7, 0, EBX, 0),
    (Features::SGX, 7, 0, EBX, 2),
    (Features::SMEP, 7, 0, EBX, 7),
    (Features::INVPCID, 7, 0, EBX, 10),
    (Features::RTM, 7, 0, EBX, 11),
    (Features::MPX, 7, 0, EBX, 14),
    (Features::SMAP, 7, 0, EBX, 20),
    (Features::PT, 7, 0, EBX, 25),
    (Features::UMIP, 7, 0, ECX, 2),
    (Features::PKU, 7, 0, ECX, 3),
    (Features::CET_SS, 7, 0, ECX, 7),
    (Features::LA57, 7, 0, ECX, 16),
    (Features::KEY_LOCKER, 7, 0, ECX, 23),
    (Features::BUS_LOCK_DETECT, 7, 0, ECX, 24),
    (Features::PKS, 7, 0, ECX, 31),
    (Features::UINTR, 7, 0, EDX, 5),
    (Features::ARCH_LBR, 7, 0, EDX, 19),
    (Features::CET_IBT, 7, 0, EDX, 20),
    (Features::LASS, 7, 1, EAX, 6),
    (Features::FRED, 7, 1, EAX, 17),
    (Features::LAM, 7, 1, EAX, 26),
    (Features::XSAVES, 0xd, 1, EAX, 3),
    (Features::SYSCALL, 0x8000_0001, 0, EDX, 11),
    (Features::NX, 0x8000_0001, 0, EDX, 20),
    (Features::PAGE_1G, 0x8000_0001, 0, EDX, 26),
    (Features::RDTSCP, 0x8000_0001, 0, EDX, 27),
    (Features::LM, 0x8000_0001, 0, EDX, 29),
];

/// IA32_PERF_CAPABILITIES, and its bit that says that counters can be frozen in SMM.
const PERF_CAPABILITIES: u32 = 0x345;
const FREEZE_WHILE_SMM: u64 = 1 << 12;

fn register(profile: &Profile, leaf: u32, subleaf: u32, register: usize) -> u32 {
    let found = profile.cpuid.iter().find(|l| l.leaf == leaf && l.subleaf.is_none_or(|s| s == subleaf));
    found.map_or(0, |l| l.regs[register])
}

/// The features that a profile's CPUID leaves and MSRs report.
pub fn features(profile: &Profile) -> Features {
    let mut features = Features::empty();
    for &(feature, leaf, subleaf, which, bit) in BITS {
        features.set(feature, register(profile, leaf, subleaf, which) >> bit & 1 != 0);
    }
    let perf = profile.msrs.iter().find(|m| m.0 == PERF_CAPABILITIES).map_or(0, |m| m.1);
    features.set(Features::FREEZE_IN_SMM, perf & FREEZE_WHILE_SMM != 0);
    features
}

/// Whether CPUID reports VMX.
pub(crate) fn has_vmx(profile: &Profile) -> bool {
    register(profile, 1, 0, ECX) >> 5 & 1 != 0
}

/// Width of a physical address; 36 where CPUID does not say.
pub(super) fn physical_width(profile: &Profile) -> u8 {
    match register(profile, 0x8000_0008, 0, EAX) as u8 {
        0 => 36,
        width => width,
    }
}
