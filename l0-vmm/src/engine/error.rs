//! Why an engine could not be opened or could not run a job.

use crate::{boot::BootError, ram::RamError};

/// A name that no engine has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no engine is called {0:?}: there are ref and kvm")]
pub struct UnknownEngine(pub String);

/// An engine could not run a job at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No memory for the machine.
    #[error(transparent)]
    Ram(#[from] RamError),
    /// The images or the script do not fit.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The reference CPU could not be made.
    #[error(transparent)]
    Cpu(#[from] x86_ref::NewCpuError),
    /// A call to KVM failed.
    #[error("{call}: {source}")]
    Kvm {
        /// The call.
        call: &'static str,
        /// What it said.
        source: kvm_ioctls::Error,
    },
    /// The watchdog could not be set up.
    #[error("watchdog of the vCPU: {0}")]
    Watchdog(std::io::Error),
}

/// An engine cannot be used here, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no `/dev/kvm`.
    #[error(
        "/dev/kvm: not found: load kvm_intel or kvm_amd (modprobe kvm_intel), or turn virtualization on in the firmware or the outer hypervisor"
    )]
    NoDevice,
    /// It may not be opened.
    #[error(
        "/dev/kvm: permission denied: add yourself to group kvm (usermod -aG kvm $USER) or setfacl -m u:$USER:rw /dev/kvm"
    )]
    Permission,
    /// Another hypervisor holds the processor.
    #[error(
        "/dev/kvm: busy: another hypervisor (VirtualBox, VMware) holds the processor's virtualization: stop it"
    )]
    Busy,
    /// It cannot be opened for another reason.
    #[error("/dev/kvm: {0}")]
    Open(kvm_ioctls::Error),
    /// It speaks another version of the API.
    #[error("/dev/kvm has API version {0}, not 12: update the kernel")]
    ApiVersion(i32),
    /// It lacks something that cannot be done without.
    #[error("/dev/kvm has not {0}: update the kernel")]
    Lacks(&'static str),
    /// No virtual machine can be made.
    #[error("/dev/kvm: KVM_CREATE_VM: {0}")]
    CreateVm(kvm_ioctls::Error),
}
