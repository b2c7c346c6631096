//! From instructions to ops.

use super::{
    build::{ends, handler},
    cache::Code,
    op::{Op, Run, slow, slow_after, slow_flow},
};
use crate::{
    Cpu,
    cpu::gpr,
    exec::{Ends, Handler},
};
use iced_x86::Instruction;
use std::cell::Cell;

/// Lowers the instructions of one block.
pub(super) struct Lowering<'a> {
    code: &'a mut Code,
    /// Number of the block.
    number: u16,
    pub(super) mode: u8,
    start: u64,
    mask: u64,
}

impl<'a> Lowering<'a> {
    pub fn new(cpu: &Cpu, code: &'a mut Code, number: u16) -> Self {
        Self { code, number, mode: cpu.mem.mode(), start: cpu.rip, mask: cpu.rip_mask() }
    }

    /// An op that does nothing, at that place.
    pub(super) fn op(&self, run: Run, insn: &Instruction, left: usize) -> Op {
        Op {
            run,
            imm: 0,
            disp: 0,
            dst: gpr::ZERO as u8,
            src: gpr::ZERO as u8,
            base: gpr::ZERO as u8,
            index: gpr::ZERO as u8,
            shape: 0,
            left: left as u8,
            offset: insn.ip().wrapping_sub(self.start) as u16,
            link: [Cell::new(0), Cell::new(0)],
        }
    }

    /// Gives an op that ends its block what its links need.
    pub(super) fn ending(&self, mut op: Op, insn: &Instruction) -> Op {
        [op.base, op.index] = self.number.to_le_bytes();
        op.disp = (insn.next_ip() & self.mask).wrapping_sub(self.start) as i32;
        op
    }

    /// Whether the instruction behind can be told by a displacement from the start of the block.
    pub(super) fn next_is_near(&self, insn: &Instruction) -> bool {
        let next = (insn.next_ip() & self.mask).wrapping_sub(self.start);
        next as i32 as u64 == next
    }

    /// The ops of a block.
    pub fn block(&mut self, insns: &[Instruction]) -> Box<[Op]> {
        let mut ops = Vec::with_capacity(insns.len() + 1);
        let mut ended = false;
        for (i, insn) in insns.iter().enumerate() {
            let left = insns.len() - i;
            let end = ends(insn);
            ended = end != Ends::No;
            let op = self.slow(insn, end, left);
            ops.push(op);
        }
        if let (false, Some(last)) = (ended, insns.last()) {
            let mut op = self.ending(self.op(super::ops::fall_through, last, 0), last);
            op.offset = last.next_ip().wrapping_sub(self.start) as u16;
            ops.push(op);
        }
        ops.into_boxed_slice()
    }

    /// An instruction by its function.
    fn slow(&mut self, insn: &Instruction, end: Ends, left: usize) -> Op {
        let run: Run = match end {
            Ends::No => slow,
            Ends::After => slow_after,
            Ends::Flow => slow_flow,
        };
        let handler: Handler = handler(insn).unwrap_or(|cpu, _| Err(cpu.unsupported("instruction")));
        let imm = self.code.add_slow(handler, *insn);
        let op = Op { imm, ..self.op(run, insn, left) };
        if end == Ends::After { self.ending(op, insn) } else { op }
    }
}
