//! What the processor is on KVM: a profile, less what the host cannot do.

use super::{caps, probe::NestedKvm};
use crate::profile::{self, features};
use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::Kvm;
use x86_ref::{CpuidLeaf, Profile};
use x86_spec::{cr::cr4, vmx::caps::Features};

/// Leaves whose registers are sets of features: what the host lacks is masked out.
const FEATURE_LEAVES: &[u32] = &[1, 7, 0xd, 0x8000_0001];
const LEAF_1_ECX_VMX: u32 = 1 << 5;
/// Leaf 1: brand, CLFLUSH size and APIC identifier, no features.
const LEAF_WITH_NUMBERS_IN_EBX: u32 = 1;
const LEAF_ADDRESS_SIZES: u32 = 0x8000_0008;

/// The profile as the host can do it. Where the kernel does nested VMX, that goes for its
/// capabilities too; where it does not, VMX stays: the assist does it as the profile says.
pub(crate) fn effective(kvm: &Kvm, profile: &Profile, nested: &NestedKvm) -> Profile {
    match nested {
        // L1's CPUID and VMX instructions are all executed by the reference CPU.
        NestedKvm::Assisted(_) => profile.clone(),
        NestedKvm::Kernel(_) => {
            let mut real = narrowed(kvm, profile);
            let Some(caps) = caps::effective(kvm, &real) else {
                tracing::warn!("KVM does not tell its VMX capabilities: those of the profile are taken");
                return real;
            };
            real.caps = caps;
            if let Err(error) = profile::complete(&mut real) {
                tracing::warn!(%error, "CPUID of the host");
            }
            real
        }
    }
}

/// The profile without features that KVM does not offer.
pub(crate) fn narrowed(kvm: &Kvm, profile: &Profile) -> Profile {
    let mut narrow = profile.clone();
    let Ok(supported) = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES) else { return narrow };
    let host = |leaf: &CpuidLeaf| {
        let entries = supported.as_slice().iter();
        let mut same = entries.filter(|e| e.function == leaf.leaf && e.index == leaf.subleaf.unwrap_or(0));
        same.next().map_or([0; 4], |e| [e.eax, e.ebx, e.ecx, e.edx])
    };
    for leaf in &mut narrow.cpuid {
        let host = host(leaf);
        if leaf.leaf == LEAF_ADDRESS_SIZES {
            let width = (leaf.regs[0] & 0xff).min(host[0] & 0xff);
            leaf.regs[0] = leaf.regs[0] & !0xff | width;
            continue;
        }
        if !FEATURE_LEAVES.contains(&leaf.leaf) || leaf.leaf == 0xd && leaf.subleaf.unwrap_or(0) > 1 {
            continue;
        }
        for (n, register) in leaf.regs.iter_mut().enumerate() {
            // EAX of leaf 1 is a signature, EAX of leaf 7 the number of its subleaves; in leaf 0xd only EAX has features.
            let features = match (leaf.leaf, n) {
                (0xd, 0) => true,
                (0xd, _) | (1 | 7 | 0x8000_0001, 0) => false,
                (LEAF_WITH_NUMBERS_IN_EBX, 1) => false,
                _ => true,
            };
            if features {
                *register &= host[n];
            }
        }
    }
    if profile::complete(&mut narrow).is_err() {
        tracing::warn!("CPUID of the host says nothing of address sizes");
    }
    narrow
}

/// The table for KVM_SET_CPUID2. `vmx`: whether KVM is told of VMX at all.
pub(super) fn table(profile: &Profile, vmx: bool) -> Option<CpuId> {
    let entries: Vec<kvm_cpuid_entry2> = profile
        .cpuid
        .iter()
        .map(|l| kvm_cpuid_entry2 {
            function: l.leaf,
            index: l.subleaf.unwrap_or(0),
            flags: if l.subleaf.is_some() { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 },
            eax: l.regs[0],
            ebx: l.regs[1],
            ecx: if l.leaf == 1 && !vmx { l.regs[2] & !LEAF_1_ECX_VMX } else { l.regs[2] },
            edx: l.regs[3],
            ..kvm_cpuid_entry2::default()
        })
        .collect();
    CpuId::from_entries(&entries).ok()
}

/// Bits of CR4 that KVM refuses with this (narrowed) profile: L0 keeps them to itself.
pub(super) fn hidden_cr4(narrow: &Profile, vmx: bool) -> u64 {
    let has = features(narrow);
    let mut known = cr4::OSXMMEXCPT * 2 - 1;
    for (feature, bit) in [
        (Features::UMIP, cr4::UMIP),
        (Features::LA57, cr4::LA57),
        (Features::FSGSBASE, cr4::FSGSBASE),
        (Features::PCID, cr4::PCIDE),
        (Features::XSAVE, cr4::OSXSAVE),
        (Features::SMEP, cr4::SMEP),
        (Features::SMAP, cr4::SMAP),
        (Features::PKU, cr4::PKE),
    ] {
        if has.contains(feature) {
            known |= bit;
        }
    }
    if vmx {
        known |= cr4::VMXE;
    }
    !known
}
