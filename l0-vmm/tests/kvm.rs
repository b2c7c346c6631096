//! `/dev/kvm` on tiny L1s. Where it cannot be used the tests say why, and fail if `NESTRIG_REQUIRE` names `kvm`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod common;

use common::{Code, check, profile};
use l0_vmm::engine::{End, Engine, EngineKind, Nested, open};

fn engine() -> Option<Box<dyn Engine>> {
    match open(EngineKind::Kvm, profile()) {
        Ok(engine) => Some(engine),
        Err(why) => {
            let required = std::env::var("NESTRIG_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r.trim() == "kvm"), "NESTRIG_REQUIRE={required}, but {why}");
            eprintln!("not run: {why}");
            None
        }
    }
}

#[test]
fn tiny_l1s() {
    let Some(mut engine) = engine() else { return };
    assert_eq!(engine.kind(), EngineKind::Kvm);
    check(&mut *engine);
}

/// What an assist costs: a loop over MOV from CR4.
#[test]
fn an_assist_takes_microseconds() {
    const ROUNDS: u32 = 5_000;
    let Some(mut engine) = engine() else { return };
    // mov ebx, ROUNDS; mov rax, cr4; dec ebx; jnz
    let code =
        Code::default().load(3, ROUNDS.into()).sensitive(&[0x0f, 0x20, 0xe0]).raw(&[0xff, 0xcb, 0x75, 0xf9]);
    let run = code.exit_with(0).run(&mut *engine);
    assert_eq!(run.end, End::Finished { code: 0 });
    if engine.nested() == Nested::Assisted {
        assert_eq!(run.stats.assists, u64::from(ROUNDS));
        let each = |time: std::time::Duration| time / ROUNDS;
        println!(
            "an assist: {:?}, of that {:?} on the reference CPU",
            each(run.stats.wall),
            each(run.stats.assist_wall)
        );
    }
}
