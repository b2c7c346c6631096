//! What the PC adds to a processor model: each processor's APIC ID, x2APIC mode, the deadline timer.

use crate::profile::features;
use x86_ref::{CpuidLeaf, Profile};

/// CPUID leaf 1, ECX: x2APIC, TSC deadline.
const X2APIC: u32 = 1 << 21;
const TSC_DEADLINE: u32 = 1 << 24;
/// CPUID leaf 1, EDX: more than one logical processor in the package.
const HTT: u32 = 1 << 28;
/// CPUID leaf of the topology.
const TOPOLOGY: u32 = 0xb;

/// A register set of a leaf's subleaf 0.
pub(super) fn leaf(profile: &Profile, leaf: u32) -> [u32; 4] {
    let found = profile.cpuid.iter().find(|l| l.leaf == leaf && l.subleaf.unwrap_or(0) == 0);
    found.map_or([0; 4], |l| l.regs)
}

/// The model of one of so many processors.
pub(super) fn of(profile: &Profile, id: u32, cpus: u32) -> Profile {
    let mut model = profile.clone();
    let bits = cpus.next_power_of_two().trailing_zeros();
    if let Some(features) = model.cpuid.iter_mut().find(|l| l.leaf == 1) {
        let [_, ebx, ecx, edx] = &mut features.regs;
        *ebx = *ebx & 0xffff | cpus << 16 | id << 24;
        *ecx |= X2APIC | TSC_DEADLINE;
        if cpus > 1 {
            *edx |= HTT;
        }
    }
    if leaf(profile, 0)[0] >= TOPOLOGY {
        model.cpuid.retain(|l| l.leaf != TOPOLOGY);
        let mut level = |subleaf, shift, count, kind: u32| {
            let regs = [shift, count, kind << 8 | subleaf, id];
            model.cpuid.push(CpuidLeaf { leaf: TOPOLOGY, subleaf: Some(subleaf), regs });
        };
        // One thread in a core, the cores in one package.
        level(0, 0, 1, 1);
        level(1, bits, cpus, 2);
        level(2, 0, 0, 0);
    }
    model.caps.features = features(&model);
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_has_its_own_id() {
        let base = Profile {
            cpuid: vec![
                CpuidLeaf { leaf: 0, subleaf: None, regs: [0xd, 0, 0, 0] },
                CpuidLeaf { leaf: 1, subleaf: None, regs: [0x50654, 0x0001_0800, 0, 0] },
            ],
            ..Profile::default()
        };
        let model = of(&base, 2, 3);
        assert_eq!(leaf(&model, 1), [0x50654, 0x0203_0800, X2APIC | TSC_DEADLINE, HTT]);
        assert_eq!(leaf(&model, TOPOLOGY), [0, 1, 0x100, 2]);
    }
}
