//! Every scenario under every profile: it runs to its end, or is skipped because the profile lacks what it needs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use harness::{
    fixtures::{self, Images},
    verdict,
};
use l0_vmm::engine::{self, End, EngineKind, Limits};
use std::{fs, sync::Arc};

#[test]
fn every_profile_runs_what_it_has() {
    let folder = fixtures::folder(None).unwrap();
    let images = Images::built_in().unwrap();
    let mut failed = Vec::new();
    for file in fs::read_dir(folder.join("profiles")).unwrap() {
        let path = file.unwrap().path();
        let profile = fixtures::profile(&folder, path.to_str().unwrap()).unwrap();
        let mut ran = 0;
        for scenario in fixtures::select(&folder, &[], &profile.caps, &images.l2).unwrap() {
            if scenario.lacks(&profile.caps).is_some() {
                continue;
            }
            ran += 1;
            let mut engine = engine::open(EngineKind::Ref, Arc::clone(&profile)).unwrap();
            let (_, run) = verdict::run(&scenario, engine.as_mut(), &images, Limits::default()).unwrap();
            if !matches!(run.end, End::Finished { .. }) {
                failed.push(format!("{} {}: {:?}", profile.name, scenario.name, run.end));
            }
        }
        assert!(ran > 0, "{}", profile.name);
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
