//! The calls between ops are jumps: 100 million instructions run on a small stack.

mod machine;

use machine::{FIB, MEM, Machine, Width, hex};
use std::thread;
use x86_ref::Stop;

/// Bytes of stack.
const STACK: usize = 256 << 10;
const INSTRUCTIONS: u64 = 50_000_000;

#[test]
fn long_runs_need_no_stack() {
    let run = || {
        for program in [MEM, FIB] {
            let mut machine = Machine::new(Width::Long, &hex(program));
            assert_eq!(machine.cpu.run(INSTRUCTIONS), Stop::Budget);
            assert_eq!(machine.cpu.retired(), INSTRUCTIONS);
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}
