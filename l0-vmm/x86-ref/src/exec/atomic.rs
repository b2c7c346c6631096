//! XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.
//!
//! There is one processor and instructions are whole, so LOCK adds nothing here. Where it is not allowed (no memory
//! destination, or an instruction that does not take it) the decoder makes the instruction invalid.

use super::{Handler, feature::Feature, flag};
use crate::{Cpu, cpu::gpr, fault::Exec, mem::Mode};
use iced_x86::{Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Xchg => xchg,
        Mnemonic::Xadd => xadd,
        Mnemonic::Cmpxchg => cmpxchg,
        Mnemonic::Cmpxchg8b => cmpxchg8b,
        Mnemonic::Cmpxchg16b => cmpxchg16b,
        _ => return None,
    })
}

fn xchg(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let register = cpu.reg(insn.op1_register());
    let old = cpu.read_operand_for_write(insn, 0)?;
    cpu.write_operand(insn, 0, register)?;
    cpu.set_reg(insn.op1_register(), old);
    Ok(())
}

fn xadd(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let old = cpu.read_operand_for_write(insn, 0)?;
    let (sum, flags) = flag::add(old, cpu.reg(insn.op1_register()), size);
    if insn.op0_kind() == iced_x86::OpKind::Register {
        // The destination is written last: it wins when both are the same register.
        cpu.set_reg(insn.op1_register(), old);
        cpu.set_reg(insn.op0_register(), sum);
    } else {
        cpu.write_operand(insn, 0, sum)?;
        cpu.set_reg(insn.op1_register(), old);
    }
    cpu.flags = flags;
    Ok(())
}

/// CMPXCHG. The destination is written in any case (SDM 2A, "CMPXCHG").
fn cmpxchg(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let old = cpu.read_operand_for_write(insn, 0)?;
    let (_, flags) = flag::sub(cpu.r[gpr::RAX], old, size);
    if flags.zf() {
        cpu.write_operand(insn, 0, cpu.reg(insn.op1_register()))?;
    } else {
        if insn.op0_kind() != iced_x86::OpKind::Register {
            cpu.write_operand(insn, 0, old)?;
        }
        let rax = &mut cpu.r[gpr::RAX];
        match size {
            1 => *rax = *rax & !0xff | old,
            2 => *rax = *rax & !0xffff | old,
            _ => *rax = old,
        }
    }
    cpu.flags = flags;
    Ok(())
}

fn cmpxchg8b(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let old = cpu.read_operand_for_write(insn, 0)?;
    let pair = |high: u64, low: u64| high << 32 | low & 0xffff_ffff;
    let equal = old == pair(cpu.r[gpr::RDX], cpu.r[gpr::RAX]);
    let new = if equal { pair(cpu.r[gpr::RCX], cpu.r[gpr::RBX]) } else { old };
    cpu.write_operand(insn, 0, new)?;
    if !equal {
        cpu.r[gpr::RAX] = old & 0xffff_ffff;
        cpu.r[gpr::RDX] = old >> 32;
    }
    cpu.flags = cpu.flags.with(flag::ZF, if equal { flag::ZF } else { 0 });
    Ok(())
}

fn cmpxchg16b(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Cx16)?;
    let (segment, offset) = cpu.memory_operand(insn, 0);
    let linear = cpu.linear(segment, offset, 16, true)?;
    if linear & 15 != 0 {
        return Err(cpu.gp(0));
    }
    cpu.probe_write(linear, 16, Mode::Data)?;
    let mut bytes = [0; 16];
    cpu.read_linear_bytes(linear, &mut bytes, Mode::Data)?;
    let old = u128::from_le_bytes(bytes);
    let pair = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
    let equal = old == pair(cpu.r[gpr::RDX], cpu.r[gpr::RAX]);
    let new = if equal { pair(cpu.r[gpr::RCX], cpu.r[gpr::RBX]) } else { old };
    cpu.write_linear_bytes(linear, &new.to_le_bytes(), Mode::Data)?;
    if !equal {
        cpu.r[gpr::RAX] = old as u64;
        cpu.r[gpr::RDX] = (old >> 64) as u64;
    }
    cpu.flags = cpu.flags.with(flag::ZF, if equal { flag::ZF } else { 0 });
    Ok(())
}
