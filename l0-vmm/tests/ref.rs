//! The reference engine on tiny L1s.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod common;

use common::{Code, check, profile};
use l0_vmm::engine::{EngineKind, Nested, open};

#[test]
fn tiny_l1s() {
    let mut engine = open(EngineKind::Ref, profile()).unwrap();
    assert_eq!((engine.kind(), engine.nested()), (EngineKind::Ref, Nested::Reference));
    assert_eq!(engine.describe(), "ref (skylake_server)");
    check(&mut *engine);
}

#[test]
fn the_same_job_gives_the_same_run() {
    let mut engine = open(EngineKind::Ref, profile()).unwrap();
    let mut run = || {
        let mut run = Code::default().fill_ring(&common::record_bytes(0)).exit_with(9).run(&mut *engine);
        run.stats.wall = Default::default();
        run
    };
    assert_eq!(run(), run());
}
