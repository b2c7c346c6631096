//! The instructions, one file for each family.
//!
//! Each family has `pub(super) fn find(Mnemonic/&Instruction) -> Option<Handler>`; [`find`] asks them in turn when a block
//! is decoded, never while it runs. What is hot has specialised ops in `block` and no handler here.

use crate::{Cpu, fault::Exec};
use iced_x86::Instruction;

mod atomic;
mod bcd;
mod beyond;
mod bits;
mod bmi;
pub(crate) mod feature;
mod flag;
mod fxsave;
mod misc;
mod muldiv;
mod operand;
mod shift;
mod soft;
mod sse;
mod sse_float;
mod sse_int;
mod sse_move;
mod stack;
mod string;
mod x87;

/// Executes one instruction.
///
/// When it is called [`Cpu::rip`] is that of the instruction (`insn.ip()`). A handler of an instruction that does not
/// change the flow leaves RIP alone; one that does sets [`Cpu::rip`] to its target; the run loop knows by
/// [`ends_block`] which it is. On `Err` nothing architectural may have changed, but what the manual says has.
pub(crate) type Handler = fn(&mut Cpu, &Instruction) -> Exec;

/// The handler of an instruction; `None`: it is not modelled.
pub(crate) fn find(insn: &Instruction) -> Option<Handler> {
    integer(insn).or_else(|| floating(insn))
}

/// The families of integer instructions.
fn integer(insn: &Instruction) -> Option<Handler> {
    string::find(insn)
        .or_else(|| muldiv::find(insn))
        .or_else(|| atomic::find(insn))
        .or_else(|| bits::find(insn))
        .or_else(|| shift::find(insn))
        .or_else(|| stack::find(insn))
        .or_else(|| misc::find(insn))
        .or_else(|| bmi::find(insn))
        .or_else(|| bcd::find(insn))
}

/// SSE and x87. `beyond` takes what is left of the vector instructions and must come last.
fn floating(insn: &Instruction) -> Option<Handler> {
    sse_move::find(insn)
        .or_else(|| sse_int::find(insn))
        .or_else(|| sse_float::find(insn))
        .or_else(|| fxsave::find(insn))
        .or_else(|| x87::find(insn))
        .or_else(|| beyond::find(insn))
}

/// How an instruction that is not hot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It goes on behind itself, in the block.
    No,
    /// It goes on behind itself, but something may have changed that blocks are decoded or linked under: the run loop sets
    /// RIP behind the instruction and looks up the next block.
    After,
    /// The handler sets RIP.
    Flow,
}

/// How this instruction ends.
pub(crate) fn ends(insn: &Instruction) -> Ends {
    let _ = insn;
    Ends::After
}
