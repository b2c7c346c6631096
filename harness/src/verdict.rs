//! Runs scenarios on engines and holds their traces against the reviewed ones.

use crate::{
    deviations::Deviations,
    fixtures::Images,
    laws,
    render::{self, Symbols},
    scenario::{Program, Scenario},
    snapshot,
};
use anyhow::Context;
use l0_vmm::engine::{self, Engine, EngineKind, Job, Limits, Run};
use std::{path::Path, sync::Arc};
use x86_ref::Profile;

/// What came of one scenario on one engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The trace is the reviewed one, or differs as `fixtures/deviations.toml` says it does.
    Passed,
    /// It is not.
    Differed {
        /// The trace that was expected.
        expected: String,
        /// The trace that came.
        seen: String,
        /// Why that matters, in one line.
        why: String,
    },
    /// The engine lacks something that the scenario needs.
    Skipped(String),
}

/// A scenario on an engine.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// The engine.
    pub engine: EngineKind,
    /// What came of it.
    pub verdict: Verdict,
    /// Instructions that the engine counted, where it counts them.
    pub instructions: Option<u64>,
    /// VM exits that L1 saw.
    pub exits: u64,
}

/// Compiles a scenario for an engine and runs it.
pub fn run(
    scenario: &Scenario,
    engine: &mut dyn Engine,
    images: &Images,
    limits: Limits,
) -> anyhow::Result<(Program, Run)> {
    let program = scenario.program(&engine.profile().caps, &images.l2)?;
    let job = Job {
        l1: Arc::clone(&images.l1),
        l2: Arc::clone(&images.l2),
        script: program.script.clone(),
        limits,
    };
    let run = engine.run(&job).with_context(|| format!("{} on {}", scenario.name, engine.describe()))?;
    Ok((program, run))
}

/// The trace of a run in words.
pub fn trace(program: &Program, run: &Run, images: &Images) -> String {
    render::trace(program, run, &Symbols { l1: &images.l1, l2: &images.l2 })
}

/// The same with the rule that each failing VM entry broke, where the engine knows.
pub fn explained(program: &Program, run: &Run, images: &Images) -> String {
    render::explained(program, run, &Symbols { l1: &images.l1, l2: &images.l2 })
}

/// The trace that an engine is held against: the reviewed one, which is for `profile`; where the engine's processor is another
/// (a kernel whose nested VMX offers what its host has), the trace of the reference CPU as that processor.
fn expected(
    scenario: &Scenario,
    engine: &dyn Engine,
    profile: &Profile,
    images: &Images,
    fixtures: &Path,
    limits: Limits,
) -> anyhow::Result<Option<String>> {
    if engine.kind() != EngineKind::Ref && engine.profile() != profile {
        let mut same = engine::open(EngineKind::Ref, Arc::new(engine.profile().clone()))?;
        let (program, ran) = run(scenario, same.as_mut(), images, limits)?;
        return Ok(Some(trace(&program, &ran, images)));
    }
    snapshot::read(fixtures, &scenario.name)
        .with_context(|| snapshot::path(fixtures, &scenario.name).display().to_string())
}

/// Runs a scenario and judges it. `profile`: the processor model that its reviewed trace is for.
pub fn judge(
    scenario: &Scenario,
    engine: &mut dyn Engine,
    profile: &Profile,
    images: &Images,
    fixtures: &Path,
    deviations: &Deviations,
    limits: Limits,
) -> anyhow::Result<Outcome> {
    let kind = engine.kind();
    let mut outcome = Outcome {
        scenario: scenario.name.clone(),
        engine: kind,
        verdict: Verdict::Passed,
        instructions: None,
        exits: 0,
    };
    if let Some(need) = scenario.lacks(&engine.profile().caps) {
        outcome.verdict = Verdict::Skipped(format!("needs {need}, which {} has not", engine.describe()));
        return Ok(outcome);
    }
    let (program, ran) = run(scenario, engine, images, limits)?;
    outcome.instructions = ran.stats.instructions;
    outcome.exits = l0_vmm::trace::exits(&ran.records);
    let seen = trace(&program, &ran, images);
    if let Some((law, record)) = laws::broken(&ran.records, &engine.profile().caps) {
        let why = format!("record {record} breaks the law {}: {} (\"{}\")", law.id, law.text, law.title);
        outcome.verdict = Verdict::Differed { expected: String::new(), seen, why };
        return Ok(outcome);
    }
    let reviewed = expected(scenario, engine, profile, images, fixtures, limits)?;
    let deviation = deviations.find(&scenario.name, engine.kind(), engine.nested());
    outcome.verdict = match (reviewed, deviation) {
        (None, _) => Verdict::Differed {
            expected: String::new(),
            seen,
            why:
                "there is no reviewed trace; run the tests with INSTA_UPDATE=always, and read what they write"
                    .into(),
        },
        (Some(expected), None) if snapshot::same(&expected, &seen) => Verdict::Passed,
        (Some(expected), None) => {
            Verdict::Differed { expected, seen, why: "the trace is not the reviewed one".into() }
        }
        (Some(expected), Some(deviation)) if snapshot::same(&expected, &seen) => Verdict::Differed {
            expected,
            seen,
            why: format!(
                "it agrees, and deviations.toml says that it does not ({}): remove the row",
                deviation.reason
            ),
        },
        (Some(_), Some(deviation)) => match &deviation.trace {
            Some(expected) if !snapshot::same(expected, &seen) => Verdict::Differed {
                expected: expected.clone(),
                seen,
                why: format!("it differs, but not as deviations.toml says ({})", deviation.reason),
            },
            _ => Verdict::Passed,
        },
    };
    Ok(outcome)
}
