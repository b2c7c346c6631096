//! XLAT, BOUND, JCXZ and the LOOP family.

use super::Handler;
use crate::{
    Cpu,
    cpu::{gpr, seg},
    exec::flag::sign_extend,
    exec::operand::mask,
    fault::Exec,
};
use iced_x86::{Code, Instruction, Mnemonic};
use x86_spec::vector;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Xlatb => xlat,
        Mnemonic::Bound => bound,
        Mnemonic::Jcxz => jump_if_zero::<2>,
        Mnemonic::Jecxz => jump_if_zero::<4>,
        Mnemonic::Jrcxz => jump_if_zero::<8>,
        Mnemonic::Loop => |cpu, insn| count_down(cpu, insn, |_| true),
        Mnemonic::Loope => |cpu, insn| count_down(cpu, insn, |cpu| cpu.flags.zf()),
        Mnemonic::Loopne => |cpu, insn| count_down(cpu, insn, |cpu| !cpu.flags.zf()),
        _ => return None,
    })
}

fn xlat(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.read_operand(insn, 0)?;
    cpu.r[gpr::RAX] = cpu.r[gpr::RAX] & !0xff | value;
    Ok(())
}

fn bound(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let (segment, offset) = cpu.memory_operand(insn, 1);
    let linear = cpu.linear(segment, offset, 2 * size, false)?;
    let signed = |value: u64| sign_extend(value, size) as i64;
    let low = signed(cpu.read_linear(linear, size, crate::mem::Mode::Data)?);
    let high = signed(cpu.read_linear(linear.wrapping_add(size as u64), size, crate::mem::Mode::Data)?);
    let index = signed(cpu.reg(insn.op0_register()));
    if index < low || index > high {
        return Err(cpu.fault(vector::BR, None));
    }
    Ok(())
}

impl Cpu {
    /// Goes to the near target of a branch that is taken, or behind it.
    fn branch(&mut self, insn: &Instruction, taken: bool) -> Exec {
        let target = if taken { insn.near_branch_target() } else { self.behind(insn) };
        let allowed =
            if self.long64() { self.canonical(target) } else { target <= u64::from(self.seg[seg::CS].limit) };
        if taken && !allowed {
            return Err(self.gp(0));
        }
        self.rip = target;
        self.step_branch = taken;
        Ok(())
    }

    /// Where the next instruction begins.
    pub(super) fn behind(&self, insn: &Instruction) -> u64 {
        match insn.code_size() {
            iced_x86::CodeSize::Code16 => insn.next_ip() & 0xffff,
            iced_x86::CodeSize::Code32 => insn.next_ip() & 0xffff_ffff,
            _ => insn.next_ip(),
        }
    }
}

fn jump_if_zero<const SIZE: usize>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let zero = cpu.r[gpr::RCX] & mask(SIZE) == 0;
    cpu.branch(insn, zero)
}

/// LOOP, LOOPE, LOOPNE: the address size says which part of RCX counts.
fn count_down(cpu: &mut Cpu, insn: &Instruction, more: fn(&Cpu) -> bool) -> Exec {
    let size = match insn.code() {
        Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX => 2,
        Code::Loop_rel8_16_RCX
        | Code::Loop_rel8_64_RCX
        | Code::Loope_rel8_16_RCX
        | Code::Loope_rel8_64_RCX
        | Code::Loopne_rel8_16_RCX
        | Code::Loopne_rel8_64_RCX => 8,
        _ => 4,
    };
    let old = cpu.r[gpr::RCX];
    let count = old.wrapping_sub(1) & mask(size);
    cpu.branch(insn, count != 0 && more(cpu))?;
    cpu.r[gpr::RCX] = if size == 2 { old & !0xffff | count } else { count };
    Ok(())
}
