//! Operands of decoded instructions, for the handlers of `exec` (hot ops have theirs decoded beforehand).

use crate::{
    Cpu,
    cpu::{gpr, seg},
    fault::Exec,
    mem::Mode,
};
use iced_x86::{CodeSize, Instruction, OpKind, Register};
use x86_spec::cr::{cr0, rflags};

/// Number of a segment register.
pub(crate) fn seg_number(register: Register) -> usize {
    match register {
        Register::ES => seg::ES,
        Register::CS => seg::CS,
        Register::SS => seg::SS,
        Register::FS => seg::FS,
        Register::GS => seg::GS,
        _ => seg::DS,
    }
}

/// Number of a general-purpose register of any width (AH to BH give that of their whole register).
pub(crate) fn gpr_number(register: Register) -> usize {
    register.full_register().number() & 15
}

/// Mask of the low `size` bytes.
pub(crate) fn mask(size: usize) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (8 * size)) - 1 }
}

/// Mask of an effective address with that address size, from the registers or, without any, from the displacement.
pub(crate) fn address_mask(insn: &Instruction) -> u64 {
    let register =
        if insn.memory_base() != Register::None { insn.memory_base() } else { insn.memory_index() };
    match register {
        Register::None => match insn.memory_displ_size() {
            2 => 0xffff,
            // In 64-bit code too: the decoder says 4 there only with an address-size prefix.
            4 => 0xffff_ffff,
            8 => u64::MAX,
            _ => match insn.code_size() {
                CodeSize::Code16 => 0xffff,
                CodeSize::Code32 => 0xffff_ffff,
                _ => u64::MAX,
            },
        },
        Register::RIP => u64::MAX,
        r => mask(r.size()),
    }
}

impl Cpu {
    /// A general-purpose register of any width, zero-extended.
    pub(crate) fn reg(&self, register: Register) -> u64 {
        let value = self.r[gpr_number(register)];
        match register {
            Register::AH | Register::BH | Register::CH | Register::DH => {
                self.r[register.number() & 3] >> 8 & 0xff
            }
            _ => value & mask(register.size()),
        }
    }

    /// Writes a general-purpose register of any width; 32-bit writes clear the upper half.
    pub(crate) fn set_reg(&mut self, register: Register, value: u64) {
        let at = &mut self.r[gpr_number(register)];
        match register {
            Register::AH | Register::BH | Register::CH | Register::DH => {
                let at = &mut self.r[register.number() & 3];
                *at = *at & !0xff00 | (value & 0xff) << 8;
            }
            _ => match register.size() {
                1 => *at = *at & !0xff | value & 0xff,
                2 => *at = *at & !0xffff | value & 0xffff,
                4 => *at = value & 0xffff_ffff,
                _ => *at = value,
            },
        }
    }

    /// Whether the CPU is in protected mode, virtual-8086 mode left out.
    pub(crate) fn protected(&self) -> bool {
        self.cr0 & cr0::PE != 0 && self.sysflags & rflags::VM == 0
    }

    /// Whether the CPU runs 64-bit code.
    pub(crate) fn long64(&self) -> bool {
        self.msr.efer & 1 << 10 != 0 && self.seg[seg::CS].rights & 1 << 13 != 0
    }

    /// Effective address (offset in its segment) of the memory operand: what LEA gives, before cutting to its operand size.
    pub(crate) fn effective_address(&self, insn: &Instruction) -> u64 {
        let base = match insn.memory_base() {
            Register::None | Register::RIP | Register::EIP => 0,
            r => self.r[gpr_number(r)] & mask(r.size()),
        };
        let index = match insn.memory_index() {
            Register::None => 0,
            r => self.r[gpr_number(r)] & mask(r.size()),
        };
        base.wrapping_add(index.wrapping_mul(u64::from(insn.memory_index_scale())))
            .wrapping_add(insn.memory_displacement64())
            & address_mask(insn)
    }

    /// Segment and offset of memory operand `n`, string operands included.
    pub(crate) fn memory_operand(&self, insn: &Instruction, n: u32) -> (usize, u64) {
        let r = |i: usize, size| self.r[i] & mask(size);
        let segment = seg_number(insn.memory_segment());
        match insn.op_kind(n) {
            OpKind::MemorySegSI => (segment, r(gpr::RSI, 2)),
            OpKind::MemorySegESI => (segment, r(gpr::RSI, 4)),
            OpKind::MemorySegRSI => (segment, r(gpr::RSI, 8)),
            OpKind::MemorySegDI => (segment, r(gpr::RDI, 2)),
            OpKind::MemorySegEDI => (segment, r(gpr::RDI, 4)),
            OpKind::MemorySegRDI => (segment, r(gpr::RDI, 8)),
            OpKind::MemoryESDI => (seg::ES, r(gpr::RDI, 2)),
            OpKind::MemoryESEDI => (seg::ES, r(gpr::RDI, 4)),
            OpKind::MemoryESRDI => (seg::ES, r(gpr::RDI, 8)),
            _ => (segment, self.effective_address(insn)),
        }
    }

    /// Size in bytes of operand `n`.
    pub(crate) fn operand_size(&self, insn: &Instruction, n: u32) -> usize {
        match insn.op_kind(n) {
            OpKind::Register => insn.op_register(n).size(),
            OpKind::Immediate8 | OpKind::Immediate8_2nd => 1,
            OpKind::Immediate16 | OpKind::Immediate8to16 => 2,
            OpKind::Immediate32 | OpKind::Immediate8to32 => 4,
            OpKind::Immediate64 | OpKind::Immediate8to64 | OpKind::Immediate32to64 => 8,
            _ => insn.memory_size().size(),
        }
    }

