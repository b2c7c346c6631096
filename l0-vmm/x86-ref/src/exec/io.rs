//! Ports: IN, OUT, INS, OUTS.

use super::{Handler, descriptor::system};
use crate::{
    Cpu,
    boundary::PENDING_ENABLED_BREAKPOINT,
    bus::Flow,
    cpu::{attention, gpr, seg},
    fault::{Exec, Why},
    mem::Mode,
    vmx::Intercept,
};
use iced_x86::{Instruction, Mnemonic, OpKind};
use x86_spec::cr::{cr0, cr4, rflags};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::In => input,
        Mnemonic::Out => output,
        Mnemonic::Insb => |cpu, insn| string(cpu, insn, 1, true),
        Mnemonic::Insw => |cpu, insn| string(cpu, insn, 2, true),
        Mnemonic::Insd => |cpu, insn| string(cpu, insn, 4, true),
        Mnemonic::Outsb => |cpu, insn| string(cpu, insn, 1, false),
        Mnemonic::Outsw => |cpu, insn| string(cpu, insn, 2, false),
        Mnemonic::Outsd => |cpu, insn| string(cpu, insn, 4, false),
        _ => return None,
    })
}

/// Offset in the TSS of the offset of the I/O permission bitmap.
const TSS_IO_MAP: u64 = 0x66;
/// Iterations of REP that are done at once, between two looks at interrupts.
const CHUNK: usize = 64;

impl Cpu {
    /// SDM 1: "I/O Privilege Level", "I/O Permission Bit Map".
    fn port_allowed(&mut self, port: u16, size: u8) -> Exec {
        let free = self.cr0 & cr0::PE == 0 || !self.vm86() && self.cpl <= self.iopl();
        if free {
            return Ok(());
        }
        let tss = self.tr;
        let wide = matches!(tss.rights & 0xf, system::TSS | system::TSS_BUSY);
        let limit = u64::from(tss.limit);
        let width = if self.ia32e() { u64::MAX } else { 0xffff_ffff };
        if !tss.usable() || !wide || limit < TSS_IO_MAP + 1 {
            return Err(self.gp(0));
        }
        let map = self.read_linear(tss.base.wrapping_add(TSS_IO_MAP) & width, 2, Mode::System)?;
        let at = map + u64::from(port / 8);
        // Two bytes are read, whatever the port.
        if at + 1 > limit {
            return Err(self.gp(0));
        }
        let bits = self.read_linear(tss.base.wrapping_add(at) & width, 2, Mode::System)?;
        if bits >> (port % 8) & ((1 << size) - 1) != 0 {
            return Err(self.gp(0));
        }
        Ok(())
    }

    fn bus_in(&mut self, port: u16, size: u8) -> u64 {
        let now = self.now();
        let value = {
            let mut bus = self.bus.borrow_mut();
            bus.clock(now);
            u64::from(bus.io_in(port, size))
        };
        self.io_breakpoint(port, size);
        value & ((1 << (8 * size)) - 1)
    }

    fn bus_out(&mut self, port: u16, size: u8, value: u64) {
        let value = value & ((1 << (8 * size)) - 1);
        let now = self.now();
        let flow = {
            let mut bus = self.bus.borrow_mut();
            bus.clock(now);
            bus.io_out(port, size, value as u32)
        };
        if flow == Flow::Stop {
            self.attention |= attention::STOP;
        }
        self.io_breakpoint(port, size);
    }

    /// I/O breakpoints: a trap after the instruction. SDM 3B: "Data Memory and I/O Breakpoint Exception Conditions".
    fn io_breakpoint(&mut self, port: u16, size: u8) {
        if self.cr4 & cr4::DE == 0 {
            return;
        }
        let (first, last) = (u64::from(port), u64::from(port) + u64::from(size) - 1);
        for n in 0..4 {
            let bytes = (self.dr[7] >> (18 + 4 * n) & 3) + 1;
            let address = self.dr[n as usize & 3] & !(bytes - 1);
            if self.breakpoint_kind(n) == Some(2) && first < address + bytes && address <= last {
                self.pending_dbg |= PENDING_ENABLED_BREAKPOINT | 1 << n;
            }
        }
        self.attention_changed();
    }
}

