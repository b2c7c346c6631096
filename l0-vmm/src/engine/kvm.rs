//! `/dev/kvm` as an engine.

use super::{Engine, EngineError, EngineKind, Job, Nested, Run, Unavailable};
use crate::kvm::probe::{self, NestedKvm};
use std::sync::Arc;
use x86_ref::Profile;

/// The engine.
pub(super) struct Kvm {
    _kvm: kvm_ioctls::Kvm,
    nested: NestedKvm,
    profile: Arc<Profile>,
}

impl Kvm {
    pub(super) fn open(profile: Arc<Profile>) -> Result<Self, Unavailable> {
        let kvm = probe::open()?;
        let nested = probe::nested(&kvm);
        Ok(Self { _kvm: kvm, nested, profile })
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
        format!("kvm (API 12, nested: {})", self.nested())
    }

    fn run(&mut self, _job: &Job) -> Result<Run, EngineError> {
        Err(EngineError::Kvm { call: "KVM_CREATE_VM", source: kvm_ioctls::Error::new(libc::ENOSYS) })
    }
}
