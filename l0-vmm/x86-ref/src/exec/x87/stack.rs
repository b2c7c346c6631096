//! The register stack, and what an operation leaves in the status word.

use super::soft::{DE, F80, IE, ZE};
use crate::{Cpu, fault::Exec, mem::Mode};
use iced_x86::{Instruction, OpKind, Register};

/// Stack fault.
const SF: u16 = 1 << 6;
/// Condition codes of the status word.
pub(super) const C0: u16 = 1 << 8;
pub(super) const C1: u16 = 1 << 9;
pub(super) const C2: u16 = 1 << 10;
pub(super) const C3: u16 = 1 << 14;
/// Where the status word has the top of the stack.
const TOP_SHIFT: u32 = 11;

/// Number of ST(n) in an operand.
pub(super) fn sti(insn: &Instruction, n: u32) -> usize {
    (insn.op_register(n) as usize).wrapping_sub(Register::ST0 as usize) & 7
}

impl Cpu {
    fn physical(&self, n: usize) -> usize {
        (usize::from(self.fpu.fsw >> TOP_SHIFT) + n) & 7
    }

    /// ST(n); `None`: it is empty.
    pub(super) fn st(&self, n: usize) -> Option<F80> {
        let at = self.physical(n);
        (self.fpu.ftw >> at & 1 != 0).then(|| F80::from_bits(self.fpu.st[at]))
    }

    /// Writes ST(n), which then is not empty.
    pub(super) fn set_st(&mut self, n: usize, value: F80) {
        let at = self.physical(n);
        self.fpu.st[at] = value.bits();
        self.fpu.ftw |= 1 << at;
    }

    /// Makes ST(n) empty.
    pub(super) fn free_st(&mut self, n: usize) {
        self.fpu.ftw &= !(1 << self.physical(n));
    }

    /// Moves the top by 1 or by 7.
    pub(super) fn rotate(&mut self, by: u16) {
        let top = (self.fpu.fsw >> TOP_SHIFT).wrapping_add(by) & 7;
        self.fpu.fsw = self.fpu.fsw & !(7 << TOP_SHIFT) | top << TOP_SHIFT;
    }

    pub(super) fn pop_st(&mut self) {
        self.free_st(0);
        self.rotate(1);
    }

    /// Pushes a number; the register was looked at before.
    pub(super) fn push_st(&mut self, value: F80) {
        self.rotate(7);
        self.set_st(0, value);
    }

    /// Sets the condition codes but C1.
    pub(super) fn set_codes(&mut self, codes: u16) {
        self.fpu.fsw = self.fpu.fsw & !(C0 | C2 | C3) | codes;
    }

    /// Where the instruction and its operand are: what FNSTENV tells.
    pub(super) fn note_x87(&mut self, insn: &Instruction) {
        self.fpu.fip = insn.ip();
        if (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory) {
            self.fpu.fdp = self.effective_address(insn);
        }
    }

    /// Puts exception flags and C1 into the status word; false: an unmasked exception keeps the operation from its result.
    pub(super) fn x87_flags(&mut self, flags: u16, up: bool) -> bool {
        let unmasked = flags & !self.fpu.fcw;
        // Found before computing: then nothing was computed.
        let before = unmasked & (IE | DE | ZE) != 0 && flags & SF == 0;
        let (flags, up) = if before { (flags & (IE | DE | ZE), false) } else { (flags, up) };
        self.fpu.fsw = self.fpu.fsw & !C1 | flags | if up { C1 } else { 0 };
        self.fpu.summarise();
        if unmasked & 0x3f != 0 {
            self.note_opcode();
        }
        unmasked & (IE | DE | ZE) == 0
    }

    /// An empty register was to be read; true: the exception is masked.
    pub(super) fn stack_underflow(&mut self) -> bool {
        self.x87_flags(IE | SF, false)
    }

    /// A register that is not empty was to be pushed to; true: the exception is masked.
    pub(super) fn stack_overflow(&mut self) -> bool {
        self.x87_flags(IE | SF, true)
    }

    /// The last opcode, which processors keep for unmasked exceptions alone.
    fn note_opcode(&mut self) {
        let bytes = self.instruction_bytes();
        let mut rest = bytes.iter().copied().skip_while(|byte| !(0xd8..=0xdf).contains(byte));
        if let (Some(first), Some(second)) = (rest.next(), rest.next()) {
            self.fpu.fop = u16::from(first & 7) << 8 | u16::from(second);
        }
    }

    /// Reads a memory operand of up to 16 bytes.
    pub(super) fn read_image_of<const N: usize>(&mut self, insn: &Instruction) -> Exec<[u8; N]> {
        let (segment, offset) = self.memory_operand(insn, 0);
        let linear = self.linear(segment, offset, N, false)?;
        let mut bytes = [0; N];
        self.read_linear_bytes(linear, &mut bytes, Mode::Data)?;
        Ok(bytes)
    }

    /// Writes a memory operand, all or nothing.
    pub(super) fn write_image_of(&mut self, insn: &Instruction, bytes: &[u8]) -> Exec {
        let (segment, offset) = self.memory_operand(insn, 0);
        let linear = self.linear(segment, offset, bytes.len(), true)?;
        self.probe_write(linear, bytes.len(), Mode::Data)?;
        self.write_linear_bytes(linear, bytes, Mode::Data)
    }
}
