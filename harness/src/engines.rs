//! Opens the engines that are asked for, and says why one cannot be opened.

use l0_vmm::engine::{self, Engine, EngineKind, Unavailable};
use std::{env, sync::Arc};
use x86_ref::Profile;

/// Names engines that must be there and scenarios that must run: `NESTRIG_REQUIRE=ref,kvm` turns skips into failures.
pub const REQUIRE_ENV: &str = "NESTRIG_REQUIRE";

/// An engine, or why there is none.
pub struct Opened {
    /// Which one.
    pub kind: EngineKind,
    /// The engine, if it can run here.
    pub engine: Result<Box<dyn Engine>, Unavailable>,
    /// Whether the environment says that it must.
    pub required: bool,
}

/// Opens those engines; all if none is named.
pub fn open(wanted: &[EngineKind], profile: &Arc<Profile>) -> Vec<Opened> {
    let kinds = if wanted.is_empty() { EngineKind::ALL } else { wanted };
    let open =
        |&kind| Opened { kind, engine: engine::open(kind, Arc::clone(profile)), required: required(kind) };
    kinds.iter().map(open).collect()
}

/// Whether the environment says that nothing may be skipped on an engine.
pub fn required(kind: EngineKind) -> bool {
    env::var(REQUIRE_ENV).is_ok_and(|list| list.split(',').any(|word| word.trim() == kind.name()))
}
