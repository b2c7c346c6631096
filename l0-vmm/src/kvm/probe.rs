//! What `/dev/kvm` can do here, and if not, what to do about it.

use crate::engine::Unavailable;
use kvm_ioctls::{Cap, Kvm};
use std::fs;

/// What was found out about `/dev/kvm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvmProbe {
    /// Why it cannot be used, if it cannot.
    pub unavailable: Option<Unavailable>,
    /// Version of the API.
    pub api_version: Option<i32>,
    /// Capabilities that matter here, with their values.
    pub capabilities: Vec<(&'static str, i32)>,
    /// Whether the kernel itself does nested VMX.
    pub nested: NestedKvm,
    /// Module parameters that could be read: path and value.
    pub parameters: Vec<(String, String)>,
}

/// Whether the kernel does nested VMX, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NestedKvm {
    /// It does; with the value of KVM_CAP_NESTED_STATE.
    Kernel(i32),
    /// It does not; the assist takes its place.
    Assisted(String),
}

/// Capabilities that are reported.
const CAPS: &[(&str, Cap)] = &[
    ("KVM_CAP_USER_MEMORY", Cap::UserMemory),
    ("KVM_CAP_NESTED_STATE", Cap::NestedState),
    ("KVM_CAP_SYNC_REGS", Cap::SyncRegs),
    ("KVM_CAP_IMMEDIATE_EXIT", Cap::ImmediateExit),
    ("KVM_CAP_SET_GUEST_DEBUG", Cap::SetGuestDebug),
    ("KVM_CAP_X86_USER_SPACE_MSR", Cap::X86UserSpaceMsr),
    ("KVM_CAP_X86_MSR_FILTER", Cap::X86MsrFilter),
    ("KVM_CAP_MAX_VCPUS", Cap::MaxVcpus),
];

/// Opens `/dev/kvm` and checks that it can run a machine.
pub(crate) fn open() -> Result<Kvm, Unavailable> {
    let kvm = Kvm::new().map_err(|e| match e.errno() {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => Unavailable::NoDevice,
        libc::EACCES | libc::EPERM => Unavailable::Permission,
        libc::EBUSY => Unavailable::Busy,
        _ => Unavailable::Open(e),
    })?;
    const API: i32 = 12;
    match kvm.get_api_version() {
        API => {}
        other => return Err(Unavailable::ApiVersion(other)),
    }
    if !kvm.check_extension(Cap::UserMemory) {
        return Err(Unavailable::Lacks("KVM_CAP_USER_MEMORY"));
    }
    Ok(kvm)
}

/// CPUID leaf 1, ECX: VMX.
const CPUID_VMX: u32 = 1 << 5;
/// CPUID leaf 8000_0001, ECX: SVM.
const CPUID_SVM: u32 = 1 << 2;

/// Whether the kernel does nested VMX.
pub(crate) fn nested(kvm: &Kvm) -> NestedKvm {
    let supported = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES);
    let ecx = |leaf| {
        let leaves = supported.as_ref().map_or(&[][..], |c| c.as_slice());
        leaves.iter().find(|e| e.function == leaf).map_or(0, |e| e.ecx)
    };
    let state = kvm.check_extension_int(Cap::NestedState);
    if ecx(1) & CPUID_VMX != 0 && state > 0 {
        return NestedKvm::Kernel(state);
    }
    let parameter = fs::read_to_string("/sys/module/kvm_intel/parameters/nested").unwrap_or_default();
    NestedKvm::Assisted(match parameter.trim() {
        "N" | "0" => "kvm_intel has nested=0: modprobe -r kvm_intel && modprobe kvm_intel nested=1".into(),
        _ if ecx(0x8000_0001) & CPUID_SVM != 0 => {
            "the host CPU is AMD: nested VMX cannot run on this KVM".into()
        }
        _ if ecx(1) & CPUID_VMX == 0 => {
            "KVM does not offer VMX to guests (supported CPUID leaf 1, ECX bit 5 is 0)".into()
        }
        _ => "KVM_CAP_NESTED_STATE is 0".into(),
    })
}

/// Finds out what `/dev/kvm` can do here. Fast: it makes no virtual processor.
pub fn probe_kvm() -> KvmProbe {
    let mut probe = KvmProbe {
        unavailable: None,
        api_version: None,
        capabilities: Vec::new(),
        nested: NestedKvm::Assisted("/dev/kvm cannot be used".into()),
        parameters: parameters(),
    };
    match open() {
        Err(why) => {
            if let Unavailable::ApiVersion(version) = why {
                probe.api_version = Some(version);
            }
            probe.unavailable = Some(why);
        }
        Ok(kvm) => {
            probe.api_version = Some(kvm.get_api_version());
            probe.capabilities =
                CAPS.iter().map(|(name, cap)| (*name, kvm.check_extension_int(*cap))).collect();
            probe.nested = nested(&kvm);
            probe.unavailable = kvm.create_vm().err().map(Unavailable::CreateVm);
        }
    }
    probe
}

fn parameters() -> Vec<(String, String)> {
    const NAMES: &[&str] = &[
        "kvm_intel/parameters/nested",
        "kvm_intel/parameters/ept",
        "kvm_intel/parameters/unrestricted_guest",
        "kvm_intel/parameters/preemption_timer",
        "kvm_amd/parameters/nested",
    ];
    let read = |name: &&str| {
        let path = format!("/sys/module/{name}");
        fs::read_to_string(&path).ok().map(|value| (path, value.trim().to_owned()))
    };
    NAMES.iter().filter_map(read).collect()
}
