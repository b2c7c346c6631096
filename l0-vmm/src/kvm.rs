//! `/dev/kvm`: what it can do here, its virtual processor, and the assist for hosts without nested VMX.

pub(crate) mod probe;
