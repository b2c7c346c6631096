//! `nestrig run`.

use super::{Setting, print_json};
use crate::{
    ExitCode,
    cli::{Common, Format},
    deviations::Deviations,
    engines, report,
    verdict::{self, Verdict},
};
use l0_vmm::engine::{EngineKind, Limits};
use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Progress is shown for what takes longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(common: &Common, wanted: &[String], kinds: &[EngineKind]) -> anyhow::Result<ExitCode> {
    let setting = Setting::new(common)?;
    let scenarios = setting.select(wanted)?;
    let deviations = Deviations::load(&setting.fixtures)?;
    let mut opened = engines::open(kinds, &setting.profile);
    let total = scenarios.len() * opened.iter().filter(|o| o.engine.is_ok()).count();
    let mut progress = Progress::new(total);
    let mut outcomes = Vec::new();
    for o in &mut opened {
        let Ok(engine) = &mut o.engine else { continue };
        for scenario in &scenarios {
            progress.step(&format!("{} on {}", scenario.name, o.kind));
            let (images, fixtures) = (&setting.images, &setting.fixtures);
            let limits = Limits::default();
            outcomes.push(verdict::judge(scenario, engine.as_mut(), images, fixtures, &deviations, limits)?);
        }
    }
    progress.clear();
    match common.format {
        Format::Human => anstream::print!("{}", report::human(&opened, &outcomes)),
        Format::Json => print_json(&report::json(&opened, &outcomes))?,
    }
    let missing = opened.iter().any(|o| o.required && o.engine.is_err());
    let failed = outcomes.iter().any(|o| match o.verdict {
        Verdict::Passed => false,
        Verdict::Differed { .. } => true,
        Verdict::Skipped(_) => engines::required(o.engine),
    });
    let ran = outcomes.iter().any(|o| !matches!(o.verdict, Verdict::Skipped(_)));
    Ok(match (missing || failed, ran) {
        (true, _) => ExitCode::Difference,
        (false, true) => ExitCode::Expected,
        (false, false) => ExitCode::NothingRan,
    })
}

/// A line on the terminal that says how far we are.
struct Progress {
    start: Instant,
    total: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { start: Instant::now(), total, done: 0, shown: false }
    }

    fn step(&mut self, what: &str) {
        self.done += 1;
        if self.start.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            self.shown = true;
            let _ = write!(std::io::stderr(), "\r\x1b[K[{}/{}] {what}", self.done, self.total);
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
