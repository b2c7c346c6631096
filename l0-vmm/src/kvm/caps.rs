//! VMX capabilities where the kernel does nested VMX: the profile's, less what the host lacks.

use super::cpuid;
use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::{Kvm, VcpuFd};
use x86_ref::Profile;
use x86_spec::{
    msr,
    vmx::caps::{Caps, MSRS},
};

/// IA32_FEATURE_CONTROL as firmware leaves it: locked, VMX can be turned on outside SMX.
const FEATURE_CONTROL: u64 = 1 << 0 | 1 << 2;
/// Bits of IA32_VMX_MISC that say that something is there; the rest are numbers, which are the host's.
const MISC_FEATURES: u64 = 0x7000_c1e0;

/// Tells a virtual processor which capabilities to report, and that VMX may be turned on. What KVM refuses stays as it
/// is; false if even VMX is refused.
pub(super) fn apply(vcpu: &VcpuFd, wanted: &Caps) -> bool {
    for &(index, name) in MSRS {
        let Some(host) = read(vcpu, index) else { continue };
        let both = both(index, host, wanted);
        if both != host && !write(vcpu, index, both) {
            tracing::debug!("KVM keeps {name} at {host:#x}: it refuses {both:#x}");
        }
    }
    write(vcpu, msr::IA32_FEATURE_CONTROL, FEATURE_CONTROL)
}

/// What both the host and the profile have.
fn both(index: u32, host: u64, wanted: &Caps) -> u64 {
    const HIGH: u64 = 0xffff_ffff << 32;
    match index {
        0x481..=0x484 | 0x48b | 0x48d..=0x490 => {
            // A profile without the TRUE MSRs has their meaning in the plain ones.
            let plain = if index >= 0x48d { index - 0x48d + 0x481 } else { index };
            let wanted = wanted.msr(index).or_else(|| wanted.msr(plain)).unwrap_or(0);
            // Bits that must be 1 add up; bits that may be 1 are those of both.
            (host | wanted) & !HIGH | host & wanted & HIGH
        }
        0x485 => host & (wanted.misc | !MISC_FEATURES),
        0x48c | 0x491 => host & wanted.msr(index).unwrap_or(0),
        _ => host,
    }
}

/// The capabilities that a virtual processor of that profile reports: CPUID decides some of them, so one is made to ask.
pub(super) fn effective(kvm: &Kvm, narrow: &Profile) -> Option<Caps> {
    let vm = kvm.create_vm().ok()?;
    let vcpu = vm.create_vcpu(0).ok()?;
    vcpu.set_cpuid2(&cpuid::table(narrow, true)?).ok()?;
    apply(&vcpu, &narrow.caps);
    Caps::from_msrs(|index| read(&vcpu, index))
}

fn entry(index: u32, data: u64) -> Option<Msrs> {
    Msrs::from_entries(&[kvm_msr_entry { index, data, ..kvm_msr_entry::default() }]).ok()
}

fn read(vcpu: &VcpuFd, index: u32) -> Option<u64> {
    let mut msrs = entry(index, 0)?;
    let count = vcpu.get_msrs(&mut msrs).ok()?;
    msrs.as_slice().first().filter(|_| count == 1).map(|m| m.data)
}

fn write(vcpu: &VcpuFd, index: u32, value: u64) -> bool {
    entry(index, value).is_some_and(|msrs| matches!(vcpu.set_msrs(&msrs), Ok(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have() {
        let wanted = Caps { pin: 0x3f_0000_0016, misc: 0x2000_0065, ..Caps::NONE };
        assert_eq!(both(0x481, 0x7f_0000_0012, &wanted), 0x3f_0000_0016);
        // No TRUE controls in the profile: its plain ones count.
        assert_eq!(both(0x48d, 0x7f_0000_0000, &wanted), 0x3f_0000_0016);
        // The profile has no EPT; numbers and the revision are the host's.
        assert_eq!(both(0x48c, 0xf01_0633_4141, &wanted), 0);
        assert_eq!(both(0x485, 0x7004_c1e7, &wanted), 0x2004_0067);
        assert_eq!(both(0x480, 0x1234, &wanted), 0x1234);
    }
}
