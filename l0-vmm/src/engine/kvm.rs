//! `/dev/kvm` as an engine.

use super::{Engine, EngineError, EngineKind, Job, Nested, Run, Unavailable};
use crate::{
    kvm::{
        KvmVcpu, Setup, effective, narrowed,
        probe::{self, NestedKvm},
    },
    machine::Machine,
};
use std::sync::Arc;
use x86_ref::Profile;

/// The engine.
pub(super) struct Kvm {
    kvm: kvm_ioctls::Kvm,
    nested: NestedKvm,
    /// What L1 sees.
    profile: Arc<Profile>,
    /// What KVM is told: without what it does not offer.
    narrow: Profile,
}

impl Kvm {
    pub(super) fn open(profile: Arc<Profile>) -> Result<Self, Unavailable> {
        let kvm = probe::open()?;
        let nested = probe::nested(&kvm);
        let narrow = narrowed(&kvm, &profile);
        let profile = Arc::new(effective(&kvm, &profile, &nested));
        Ok(Self { kvm, nested, profile, narrow })
    }
}

impl Engine for Kvm {
    fn kind(&self) -> EngineKind {
        EngineKind::Kvm
    }

    fn nested(&self) -> Nested {
        match self.nested {
            NestedKvm::Kernel(_) => Nested::Kernel,
            NestedKvm::Assisted(_) => Nested::Assisted,
        }
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn describe(&self) -> String {
        format!("kvm (API {}, nested: {})", self.kvm.get_api_version(), self.nested())
    }

    fn run(&mut self, job: &Job) -> Result<Run, EngineError> {
        let machine = Machine::new(job)?;
        let setup = Setup {
            kvm: &self.kvm,
            narrow: &self.narrow,
            profile: &self.profile,
            assisted: self.nested() == Nested::Assisted,
        };
        let mut vcpu = KvmVcpu::new(&setup, &machine, job)?;
        machine.run(&mut vcpu, job)
    }
}
