//! What vector instructions of both encodings share.

use super::sse::Align;
use crate::{Cpu, fault::Exec};
use iced_x86::{Instruction, Register};

impl Cpu {
    /// Destination and source to destination.
    pub(super) fn vectors(
        &mut self,
        insn: &Instruction,
        align: Align,
        f: impl Fn(u128, u128) -> u128,
    ) -> Exec {
        self.sse()?;
        let b = self.read_sse(insn, 1, align)?;
        let a = self.xmm(insn.op0_register());
        self.set_xmm(insn.op0_register(), f(a, b));
        Ok(())
    }

    /// Both operands of an instruction that writes neither.
    pub(super) fn two_vectors(&mut self, insn: &Instruction) -> Exec<(u128, u128)> {
        self.sse()?;
        let b = self.read_sse(insn, 1, Align::Any)?;
        Ok((self.xmm(insn.op0_register()), b))
    }

    /// Writes an XMM register that the operands do not name.
    pub(super) fn set_vector_low(&mut self, _: &Instruction, register: Register, value: u128) {
        self.set_xmm(register, value);
    }
}
