//! Segment registers: MOV, PUSH, POP, LDS and its siblings, and the instructions that look at descriptors: LAR, LSL, VERR,
//! VERW, ARPL.

use super::{
    Handler,
    descriptor::{Descriptor, null, rpl, system},
    operand::seg_number,
};
use crate::{Cpu, boundary::BLOCKING_MOV_SS, cpu::gpr, cpu::seg, fault::Exec};
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};
use x86_spec::cr::rflags;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    let segment = |n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_segment_register();
    Some(match insn.mnemonic() {
        Mnemonic::Mov if segment(0) => mov_to,
        Mnemonic::Mov if segment(1) => mov_from,
        Mnemonic::Push if segment(0) => push,
        Mnemonic::Pop if segment(0) => pop,
        Mnemonic::Lds => |cpu, insn| load_far(cpu, insn, seg::DS),
        Mnemonic::Les => |cpu, insn| load_far(cpu, insn, seg::ES),
        Mnemonic::Lfs => |cpu, insn| load_far(cpu, insn, seg::FS),
        Mnemonic::Lgs => |cpu, insn| load_far(cpu, insn, seg::GS),
        Mnemonic::Lss => |cpu, insn| load_far(cpu, insn, seg::SS),
        Mnemonic::Lar => lar,
        Mnemonic::Lsl => lsl,
        Mnemonic::Verr => |cpu, insn| verify(cpu, insn, false),
        Mnemonic::Verw => |cpu, insn| verify(cpu, insn, true),
        Mnemonic::Arpl => arpl,
        _ => return None,
    })
}

/// The shadow of MOV SS and POP SS over the next instruction.
fn shadow(cpu: &mut Cpu, register: usize) {
    if register == seg::SS {
        cpu.blocking |= BLOCKING_MOV_SS;
        cpu.attention_changed();
    }
}

fn mov_to(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if insn.op0_register() == Register::CS {
        return Err(cpu.ud());
    }
    let register = seg_number(insn.op0_register());
    let selector = cpu.read_operand(insn, 1)? as u16;
    cpu.load_segment(register, selector)?;
    shadow(cpu, register);
    Ok(())
}

fn mov_from(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let selector = cpu.seg[seg_number(insn.op1_register())].selector;
    cpu.write_operand(insn, 0, u64::from(selector))
}

/// Operand size of PUSH and POP of a segment register.
fn stack_size(insn: &Instruction) -> usize {
    insn.stack_pointer_increment().unsigned_abs() as usize
}

fn push(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = stack_size(insn);
    let selector = u64::from(cpu.seg[seg_number(insn.op0_register())].selector);
    if size == 4 {
        // As processors do it: the upper half of the slot is not written. SDM 2: "PUSH".
        let rsp = cpu.r[gpr::RSP].wrapping_sub(4) & cpu.stack_mask();
        cpu.write_segment(seg::SS, rsp, 2, selector)?;
        cpu.set_rsp(rsp);
        return Ok(());
    }
    cpu.push(size, selector)
}

fn pop(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let register = seg_number(insn.op0_register());
    let (size, rsp) = (stack_size(insn), cpu.r[gpr::RSP]);
    let selector = cpu.read_segment(seg::SS, rsp & cpu.stack_mask(), 2)? as u16;
    let old = rsp.wrapping_add(size as u64);
    // The pointer moves under the old SS, before a new one may change its width.
    let mask = cpu.stack_mask();
    cpu.load_segment(register, selector)?;
    cpu.r[gpr::RSP] = if mask == 0xffff { rsp & !mask | old & mask } else { old & mask };
    shadow(cpu, register);
    Ok(())
}

fn load_far(cpu: &mut Cpu, insn: &Instruction, register: usize) -> Exec {
    let size = insn.op0_register().size();
    let (segment, offset) = cpu.memory_operand(insn, 1);
    let value = cpu.read_segment(segment, offset, size)?;
    let selector = cpu.read_segment(segment, address_after(cpu, insn, offset, size), 2)? as u16;
    cpu.load_segment(register, selector)?;
    cpu.set_reg(insn.op0_register(), value);
    Ok(())
}

