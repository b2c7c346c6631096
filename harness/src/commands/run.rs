//! `nestrig run`.

use super::{Setting, print_json};
use crate::{
    ExitCode,
    cli::{Common, Format},
    deviations::Deviations,
    engines, report,
    scenario::Scenario,
    verdict::{self, Outcome, Verdict},
};
use anyhow::anyhow;
use l0_vmm::engine::{self, Engine, EngineKind, Limits};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{IsTerminal, Write},
    num::NonZero,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use x86_ref::Profile;

/// Progress is shown for what takes longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(common: &Common, wanted: &[String], kinds: &[EngineKind]) -> anyhow::Result<ExitCode> {
    let setting = Setting::new(common)?;
    let scenarios = setting.select(wanted)?;
    let deviations = Deviations::load(&setting.fixtures)?;
    let opened = engines::open(kinds, &setting.profile);
    let able: Vec<EngineKind> = opened.iter().filter(|o| o.engine.is_ok()).map(|o| o.kind).collect();
    let jobs: Vec<Job<'_>> = able
        .iter()
        .flat_map(|&kind| scenarios.iter().map(move |(scenario, profile)| Job { kind, scenario, profile }))
        .collect();
    let outcomes = judge_all(&setting, &jobs, &deviations)?;
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

/// A scenario to be judged.
struct Job<'a> {
    kind: EngineKind,
    scenario: &'a Scenario,
    profile: &'a Arc<Profile>,
}

/// Judges all jobs, on as many threads as there are processors, each with engines of its own. The outcomes come in the
/// order of the jobs.
fn judge_all(setting: &Setting, jobs: &[Job<'_>], deviations: &Deviations) -> anyhow::Result<Vec<Outcome>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len().max(1));
    let (next, progress) = (AtomicUsize::new(0), Mutex::new(Progress::new(jobs.len())));
    let work = || -> anyhow::Result<Vec<(usize, Outcome)>> {
        let mut engines: BTreeMap<(EngineKind, &str), Box<dyn Engine>> = BTreeMap::new();
        let mut done = Vec::new();
        while let Some((n, &Job { kind, scenario, profile })) = claim(&next, jobs) {
            if let Ok(mut progress) = progress.lock() {
                progress.step(&format!("{} on {kind}", scenario.name));
            }
            let engine = match engines.entry((kind, &profile.name)) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(place) => place.insert(engine::open(kind, Arc::clone(profile))?),
            };
            let limits = Limits::default();
            let outcome = verdict::judge(
                scenario,
                engine.as_mut(),
                profile,
                &setting.images,
                &setting.fixtures,
                deviations,
                limits,
            )?;
            done.push((n, outcome));
        }
        Ok(done)
    };
    let mut all = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            all.extend(worker.join().map_err(|_| anyhow!("a thread that judges scenarios panicked"))??);
        }
        anyhow::Ok(())
    })?;
    if let Ok(progress) = progress.lock() {
        progress.clear();
    }
    all.sort_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

/// The next job that nobody has taken.
fn claim<'a, T>(next: &AtomicUsize, jobs: &'a [T]) -> Option<(usize, &'a T)> {
    let n = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(n).map(|job| (n, job))
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
