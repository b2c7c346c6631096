//! The design's invariants, held by tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use harness::{
    fixtures::{self, Images},
    scenario::Scenario,
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn scenarios() -> Vec<Scenario> {
    let folder = fixtures::folder(None).unwrap();
    let profile = fixtures::profile(&folder, fixtures::DEFAULT_PROFILE).unwrap();
    fixtures::select(&folder, &[], &profile.caps, &Images::built_in().unwrap().l2).unwrap()
}

/// Which of our crates each of ours may depend on. The order of the design: nothing depends on harness.
const MAY_USE: &[(&str, &[&str])] = &[
    ("x86-spec", &[]),
    ("rig-abi", &[]),
    ("x86-ref", &["x86-spec"]),
    ("l0-vmm", &["x86-ref", "x86-spec", "rig-abi"]),
    ("l1-hypervisor", &["x86-spec", "rig-abi"]),
    ("l2-guests", &["rig-abi"]),
    ("harness", &["l0-vmm", "l1-hypervisor", "l2-guests", "x86-ref", "x86-spec", "rig-abi"]),
];

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn dependencies_run_one_way() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let known: BTreeSet<&str> = MAY_USE.iter().map(|m| m.0).collect();
    assert_eq!(names, known, "a crate is missing in MAY_USE");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let may = MAY_USE.iter().find(|m| m.0 == name).unwrap().1;
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let ours = known.contains(used) && dependency["kind"].is_null();
            assert!(!ours || may.contains(&used), "{name} must not depend on {used}");
        }
    }
}

#[test]
fn every_crate_inherits_the_workspace() {
    for package in metadata()["packages"].as_array().unwrap() {
        let path = package["manifest_path"].as_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        for line in ["[lints]\nworkspace = true", "edition.workspace = true", "license.workspace = true"] {
            assert!(text.contains(line), "{path} lacks {line:?}");
        }
    }
}

#[test]
fn every_snapshot_has_its_scenario() {
    let folder = fixtures::folder(None).unwrap();
    let names: BTreeSet<String> =
        fixtures::scenario_files(&folder).unwrap().into_iter().map(|(name, _)| name).collect();
    let snapshots = files(&folder.join("snapshots"));
    for path in &snapshots {
        let name = path.strip_prefix(folder.join("snapshots")).unwrap().with_extension("");
        let name = name.to_str().unwrap();
        assert!(names.contains(name), "{} has no scenario", path.display());
        assert_eq!(path.extension().unwrap(), "snap", "{} is no snapshot", path.display());
    }
    assert_eq!(snapshots.len(), names.len(), "a scenario has no snapshot");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn every_fixture_is_used() {
    let folder = fixtures::folder(None).unwrap();
    for path in files(&folder) {
        let area = path.strip_prefix(&folder).unwrap().components().next().unwrap();
        let area = area.as_os_str().to_str().unwrap();
        let known = ["scenarios", "snapshots", "profiles", "deviations.toml"];
        assert!(known.contains(&area), "nothing reads {}", path.display());
        if area == "profiles" {
            fixtures::profile(&folder, path.to_str().unwrap()).unwrap();
        }
    }
    harness::deviations::Deviations::load(&folder).unwrap();
}

#[test]
fn every_deviation_names_a_scenario_and_an_engine() {
    let folder = fixtures::folder(None).unwrap();
    let names: BTreeSet<String> = scenarios().into_iter().map(|s| s.name).collect();
    for row in harness::deviations::Deviations::load(&folder).unwrap().deviation {
        assert!(names.contains(&row.scenario), "deviations.toml: there is no scenario {}", row.scenario);
        row.engine.parse::<l0_vmm::engine::EngineKind>().unwrap();
    }
}

#[test]
fn files_stay_readable() {
    let mut long = Vec::new();
    for folder in ["l0-vmm", "l1-hypervisor", "l2-guests", "harness"] {
        for path in files(&root().join(folder)) {
            if path.extension().is_some_and(|e| e == "rs") {
                let lines = fs::read_to_string(&path).unwrap().lines().count();
                if lines > 700 {
                    long.push(format!("{} has {lines} lines", path.display()));
                }
            }
        }
    }
    assert!(long.is_empty(), "split these files: {long:#?}");
}
