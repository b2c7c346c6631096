//! What the SSE families share: when they may execute, their operands, alignment.

use crate::{Cpu, exec::operand::seg_number, fault::Exec, mem::Mode};
use iced_x86::{Instruction, OpKind, Register};
use x86_spec::cr::{cr0, cr4};

/// Whether a 16-byte memory operand must be aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// #GP(0) when it is not.
    Checked,
    /// MOVUPS and its like, and what is not 16 bytes wide.
    Any,
}

impl Cpu {
    /// #UD and #NM of SSE instructions (SDM 3A, "Providing Operating System Support for ... SSE ...", table "Action Taken
    /// for Combinations of OSFXSR, OSXMMEXCPT, SSE ..., EM, MP, and TS").
    pub(super) fn sse(&mut self) -> Exec {
        if self.cr0 & (cr0::EM | cr0::TS) == 0 && self.cr4 & cr4::OSFXSR != 0 {
            return Ok(());
        }
        if self.cr0 & cr0::EM != 0 || self.cr4 & cr4::OSFXSR == 0 { Err(self.ud()) } else { Err(self.nm()) }
    }

    /// An XMM register.
    pub(super) fn xmm(&self, register: Register) -> u128 {
        self.fpu.xmm[register.number() & 15]
    }

    /// Writes a whole XMM register.
    pub(super) fn set_xmm(&mut self, register: Register, value: u128) {
        self.fpu.xmm[register.number() & 15] = value;
    }

    /// Writes the low `bits` of an XMM register.
    pub(super) fn set_xmm_low(&mut self, register: Register, bits: u32, value: u64) {
        let at = &mut self.fpu.xmm[register.number() & 15];
        let mask = (1u128 << bits) - 1;
        *at = *at & !mask | u128::from(value) & mask;
    }

    /// Linear address of the memory operand of an SSE instruction.
    fn sse_linear(&mut self, insn: &Instruction, size: usize, align: Align, write: bool) -> Exec<u64> {
        let segment = seg_number(insn.memory_segment());
        let offset = self.effective_address(insn);
        let linear = self.linear(segment, offset, size, write)?;
        if align == Align::Checked && size == 16 && linear & 15 != 0 {
            return Err(self.gp(0));
        }
        Ok(linear)
    }

    /// Reads operand `n`: an XMM register as a whole, or memory of the instruction's size, zero-extended.
    pub(super) fn read_sse(&mut self, insn: &Instruction, n: u32, align: Align) -> Exec<u128> {
        if insn.op_kind(n) == OpKind::Register {
            return Ok(self.xmm(insn.op_register(n)));
        }
        let size = insn.memory_size().size();
        let linear = self.sse_linear(insn, size, align, false)?;
        if size <= 8 {
            return Ok(u128::from(self.read_linear(linear, size, Mode::Data)?));
        }
        if linear & 0xfff <= 0xff0 {
            let low = self.read_linear(linear, 8, Mode::Data)?;
            let high = self.read_linear(linear.wrapping_add(8), 8, Mode::Data)?;
            return Ok(u128::from(high) << 64 | u128::from(low));
        }
        let mut bytes = [0; 16];
        self.read_linear_bytes(linear, &mut bytes, Mode::Data)?;
        Ok(u128::from_le_bytes(bytes))
    }

    /// Writes the memory operand, of the instruction's size.
    pub(super) fn write_sse_memory(&mut self, insn: &Instruction, value: u128, align: Align) -> Exec {
        let size = insn.memory_size().size();
        let linear = self.sse_linear(insn, size, align, true)?;
        if size <= 8 {
            return self.write_linear(linear, size, value as u64, Mode::Data);
        }
        if linear & 0xfff <= 0xff0 {
            self.write_linear(linear, 8, value as u64, Mode::Data)?;
            return self.write_linear(linear.wrapping_add(8), 8, (value >> 64) as u64, Mode::Data);
        }
        // Two pages: neither may change when one faults.
        self.probe_write(linear, size, Mode::Data)?;
        self.write_linear_bytes(linear, &value.to_le_bytes(), Mode::Data)
    }
}

/// Combines two vectors lane by lane; lanes are `BITS` wide, given and taken zero-extended (what is above is dropped).
pub(super) fn lanes<const BITS: u32>(a: u128, b: u128, f: impl Fn(u64, u64) -> u64) -> u128 {
    let mask = u64::MAX >> (64 - BITS);
    (0..128 / BITS).fold(0, |result, n| {
        let lane = |v: u128| (v >> (n * BITS)) as u64 & mask;
        result | u128::from(f(lane(a), lane(b)) & mask) << (n * BITS)
    })
}

/// Lane `n` of a vector, zero-extended.
pub(super) fn lane<const BITS: u32>(v: u128, n: u32) -> u64 {
    (v >> ((n * BITS) & 127)) as u64 & u64::MAX >> (64 - BITS)
}

/// A lane as a signed number.
pub(super) fn signed<const BITS: u32>(v: u64) -> i64 {
    (v << (64 - BITS)) as i64 >> (64 - BITS)
}

/// A vector from its lanes, lowest first.
pub(super) fn vector<const BITS: u32>(f: impl Fn(u32) -> u64) -> u128 {
    let mask = u64::MAX >> (64 - BITS);
    (0..128 / BITS).fold(0, |result, n| result | u128::from(f(n) & mask) << (n * BITS))
}