    /// Reads operand `n` (general-purpose register, immediate, or memory of up to 8 bytes), zero-extended from its size.
    pub(crate) fn read_operand(&mut self, insn: &Instruction, n: u32) -> Exec<u64> {
        match insn.op_kind(n) {
            OpKind::Register => Ok(match insn.op_register(n) {
                r if r.is_segment_register() => u64::from(self.seg[seg_number(r)].selector),
                r => self.reg(r),
            }),
            OpKind::Immediate8
            | OpKind::Immediate8_2nd
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => Ok(insn.immediate(n)),
            _ => {
                let (segment, offset) = self.memory_operand(insn, n);
                self.read_segment(segment, offset, insn.memory_size().size())
            }
        }
    }

    /// Writes operand `n` (general-purpose register or memory of up to 8 bytes).
    pub(crate) fn write_operand(&mut self, insn: &Instruction, n: u32, value: u64) -> Exec {
        if insn.op_kind(n) == OpKind::Register {
            self.set_reg(insn.op_register(n), value);
            return Ok(());
        }
        let (segment, offset) = self.memory_operand(insn, n);
        self.write_segment(segment, offset, insn.memory_size().size(), value)
    }

    /// Reads operand `n` that the instruction will write too: faults as the write would.
    pub(crate) fn read_operand_for_write(&mut self, insn: &Instruction, n: u32) -> Exec<u64> {
        if insn.op_kind(n) != OpKind::Register {
            let (segment, offset) = self.memory_operand(insn, n);
            let size = insn.memory_size().size();
            let linear = self.linear(segment, offset, size, true)?;
            self.probe_write(linear, size, Mode::Data)?;
        }
        self.read_operand(insn, n)
    }

    /// Linear address of an access through a segment: limit, type and canonicality are checked (#GP, #SS).
    pub(crate) fn linear(&mut self, segment: usize, offset: u64, size: usize, write: bool) -> Exec<u64> {
        let s = self.seg[segment];
        if self.long64() {
            let base = if segment >= seg::FS { s.base } else { 0 };
            let linear = base.wrapping_add(offset);
            let last = linear.wrapping_add(size as u64 - 1);
            if !self.canonical(linear) || !self.canonical(last) {
                return Err(if segment == seg::SS { self.ss(0) } else { self.gp(0) });
            }
            return Ok(linear);
        }
        let kind = s.rights & 0xf;
        let code = kind & 8 != 0;
        let usable = s.rights & 1 << 16 == 0;
        let allowed = if write { !code && kind & 2 != 0 } else { !code || kind & 2 != 0 };
        let (first, last) = (offset, offset.wrapping_add(size as u64 - 1));
        let inside = if !code && kind & 4 != 0 {
            let top = if s.rights & 1 << 14 != 0 { 0xffff_ffff } else { 0xffff };
            first > u64::from(s.limit) && last <= top
        } else {
            last <= u64::from(s.limit) && first <= last
        };
        if !usable || !allowed || !inside {
            return Err(if segment == seg::SS { self.ss(0) } else { self.gp(0) });
        }
        Ok(s.base.wrapping_add(offset) & 0xffff_ffff)
    }

    /// Whether a linear address is canonical under the current paging depth.
    pub(crate) fn canonical(&self, linear: u64) -> bool {
        let shift = if self.cr4 & 1 << 12 != 0 { 64 - 57 } else { 64 - 48 };
        ((linear << shift) as i64 >> shift) as u64 == linear
    }

    /// Reads 1 to 8 bytes through a segment.
    pub(crate) fn read_segment(&mut self, segment: usize, offset: u64, size: usize) -> Exec<u64> {
        let linear = self.linear(segment, offset, size, false)?;
        self.read_linear(linear, size, Mode::Data)
    }

    /// Writes 1 to 8 bytes through a segment.
    pub(crate) fn write_segment(&mut self, segment: usize, offset: u64, size: usize, value: u64) -> Exec {
        let linear = self.linear(segment, offset, size, true)?;
        self.write_linear(linear, size, value, Mode::Data)
    }

    /// Mask of the stack pointer: 64 bits, or as SS.B says.
    pub(crate) fn stack_mask(&self) -> u64 {
        if self.long64() {
            u64::MAX
        } else if self.seg[seg::SS].rights & 1 << 14 != 0 {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// Sets the stack pointer under [`Cpu::stack_mask`].
    pub(crate) fn set_rsp(&mut self, value: u64) {
        let mask = self.stack_mask();
        let old = self.r[gpr::RSP];
        self.r[gpr::RSP] = if mask == 0xffff { old & !mask | value & mask } else { value & mask };
    }

    /// Pushes `size` bytes.
    pub(crate) fn push(&mut self, size: usize, value: u64) -> Exec {
        let rsp = self.r[gpr::RSP].wrapping_sub(size as u64) & self.stack_mask();
        self.write_segment(seg::SS, rsp, size, value)?;
        self.set_rsp(rsp);
        Ok(())
    }

    /// Pops `size` bytes.
    pub(crate) fn pop(&mut self, size: usize) -> Exec<u64> {
        let rsp = self.r[gpr::RSP] & self.stack_mask();
        let value = self.read_segment(seg::SS, rsp, size)?;
        self.set_rsp(rsp.wrapping_add(size as u64));
        Ok(value)
    }
}
