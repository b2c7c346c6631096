//! The commands of the program, one file each.

pub(crate) mod boot;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod list;
pub(crate) mod run;
pub(crate) mod show;

use crate::{
    cli::Common,
    fixtures::{self, Images},
    scenario::Scenario,
};
use anyhow::bail;
use serde_json::Value;
use std::{path::PathBuf, sync::Arc};
use x86_ref::Profile;

/// What most commands begin with.
pub(crate) struct Setting {
    pub fixtures: PathBuf,
    /// The processor model that was asked for, or the default.
    pub profile: Arc<Profile>,
    /// Whether it was asked for.
    given: bool,
    pub images: Images,
}

impl Setting {
    pub fn new(common: &Common) -> anyhow::Result<Self> {
        let fixtures = fixtures::folder(common.fixtures.as_deref())?;
        let given = common.profile.is_some();
        let profile =
            fixtures::profile(&fixtures, common.profile.as_deref().unwrap_or(fixtures::DEFAULT_PROFILE))?;
        Ok(Self { fixtures, profile, given, images: Images::built_in()? })
    }

    /// The scenarios that are meant, each with the processor model that it runs on.
    pub fn select(&self, wanted: &[String]) -> anyhow::Result<Vec<(Scenario, Arc<Profile>)>> {
        let load = |(name, path): &(String, PathBuf)| {
            if !self.given {
                return fixtures::reviewed(&self.fixtures, name, path, &self.images.l2);
            }
            let scenario = Scenario::load(path, name, &self.profile.caps, &self.images.l2)?;
            Ok((scenario, Arc::clone(&self.profile)))
        };
        fixtures::chosen(&self.fixtures, wanted)?.iter().map(load).collect()
    }

    /// The one scenario that a name means.
    pub fn one(&self, name: &str) -> anyhow::Result<(Scenario, Arc<Profile>)> {
        let mut found = self.select(&[name.to_owned()])?;
        if let Some(exact) = found.iter().position(|(s, _)| s.name == name) {
            return Ok(found.swap_remove(exact));
        }
        match (found.pop(), found.len()) {
            (Some(scenario), 0) => Ok(scenario),
            (last, more) => {
                let names: Vec<&str> =
                    found.iter().chain(&last).map(|(s, _)| s.name.as_str()).take(6).collect();
                bail!("\"{name}\" means {} scenarios ({}, ...); name one", more + 1, names.join(", "))
            }
        }
    }
}

/// The program's output for programs.
pub(crate) fn print_json(value: &Value) -> anyhow::Result<()> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
