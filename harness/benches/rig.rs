//! How fast the rig is, as its users meet it: one scenario as a whole process, the whole suite, and nested exits.
//!
//! `cargo bench -p harness`. Machines are noisy: compare the ratios of one run.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark: criterion's macros, its figures, one call of getrusage"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use harness::{
    fixtures::{self, Images},
    scenario::Scenario,
    verdict,
};
use l0_vmm::engine::{self, Engine, EngineKind, Job, Limits};
use std::{process::Command, sync::Arc, time::Duration};
use x86_ref::Profile;

/// A loop in L2 whose every round is an exit for CPUID, which L1 handles with VMRESUME; it ends by HLT.
const NESTED_EXITS: &str = "
title = \"nested exits\"
l2 = \"cpuid_loop\"
regs = { rsi = 100_000 }
steps = [{ run = { max = 200_000, count_only = true } }]
";

/// A loop in L2 without exits.
const STRAIGHT: &str = "
title = \"straight code\"
l2 = \"nop_loop\"
regs = { rsi = 20_000_000 }
steps = [{ run = { max = 10, count_only = true } }]
";

struct Rig {
    images: Images,
    profile: Arc<Profile>,
    engine: Box<dyn Engine>,
}

impl Rig {
    fn new() -> Self {
        let folder = fixtures::folder(None).unwrap();
        let profile = fixtures::profile(&folder, fixtures::DEFAULT_PROFILE).unwrap();
        let engine = engine::open(EngineKind::Ref, Arc::clone(&profile)).unwrap();
        Self { images: Images::built_in().unwrap(), profile, engine }
    }

    fn job(&self, text: &str) -> Job {
        let (caps, l2) = (&self.profile.caps, &self.images.l2);
        let scenario = Scenario::parse("bench", "bench", text.into(), caps, l2).unwrap();
        Job {
            l1: Arc::clone(&self.images.l1),
            l2: Arc::clone(l2),
            script: scenario.program(caps, l2).unwrap().script,
            limits: Limits { instructions: 10_000_000_000, wall: Duration::from_secs(60) },
        }
    }
}

fn engine_speed(c: &mut Criterion) {
    let mut rig = Rig::new();
    let mut group = c.benchmark_group("ref");
    for (name, text) in [("nested_exits", NESTED_EXITS), ("straight_code", STRAIGHT)] {
        let job = rig.job(text);
        let run = rig.engine.run(&job).unwrap();
        let elements = match name {
            "nested_exits" => 100_000,
            _ => run.stats.instructions.unwrap(),
        };
        group.throughput(Throughput::Elements(elements));
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| rig.engine.run(&job).unwrap()));
    }
    group.finish();
}

fn suite(c: &mut Criterion) {
    let mut rig = Rig::new();
    let folder = fixtures::folder(None).unwrap();
    let scenarios = fixtures::select(&folder, &[], &rig.profile.caps, &rig.images.l2).unwrap();
    let mut group = c.benchmark_group("suite");
    group.throughput(Throughput::Elements(scenarios.len() as u64));
    group.bench_function("ref", |b| {
        b.iter(|| {
            for scenario in &scenarios {
                verdict::run(scenario, rig.engine.as_mut(), &rig.images, Limits::default()).unwrap();
            }
        });
    });
    group.finish();
}

fn process(c: &mut Criterion) {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nestrig")).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let one = ["run", "exits/cpuid", "--engine", "ref"];
    c.bench_function("process/one_scenario", |b| b.iter(|| run(&one)));
    run(&["run", "--engine", "ref"]);
    // SAFETY: getrusage only writes to the structure that it is given, for which zero is a valid value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    println!("largest resident set of any nestrig process here: {} MiB", usage.ru_maxrss / 1024);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = engine_speed, suite, process
}
criterion_main!(benches);
