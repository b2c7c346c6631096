//! `fixtures/deviations.toml`: where an engine is known to differ from the manual, and why.

use anyhow::Context;
use l0_vmm::engine::{EngineKind, Nested};
use serde::Deserialize;
use std::{fs, path::Path};

/// One known difference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the engine: `kvm`.
    pub engine: String,
    /// Who does L1's VMX there: `kernel` or `assisted`; any if it is not said.
    pub nested: Option<String>,
    /// Why it differs.
    pub reason: String,
    /// Where that is reported.
    pub upstream: Option<String>,
    /// The trace that it gives; any other than the reviewed one if it is not said.
    pub trace: Option<String>,
}

/// All known differences.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviations {
    /// The rows.
    #[serde(default)]
    pub deviation: Vec<Deviation>,
}

impl Deviations {
    /// Reads the table. Every row must say why.
    pub fn load(fixtures: &Path) -> anyhow::Result<Self> {
        let path = fixtures.join("deviations.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let table: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        if let Some(row) = table.deviation.iter().find(|d| d.reason.trim().is_empty()) {
            anyhow::bail!(
                "{}: the row of {} on {} gives no reason",
                path.display(),
                row.scenario,
                row.engine
            );
        }
        Ok(table)
    }

    /// The row for a scenario on an engine.
    pub fn find(&self, scenario: &str, engine: EngineKind, nested: Nested) -> Option<&Deviation> {
        self.deviation.iter().find(|d| {
            d.scenario == scenario
                && d.engine == engine.to_string()
                && d.nested.as_ref().is_none_or(|n| *n == nested.to_string())
        })
    }
}
