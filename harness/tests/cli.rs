//! The program as a user meets it: good input, bad input, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn nestrig(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nestrig")).args(args).env_remove("NESTRIG_REQUIRE").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a scenario given as text and returns what the program said on stderr and its exit code.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    fs::write(&file, text).unwrap();
    let output = nestrig(&["run", file.to_str().unwrap(), "--engine", "ref"]);
    assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
    stderr(&output)
}

#[test]
fn an_unknown_word_is_named_with_its_place_and_the_nearest_valid_one() {
    let error = refused("title = \"x\"\nsteps = [\n  \"lunch\",\n]\n");
    assert!(error.contains("bad.toml:3:3: unknown step \"lunch\"; did you mean \"launch\"?"), "{error}");
    let error = refused("title = \"x\"\nsteps = [{ vmwrite = { GUEST_RFLAG = 2 } }]\n");
    assert!(
        error.contains("bad.toml:2:24: unknown VMCS field \"GUEST_RFLAG\"; did you mean \"GUEST_RFLAGS\"?"),
        "{error}"
    );
    let error = refused("title = \"x\"\nl2 = \"hlt_onse\"\nsteps = [\"launch\"]\n");
    assert!(error.contains("did you mean \"hlt_once\"?"), "{error}");
    let error = refused("title = \"x\"\nmood = \"real\"\nsteps = []\n");
    assert!(
        error.contains("bad.toml:2:1: unknown word in a scenario \"mood\"; did you mean \"mode\"?"),
        "{error}"
    );
}

#[test]
fn a_value_too_wide_for_its_field_is_refused() {
    let error = refused("title = \"x\"\nsteps = [{ vmwrite = { GUEST_CS_SELECTOR = \"0x10000\" } }]\n");
    assert!(error.contains("0x10000 does not fit into 16 bits"), "{error}");
}

#[test]
fn steps_that_cannot_be_are_refused() {
    let error = refused(
        "title = \"x\"\nsteps = [{ repeat = { times = 2, steps = [{ repeat = { times = 2, steps = [] } }] } }]\n",
    );
    assert!(error.contains("cannot be nested"), "{error}");
    let error = refused("title = \"x\"\nsteps = [\"vmread\"]\n");
    assert!(error.contains("\"vmread\" needs arguments"), "{error}");
    let error = refused("title = \"x\"\n");
    assert!(error.contains("a scenario needs \"steps\""), "{error}");
    let error = refused("title = \"x\"\nneeds = [\"eptt\"]\nsteps = []\n");
    assert!(error.contains("unknown ability \"eptt\""), "{error}");
    let error = refused("title = \nsteps = []\n");
    assert!(error.contains("bad.toml:1:"), "{error}");
}

#[test]
fn names_that_mean_nothing_are_refused_with_the_nearest() {
    let output = nestrig(&["show", "exits/cpuidd"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean"), "{}", stderr(&output));
    assert_eq!(nestrig(&["run", "--engine", "xen"]).status.code(), Some(2));
    assert_eq!(nestrig(&["run", "/nowhere/at/all.toml"]).status.code(), Some(2));
    assert_eq!(nestrig(&["list", "--fixtures", "/nowhere"]).status.code(), Some(2));
    assert_eq!(nestrig(&["run", "--profile", "pentium"]).status.code(), Some(2));
}

/// A copy of the fixtures folder that a test may change.
fn copy_of_fixtures(to: &Path) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target)
            } else {
                {
                    fs::copy(&path, &target).unwrap();
                }
            }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures"), to);
}

#[test]
fn an_edited_snapshot_is_a_difference() {
    let folder = tempfile::tempdir().unwrap();
    copy_of_fixtures(folder.path());
    let fixtures = folder.path().to_str().unwrap();
    let args = ["run", "exits/cpuid", "--engine", "ref", "--fixtures", fixtures];
    let good = nestrig(&args);
    assert_eq!(good.status.code(), Some(0), "{}{}", stdout(&good), stderr(&good));
    assert!(stdout(&good).contains("1 ran, 1 passed, 0 differed, 0 skipped"), "{}", stdout(&good));
    let snapshot = folder.path().join("snapshots/exits/cpuid.snap");
    let text = fs::read_to_string(&snapshot).unwrap();
    assert!(text.contains("EXIT 10 CPUID"), "{text}");
    fs::write(&snapshot, text.replace("EXIT 10 CPUID", "EXIT 11 GETSEC")).unwrap();
    let bad = nestrig(&args);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stdout(&bad).contains("+ ") && stdout(&bad).contains("EXIT 11 GETSEC"), "{}", stdout(&bad));
}

#[test]
fn what_a_profile_lacks_is_skipped_with_the_reason() {
    let output = nestrig(&["run", "ept", "--engine", "ref", "--profile", "minimal"]);
    assert_eq!(output.status.code(), Some(77), "{}", stdout(&output));
    assert!(stdout(&output).contains("needs ept"), "{}", stdout(&output));
}

#[test]
fn the_same_scenario_gives_the_same_bytes_a_hundred_times() {
    let first = nestrig(&["show", "exits/cpuid", "--format", "json"]).stdout;
    assert!(!first.is_empty());
    for _ in 1..100 {
        assert_eq!(nestrig(&["show", "exits/cpuid", "--format", "json"]).stdout, first);
    }
}

#[test]
fn lists_and_json() {
    for what in ["scenarios", "words", "l2", "rules", "abilities"] {
        let output = nestrig(&["list", "--what", what, "--format", "json"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!value.as_array().unwrap().is_empty(), "{what}");
        assert!(!nestrig(&["list", "--what", what]).stdout.is_empty());
    }
    let doctor = nestrig(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(0));
    assert!(stdout(&doctor).contains("ref  yes"), "{}", stdout(&doctor));
}
