//! `/dev/kvm`: what it can do here, its virtual processor, and the assist for hosts without nested VMX.

mod assist;
mod caps;
mod cpuid;
mod exit;
pub(crate) mod probe;
mod run;
mod state;
mod watchdog;

pub(crate) use cpuid::{effective, narrowed};
pub(crate) use run::{KvmVcpu, Setup};