/// The port of IN and OUT, operand `n`: an immediate or DX.
fn port(cpu: &Cpu, insn: &Instruction, n: u32) -> (u16, bool) {
    if insn.op_kind(n) == OpKind::Register {
        (cpu.r[gpr::RDX] as u16, false)
    } else {
        (u16::from(insn.immediate8()), true)
    }
}

fn input(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let (port, immediate) = port(cpu, insn, 1);
    let size = insn.op0_register().size() as u8;
    cpu.port_allowed(port, size)?;
    let (input, string, rep) = (true, false, false);
    cpu.intercept(insn, Intercept::Io { port, size, input, string, rep, immediate, linear: 0 })?;
    let value = cpu.bus_in(port, size);
    cpu.set_reg(insn.op0_register(), value);
    Ok(())
}

fn output(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let (port, immediate) = port(cpu, insn, 0);
    let size = insn.op1_register().size() as u8;
    cpu.port_allowed(port, size)?;
    let (input, string, rep) = (false, false, false);
    cpu.intercept(insn, Intercept::Io { port, size, input, string, rep, immediate, linear: 0 })?;
    let value = cpu.reg(insn.op1_register());
    cpu.bus_out(port, size, value);
    Ok(())
}

/// Mask of the address size of a string operand.
fn string_mask(kind: OpKind) -> u64 {
    match kind {
        OpKind::MemorySegSI | OpKind::MemoryESDI => 0xffff,
        OpKind::MemorySegESI | OpKind::MemoryESEDI => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// Sets the low bits of a register under a mask; a 32-bit one clears the upper half.
fn set_masked(cpu: &mut Cpu, register: usize, mask: u64, value: u64) {
    let at = &mut cpu.r[register];
    *at = if mask == 0xffff { *at & !mask | value & mask } else { value & mask };
}

/// INS and OUTS: at most [`CHUNK`] iterations, then back for interrupts; after every one where an instruction is stepped.
fn string(cpu: &mut Cpu, insn: &Instruction, size: u8, input: bool) -> Exec {
    let rep = insn.has_rep_prefix() || insn.has_repne_prefix();
    let (operand, pointer) = if input { (0, gpr::RDI) } else { (1, gpr::RSI) };
    let mask = string_mask(insn.op_kind(operand));
    let step = if cpu.sysflags & rflags::DF != 0 { u64::from(size).wrapping_neg() } else { u64::from(size) };
    let port = cpu.r[gpr::RDX] as u16;
    // As with the other string instructions, each iteration but the last one here counts as an instruction.
    for _ in 0..CHUNK {
        let count = cpu.r[gpr::RCX] & mask;
        if rep && count == 0 {
            return Ok(());
        }
        cpu.port_allowed(port, size)?;
        let (segment, offset) = cpu.memory_operand(insn, operand);
        let segment = if input { seg::ES } else { segment };
        let bytes = usize::from(size);
        if cpu.vmx.non_root {
            let linear = cpu.string_linear(segment, offset);
            let (string, immediate) = (true, false);
            cpu.intercept(insn, Intercept::Io { port, size, input, string, rep, immediate, linear })?;
        }
        let linear = cpu.linear(segment, offset, bytes, input)?;
        if input {
            cpu.probe_write(linear, bytes, Mode::Data)?;
            let value = cpu.bus_in(port, size);
            cpu.write_linear(linear, bytes, value, Mode::Data)?;
        } else {
            let value = cpu.read_linear(linear, bytes, Mode::Data)?;
            cpu.bus_out(port, size, value);
        }
        let moved = cpu.r[pointer].wrapping_add(step);
        set_masked(cpu, pointer, mask, moved);
        if !rep {
            return Ok(());
        }
        set_masked(cpu, gpr::RCX, mask, count.wrapping_sub(1));
        if count == 1 {
            return Ok(());
        }
        cpu.budget -= 1;
        if cpu.attention != 0 || cpu.budget <= 0 {
            break;
        }
    }
    Err(cpu.stop(Why::Again))
}

impl Cpu {
    /// The linear address that a VM exit reports for INS and OUTS: base plus offset, unchecked.
    fn string_linear(&self, segment: usize, offset: u64) -> u64 {
        let linear = self.seg_base[segment & 7].wrapping_add(offset);
        if self.long64() { linear } else { linear & 0xffff_ffff }
    }
}

#[cfg(test)]
mod tests;
