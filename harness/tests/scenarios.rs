//! Every scenario on the reference CPU, held against its reviewed snapshot.
//!
//! `INSTA_UPDATE=always cargo test -p harness --test scenarios` writes the snapshots; only the reference CPU may. Read what it
//! wrote before you commit it: the comments of the scenario say what the manual expects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use harness::{
    fixtures::{self, Images},
    snapshot, verdict,
};
use l0_vmm::engine::{self, EngineKind, Limits};
use rstest::rstest;
use std::{path::PathBuf, sync::LazyLock};

static IMAGES: LazyLock<Images> = LazyLock::new(|| Images::built_in().unwrap());

#[rstest]
fn on_ref(#[files("../fixtures/scenarios/**/*.toml")] path: PathBuf) {
    let folder = fixtures::folder(None).unwrap();
    let (name, _) = fixtures::scenario_files(&folder)
        .unwrap()
        .into_iter()
        .find(|(_, p)| *p == path.canonicalize().unwrap())
        .unwrap();
    let (scenario, profile) = fixtures::reviewed(&folder, &name, &path, &IMAGES.l2).unwrap();
    assert_eq!(scenario.lacks(&profile.caps), None, "a reviewed profile must be able to run every scenario");
    let mut engine = engine::open(EngineKind::Ref, profile).unwrap();
    let (program, run) = verdict::run(&scenario, engine.as_mut(), &IMAGES, Limits::default()).unwrap();
    let trace = verdict::trace(&program, &run, &IMAGES);
    let file = snapshot::path(&folder, &name);
    insta::with_settings!({
        snapshot_path => file.parent().unwrap(),
        prepend_module_to_snapshot => false,
        omit_expression => true,
        description => scenario.title.clone(),
    }, {
        insta::assert_snapshot!(file.file_stem().unwrap().to_str().unwrap(), trace);
    });
}
