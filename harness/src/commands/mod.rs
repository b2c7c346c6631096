//! The commands of the program, one file each.

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
    pub profile: Arc<Profile>,
    pub images: Images,
}

impl Setting {
    pub fn new(common: &Common) -> anyhow::Result<Self> {
        let fixtures = fixtures::folder(common.fixtures.as_deref())?;
        let profile = fixtures::profile(&fixtures, &common.profile)?;
        Ok(Self { fixtures, profile, images: Images::built_in()? })
    }

    pub fn select(&self, wanted: &[String]) -> anyhow::Result<Vec<Scenario>> {
        fixtures::select(&self.fixtures, wanted, &self.profile.caps, &self.images.l2)
    }

    /// The one scenario that a name means.
    pub fn one(&self, name: &str) -> anyhow::Result<Scenario> {
        let mut found = self.select(&[name.to_owned()])?;
        if let Some(exact) = found.iter().position(|s| s.name == name) {
            return Ok(found.swap_remove(exact));
        }
        match (found.pop(), found.len()) {
            (Some(scenario), 0) => Ok(scenario),
            (last, more) => {
                let names: Vec<&str> = found.iter().chain(&last).map(|s| s.name.as_str()).take(6).collect();
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
