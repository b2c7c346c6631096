//! Every budget stops at the instruction that it says, whatever blocks there are, and hot ops do what the plain handlers
//! do: runs in one go agree with runs of single instructions, which never use a block.

mod machine;

use machine::{ALU, CRC, FAULT, FIB, MEM, MIX, Machine, SMC, Width, hex};
use x86_ref::{State, Stop};

/// 32-bit code: some of everything, with FS, 16-bit operands and 16-bit addresses.
const MIX32: &str = "89c86bd02501148f8a544f0152ff7708585b31d8404b6466894740668b5f420fcb6650665b0f42f3e80c000000678b004975cd8b8700000001c81000008945fc836dfc01c9c3";
const MIX16: &str = "89c86bd025bb000201118a550152b8100089540566b8785634126601c866890532750242e80600e2d78cc8ebd35589e583ec048956fec9c3";

type Outcome = (Stop, State, u64, u64);

fn outcome(machine: &Machine, stop: Stop) -> Outcome {
    (stop, machine.cpu.state(), machine.digest(), machine.cpu.retired())
}

fn new(width: Width, program: &str) -> Machine {
    let mut machine = Machine::new(width, &hex(program));
    let mut state = machine.cpu.state();
    if program == CRC {
        state.gpr[0] = 0xffff_ffff;
    }
    if program == SMC || program == MIX {
        state.gpr[1] = 200;
    }
    machine.cpu.set_state(&state);
    machine
}

fn check(width: Width, program: &str) {
    let mut alone = new(width, program);
    let mut done = 0;
    let budgets = (1..60).chain([64, 65, 100, 333, 1000, 4097, 20_003]);
    for budget in budgets {
        let mut stop = Stop::Budget;
        while done < budget && stop == Stop::Budget {
            stop = alone.cpu.run(1);
            done += 1;
        }
        let mut whole = new(width, program);
        let whole_stop = whole.cpu.run(budget);
        let (a, b) = (outcome(&alone, stop.clone()), outcome(&whole, whole_stop));
        assert_eq!(a, b, "budget {budget} of {program}");
        // In three parts, so that blocks are entered at odd places.
        let mut parts = new(width, program);
        let mut part_stop = Stop::Budget;
        for part in [budget / 3, budget / 3, budget - 2 * (budget / 3)] {
            if part_stop == Stop::Budget {
                part_stop = parts.cpu.run(part);
            }
        }
        assert_eq!(a, outcome(&parts, part_stop), "budget {budget} of {program} in parts");
        if stop != Stop::Budget {
            break;
        }
    }
}

#[test]
fn alu() {
    check(Width::Long, ALU);
}

#[test]
fn mem() {
    check(Width::Long, MEM);
}

#[test]
fn fib() {
    check(Width::Long, FIB);
}

#[test]
fn crc() {
    check(Width::Long, CRC);
}

#[test]
fn self_modifying() {
    check(Width::Long, SMC);
}

#[test]
fn fault_in_mid_block() {
    check(Width::Long, FAULT);
}

#[test]
fn some_of_everything() {
    check(Width::Long, MIX);
}

#[test]
fn flat_32_bit_code() {
    check(Width::Flat32, MIX32);
}

#[test]
fn real_mode() {
    check(Width::Real, MIX16);
}
