//! The fixtures folder: scenarios, snapshots, profiles, deviations.

use crate::{
    images,
    scenario::{Scenario, ScenarioError},
};
use anyhow::{Context, bail};
use l0_vmm::{image::Image, profile};
use rig_abi::layout;
use std::{
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use x86_ref::Profile;
use x86_spec::vmx::caps::Caps;

/// Names the fixtures folder, where it is not the one of the source tree that the program was built from.
pub const FIXTURES_ENV: &str = "NESTRIG_FIXTURES";

/// The profile that the reference CPU takes on if nothing else is said, and that the snapshots are for.
pub const DEFAULT_PROFILE: &str = "skylake_server";

/// The profiles that the snapshots are for: a scenario's is that of the first which has all that it needs.
pub const REVIEWED_PROFILES: [&str; 3] = [DEFAULT_PROFILE, "icelake_server", "sapphire_rapids_server"];

/// L1's and L2's images, parsed.
#[derive(Clone)]
pub struct Images {
    /// The hypervisor.
    pub l1: Arc<Image>,
    /// Its guests.
    pub l2: Arc<Image>,
}

impl Images {
    /// The images that were built with this program.
    pub fn built_in() -> anyhow::Result<Self> {
        let parse = |what, bytes, range: Range<u64>| {
            Image::parse(bytes, range).map(Arc::new).with_context(|| format!("the built-in image of {what}"))
        };
        let l1 = layout::L1_IMAGE..layout::L1_PAGING;
        let l2 = layout::L2_IMAGE..layout::L2_IMAGE + layout::L2_IMAGE_MAX;
        Ok(Self { l1: parse("L1", images::L1, l1)?, l2: parse("L2", images::L2, l2)? })
    }
}

/// The fixtures folder: `given`, else the environment's, else the source tree's.
pub fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = match (given, env::var_os(FIXTURES_ENV)) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => PathBuf::from(path),
        (None, None) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures"),
    };
    match folder.canonicalize() {
        Ok(folder) if folder.join("scenarios").is_dir() => Ok(folder),
        _ => bail!("{}: no fixtures folder; name one by --fixtures or {FIXTURES_ENV}", folder.display()),
    }
}

/// Loads `profiles/NAME.toml`, or a file if the name ends in `.toml`.
pub fn profile(fixtures: &Path, name: &str) -> anyhow::Result<Arc<Profile>> {
    let path = match name.ends_with(".toml") {
        true => PathBuf::from(name),
        false => fixtures.join("profiles").join(format!("{name}.toml")),
    };
    Ok(Arc::new(profile::load(&path)?))
}

/// Every scenario file below `scenarios`, as name and path, in order of name.
pub fn scenario_files(fixtures: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let root = fixtures.join("scenarios");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                found.push((name_of(&root, &path), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A scenario under the first of [`REVIEWED_PROFILES`] that has all that it needs; under the default, if none has.
pub fn reviewed(
    fixtures: &Path,
    name: &str,
    path: &Path,
    l2: &Image,
) -> anyhow::Result<(Scenario, Arc<Profile>)> {
    let mut found = None;
    for profile_name in REVIEWED_PROFILES {
        let profile = profile(fixtures, profile_name)?;
        let scenario = Scenario::load(path, name, &profile.caps, l2)?;
        let complete = scenario.lacks(&profile.caps).is_none();
        if complete || found.is_none() {
            found = Some((scenario, profile));
        }
        if complete {
            break;
        }
    }
    found.context("there is no reviewed profile")
}

/// Every scenario, each under its reviewed profile.
pub fn all_reviewed(fixtures: &Path, l2: &Image) -> anyhow::Result<Vec<(Scenario, Arc<Profile>)>> {
    scenario_files(fixtures)?.iter().map(|(name, path)| reviewed(fixtures, name, path, l2)).collect()
}

/// Area and name of a scenario file below `root`.
fn name_of(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path).with_extension("");
    relative.to_string_lossy().replace('\\', "/")
}

/// Scenarios that a user names: files, or patterns with `*` and `?` over the names; all of them if nothing is named.
pub fn chosen(fixtures: &Path, wanted: &[String]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let all = scenario_files(fixtures)?;
    let root = fixtures.join("scenarios");
    let mut chosen: Vec<(String, PathBuf)> = Vec::new();
    for pattern in wanted {
        if pattern.ends_with(".toml") {
            let path = PathBuf::from(pattern);
            let known = path.canonicalize().ok().filter(|p| p.starts_with(&root));
            let name =
                known.map_or_else(|| name_of(path.parent().unwrap_or(&root), &path), |p| name_of(&root, &p));
            chosen.push((name, path));
            continue;
        }
        let before = chosen.len();
        chosen.extend(all.iter().filter(|(name, _)| matches(pattern, name)).cloned());
        if chosen.len() == before {
            let distance = |name: &str| strsim::damerau_levenshtein(name, pattern);
            let nearest = all.iter().map(|(name, _)| (distance(name), name)).min();
            let hint = match nearest.filter(|(distance, _)| *distance <= pattern.len() / 3) {
                Some((_, name)) => format!("; did you mean \"{name}\"?"),
                None => "; `nestrig list` prints what there is".to_owned(),
            };
            bail!("no scenario is named \"{pattern}\"{hint}");
        }
    }
    if wanted.is_empty() {
        chosen = all;
    }
    chosen.dedup();
    Ok(chosen)
}

/// The same, loaded for a processor with those capabilities.
pub fn select(fixtures: &Path, wanted: &[String], caps: &Caps, l2: &Image) -> anyhow::Result<Vec<Scenario>> {
    chosen(fixtures, wanted)?.iter().map(|(name, path)| Scenario::load(path, name, caps, l2)).collect()
}

/// Whether a name matches a pattern: `*` stands for anything, `?` for one character, and an area or a bare file name for all that
/// it is part of.
pub fn matches(pattern: &str, name: &str) -> bool {
    fn glob(p: &[u8], n: &[u8]) -> bool {
        match (p.first(), n.first()) {
            (None, None) => true,
            (Some(b'*'), _) => glob(&p[1..], n) || (!n.is_empty() && glob(p, &n[1..])),
            (Some(b'?'), Some(_)) => glob(&p[1..], &n[1..]),
            (Some(a), Some(b)) if a == b => glob(&p[1..], &n[1..]),
            _ => false,
        }
    }
    let tail = name.rsplit('/').next().unwrap_or(name);
    let area = name.split('/').next().unwrap_or(name);
    glob(pattern.as_bytes(), name.as_bytes())
        || glob(pattern.as_bytes(), tail.as_bytes())
        || pattern.trim_end_matches('/') == area
}

/// Whether an error is the scenario's author's to mend.
pub fn is_input_error(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<ScenarioError>() || cause.is::<profile::ProfileError>())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        assert!(matches("entry/*", "entry/guest_rflags"));
        assert!(matches("*rflags*", "entry/guest_rflags"));
        assert!(matches("guest_rflags", "entry/guest_rflags"));
        assert!(matches("entry", "entry/guest_rflags"));
        assert!(matches("entry/guest_r?lags", "entry/guest_rflags"));
        assert!(!matches("entry/guest", "entry/guest_rflags"));
        assert!(!matches("exits", "entry/guest_rflags"));
    }
}
