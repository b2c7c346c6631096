//! Scripts and L2 code that nobody wrote: whatever they ask for, a run ends in one of its named ends, and what was recorded before
//! is there.
//!
//! `HOSTILE_ROUNDS=10000 cargo test -p harness --test hostile` looks for longer; `HOSTILE_SEED` begins elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use harness::fixtures::{self, Images};
use l0_vmm::{
    engine::{self, End, EngineKind, Job, Limits, Script},
    trace::Record,
};
use rig_abi::{
    layout,
    script::{KEEP, Op, Start, Step},
};
use std::{env, sync::Arc, time::Duration};
use x86_spec::vmx::{exit::Reason, field::Field};

/// A small generator of numbers (xorshift); the same seed gives the same script.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    /// A number that has a chance to mean something: an address of the layout, a small number, one bit, a boundary, or noise.
    fn value(&mut self) -> u64 {
        match self.below(8) {
            0 | 1 => {
                let (_, at, len) = layout::PLACES[self.below(layout::PLACES.len())];
                at + [0, 1, 8, len - 1, len][self.below(5)]
            }
            2 => self.roll() % 64,
            3 => 1 << (self.roll() % 64),
            4 => !(1 << (self.roll() % 64)),
            5 => [0, u64::MAX, KEEP, 0x8000_0000_0000_0000, 0x7fff_ffff_ffff, 0xffff_ffff][self.below(6)],
            6 => self.roll() & 0xffff_ffff,
            _ => self.roll(),
        }
    }

    fn step(&mut self) -> Step {
        let op = match self.below(16) {
            0 => self.roll() as u16,
            1..=4 => [Op::LAUNCH, Op::RESUME, Op::RUN, Op::ADVANCE][self.below(4)].0,
            5..=9 => [Op::VMWRITE, Op::VMMODIFY][self.below(2)].0,
            _ => Op::ALL[self.below(Op::ALL.len())].0,
        };
        let arg = match Op(op) {
            Op::VMWRITE | Op::VMMODIFY | Op::VMREAD if self.below(8) != 0 => {
                Field::ALL[self.below(Field::ALL.len())].encoding()
            }
            Op::REPEAT => self.below(4) as u32,
            _ => self.value() as u32,
        };
        let a = if Op(op) == Op::RUN { self.roll() % 50 } else { self.value() };
        Step {
            op,
            flags: (self.roll() & 7) as u16,
            arg,
            a,
            b: self.value(),
            c: self.value(),
            d: self.value(),
        }
    }

    /// A case in a random mode, at code of random bytes, then random steps.
    fn script(&mut self) -> Script {
        let code: Vec<u8> = (0..64).map(|_| self.roll() as u8).collect();
        let mode = self.roll() % 6;
        let start = if self.below(4) == 0 { self.roll() % 5 } else { u64::from(Start::L2.0) };
        let case = Step { op: Op::CASE.0, a: layout::L2_CODE, b: mode, c: start, ..Step::default() };
        let poke = Step { op: Op::POKE.0, arg: 64, a: layout::L2_CODE, ..Step::default() };
        let run = Step { op: Op::RUN.0, a: 20, b: 1 << Reason::TRIPLE_FAULT.0, ..Step::default() };
        let mut steps = vec![case, poke];
        if self.below(2) == 0 {
            steps.push(run);
        }
        steps.extend((0..self.below(40)).map(|_| self.step()));
        Script { steps, bytes: code }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn every_run_has_a_named_end() {
    let folder = fixtures::folder(None).unwrap();
    let profile = fixtures::profile(&folder, fixtures::DEFAULT_PROFILE).unwrap();
    let images = Images::built_in().unwrap();
    let mut engine = engine::open(EngineKind::Ref, profile).unwrap();
    let seed = number("HOSTILE_SEED", 0x9e37_79b9_7f4a_7c15);
    let mut ends = [0u64; 6];
    for round in 0..number("HOSTILE_ROUNDS", 400) {
        let mut dice = Dice(seed ^ (round + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let job = Job {
            l1: Arc::clone(&images.l1),
            l2: Arc::clone(&images.l2),
            script: dice.script(),
            limits: Limits { instructions: 1_000_000, wall: Duration::from_secs(60) },
        };
        let run = engine.run(&job).unwrap_or_else(|e| panic!("round {round}: {e}"));
        ends[match run.end {
            End::Finished { .. } => 0,
            End::Shutdown => 1,
            End::Halted { .. } => 2,
            End::Budget { .. } => 3,
            End::Unsupported { .. } => 4,
            End::Fault { details } => panic!("round {round}: {details}"),
        }] += 1;
        // L1 is there to record the first thing that it is told to do.
        assert!(
            matches!(run.records.first(), Some(Record::Case { .. })),
            "round {round}: {:?}",
            run.records.first()
        );
    }
    println!("finished, shutdown, halted, budget, unsupported: {ends:?}");
    assert!(ends[0] > 0, "no script ever finished: {ends:?}");
}
