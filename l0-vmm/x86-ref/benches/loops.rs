//! How fast the reference CPU is: four loops, in millions of instructions per second.
//!
//! `cargo bench -p x86-ref --bench loops` runs each of them some times and prints the median. Not criterion: what is
//! wanted is one number for each loop, of runs that take turns.

#[path = "../tests/machine/mod.rs"]
mod machine;

use machine::{ALU, CRC, FIB, MEM, Machine, Width, hex};
use std::{fs, io::Write, time::Duration, time::Instant};
use x86_ref::Stop;

/// Instructions of one sample.
const INSTRUCTIONS: u64 = 40_000_000;
/// Samples of each loop.
const SAMPLES: usize = 5;

/// Time that this thread has run, so that other programs on the machine do not count; where the system does not tell, time
/// since the start.
fn running(start: Instant) -> Duration {
    let nanoseconds = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn sample(program: &str) -> f64 {
    let mut machine = Machine::new(Width::Long, &hex(program));
    assert_eq!(machine.cpu.run(100_000), Stop::Budget, "warming up");
    let start = Instant::now();
    let before = running(start);
    assert_eq!(machine.cpu.run(INSTRUCTIONS), Stop::Budget);
    INSTRUCTIONS as f64 / (running(start) - before).as_secs_f64() / 1e6
}

fn main() -> std::io::Result<()> {
    let loops = [("alu", ALU), ("mem", MEM), ("fib", FIB), ("crc", CRC)];
    let mut samples = vec![Vec::new(); loops.len()];
    for _ in 0..SAMPLES {
        for (all, (_, program)) in samples.iter_mut().zip(loops) {
            all.push(sample(program));
        }
    }
    let mut out = std::io::stdout().lock();
    for (all, (name, _)) in samples.iter_mut().zip(loops) {
        all.sort_by(f64::total_cmp);
        writeln!(out, "{name:<4} {:>6.0} MIPS", all[all.len() / 2])?;
    }
    Ok(())
}