/// The offset `size` bytes on, wrapping as wide as addresses are.
pub(super) fn address_after(cpu: &Cpu, insn: &Instruction, offset: u64, size: usize) -> u64 {
    let next = offset.wrapping_add(size as u64);
    let register =
        if insn.memory_base() == Register::None { insn.memory_index() } else { insn.memory_base() };
    let bytes = match register {
        Register::None => insn.memory_displ_size() as usize,
        r => r.size(),
    };
    match bytes {
        2 => next & 0xffff,
        4 => next & 0xffff_ffff,
        _ if cpu.long64() => next,
        _ => next & 0xffff_ffff,
    }
}

/// The descriptor of operand `n` if LAR, LSL, VERR and VERW may see it.
fn visible(
    cpu: &mut Cpu,
    insn: &Instruction,
    n: u32,
    known: fn(&Cpu, Descriptor) -> bool,
) -> Exec<Option<(u16, Descriptor)>> {
    if !cpu.protected() {
        return Err(cpu.ud());
    }
    let selector = cpu.read_operand(insn, n)? as u16;
    if null(selector) {
        return Ok(None);
    }
    let Some(d) = cpu.descriptor(selector)? else {
        return Ok(None);
    };
    let reachable = d.conforming() || cpu.cpl <= d.dpl() && rpl(selector) <= d.dpl();
    Ok((known(cpu, d) && reachable).then_some((selector, d)))
}

fn set_zf(cpu: &mut Cpu, zf: bool) {
    let flags = cpu.rflags() & !rflags::ZF | if zf { rflags::ZF } else { 0 };
    cpu.flags = crate::flags::Flags::from_bits(flags);
}

fn lar(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let seen = visible(cpu, insn, 1, |cpu, d| {
        use system::*;
        !d.system()
            || match d.kind() {
                LDT | TSS | TSS_BUSY | CALL_GATE => true,
                TSS16 | TSS16_BUSY | CALL_GATE16 | TASK_GATE => !cpu.ia32e(),
                _ => false,
            }
    })?;
    if let Some((_, d)) = seen {
        // Bits 15:8 and 23:20 of the second doubleword; 19:16 are undefined and read as 0 here.
        cpu.set_reg(insn.op0_register(), d.raw >> 32 & 0x00f0_ff00);
    }
    set_zf(cpu, seen.is_some());
    Ok(())
}

fn lsl(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let seen = visible(cpu, insn, 1, |cpu, d| {
        use system::*;
        !d.system()
            || match d.kind() {
                LDT | TSS | TSS_BUSY => true,
                TSS16 | TSS16_BUSY => !cpu.ia32e(),
                _ => false,
            }
    })?;
    if let Some((_, d)) = seen {
        cpu.set_reg(insn.op0_register(), u64::from(d.limit()));
    }
    set_zf(cpu, seen.is_some());
    Ok(())
}

fn verify(cpu: &mut Cpu, insn: &Instruction, write: bool) -> Exec {
    let seen = visible(cpu, insn, 0, |_, d| !d.system())?;
    let good = seen.is_some_and(|(_, d)| if write { d.writable_data() } else { d.readable() });
    set_zf(cpu, good);
    Ok(())
}

fn arpl(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    debug_assert!(matches!(insn.code(), Code::Arpl_rm16_r16 | Code::Arpl_r32m16_r32));
    if !cpu.protected() {
        return Err(cpu.ud());
    }
    let source = cpu.read_operand(insn, 1)?;
    let old = cpu.read_operand_for_write(insn, 0)?;
    let lower = old & 3 < source & 3;
    if lower {
        let new = old & !3 | source & 3;
        if insn.op0_kind() == OpKind::Register {
            let register = insn.op0_register();
            let value = cpu.reg(register) & !0xffff | new & 0xffff;
            cpu.set_reg(register, value);
        } else {
            cpu.write_operand(insn, 0, new)?;
        }
    }
    set_zf(cpu, lower);
    Ok(())
}

#[cfg(test)]
mod tests;
