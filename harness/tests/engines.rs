//! Every scenario on every engine but the reference CPU, held against the same snapshots.
//!
//! A test that cannot run is shown as ignored, and the reason is printed once on stderr; with `NESTRIG_REQUIRE=kvm` it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test, and its helpers"
)]

use harness::{
    deviations::Deviations,
    engines,
    fixtures::{self, Images},
    report,
    scenario::Scenario,
    verdict::{self, Verdict},
};
use l0_vmm::engine::{self, EngineKind, Limits};
use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::Arc;

fn main() -> std::process::ExitCode {
    let mut args = Arguments::from_args();
    // A virtual CPU for each test thread is enough; more would only fight for the processors.
    args.test_threads = args.test_threads.or(Some(2));
    libtest_mimic::run(&args, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let folder = fixtures::folder(None).expect("fixtures");
    let images = Images::built_in().expect("images");
    let deviations = Arc::new(Deviations::load(&folder).expect("deviations"));
    let scenarios = fixtures::all_reviewed(&folder, &images.l2).expect("scenarios");
    let default = fixtures::profile(&folder, fixtures::DEFAULT_PROFILE).expect("default profile");
    let mut trials = Vec::new();
    for kind in EngineKind::ALL.iter().copied().filter(|k| *k != EngineKind::Ref) {
        let missing = engine::open(kind, Arc::clone(&default)).err();
        if let Some(why) = &missing {
            eprintln!("{kind}: not run: {why}");
        }
        for (scenario, profile) in &scenarios {
            let name = format!("{kind}::{}", scenario.name);
            let (folder, profile, images) = (folder.clone(), Arc::clone(profile), images.clone());
            let (deviations, scenario, missing) =
                (Arc::clone(&deviations), scenario.clone(), missing.clone());
            let ignored = missing.is_some() && !engines::required(kind);
            let test = move || match missing {
                Some(why) => Err(format!("{kind} is required by {}: {why}", engines::REQUIRE_ENV).into()),
                None => judge(kind, &scenario, profile, &images, &folder, &deviations),
            };
            trials.push(Trial::test(name, test).with_ignored_flag(ignored));
        }
    }
    trials
}

fn judge(
    kind: EngineKind,
    scenario: &Scenario,
    profile: Arc<x86_ref::Profile>,
    images: &Images,
    folder: &std::path::Path,
    deviations: &Deviations,
) -> Result<(), Failed> {
    let mut engine = engine::open(kind, Arc::clone(&profile))?;
    let outcome =
        verdict::judge(scenario, engine.as_mut(), &profile, images, folder, deviations, Limits::default())
            .map_err(|e| format!("{e:#}"))?;
    match outcome.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Differed { expected, seen, why } => {
            Err(format!("{why}\n{}", report::text_diff(&expected, &seen)).into())
        }
        Verdict::Skipped(why) if engines::required(kind) => Err(why.into()),
        Verdict::Skipped(why) => {
            eprintln!("{} on {kind}: skipped: {why}", scenario.name);
            Ok(())
        }
    }
}
