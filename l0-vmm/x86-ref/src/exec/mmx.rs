//! MMX: the forms of packed integer instructions on 64-bit registers, which are the significands of x87's.
//!
//! What computes on XMM registers computes here too: operations on lanes as they are, those that gather lanes from two
//! registers or from a register's upper half with their operands moved to where they look.

use super::{
    Handler,
    feature::Feature,
    soft::{self, Env, F32, F64, TRUNCATE},
    sse::{Align, lane},
};
use crate::{Cpu, exec::operand::mask, fault::Exec, mem::Mode};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use x86_spec::cr::cr0;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Maskmovq => maskmovq,
        Mnemonic::Movntq => movntq,
        Mnemonic::Pshufw => pshufw,
        Mnemonic::Movdq2q => movdq2q,
        Mnemonic::Movq2dq => movq2dq,
        Mnemonic::Cvtpi2ps => cvtpi2ps,
        Mnemonic::Cvtpi2pd => cvtpi2pd,
        Mnemonic::Cvtps2pi => |cpu, insn| to_integers::<32>(cpu, insn, false),
        Mnemonic::Cvttps2pi => |cpu, insn| to_integers::<32>(cpu, insn, true),
        Mnemonic::Cvtpd2pi => |cpu, insn| to_integers::<64>(cpu, insn, false),
        Mnemonic::Cvttpd2pi => |cpu, insn| to_integers::<64>(cpu, insn, true),
        _ => return None,
    })
}

/// Whether an instruction has an MMX register among its operands.
pub(super) fn uses_mmx(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_mm())
}

impl Cpu {
    /// #UD, #NM and #MF of MMX instructions (SDM 3A, "Exceptions That Can Occur When Executing MMX Instructions").
    pub(super) fn mmx(&mut self) -> Exec {
        self.need(Feature::Mmx)?;
        if self.cr0 & cr0::EM != 0 {
            return Err(self.ud());
        }
        self.x87_waiting()
    }

    /// [`Cpu::mmx`] for instructions that have XMM registers too, or came with SSE.
    fn mmx_and_sse(&mut self) -> Exec {
        self.sse()?;
        self.mmx()
    }

    pub(super) fn mm(&self, register: Register) -> u64 {
        self.fpu.st[register.number() & 7] as u64
    }

    /// Writes an MMX register.
    pub(super) fn set_mm(&mut self, register: Register, value: u64) {
        self.fpu.st[register.number() & 7] = u128::from(value) | 0xffff << 64;
    }

    /// What every MMX instruction but EMMS does to x87: the top is 0, no register is empty.
    pub(super) fn mmx_used(&mut self) {
        self.fpu.fsw &= !(7 << 11);
        self.fpu.ftw = 0xff;
    }

    /// Operand `n`: an MMX register, or memory.
    fn read_mm(&mut self, insn: &Instruction, n: u32) -> Exec<u64> {
        if insn.op_kind(n) == OpKind::Register {
            Ok(self.mm(insn.op_register(n)))
        } else {
            self.read_operand(insn, n)
        }
    }
}

/// An operation of destination and source, given as that on XMM registers.
pub(super) fn binary(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u128) -> u128) -> Exec {
    cpu.mmx()?;
    let b = if insn.op1_kind() == OpKind::Immediate8 { 0 } else { u128::from(cpu.read_mm(insn, 1)?) };
    let a = u128::from(cpu.mm(insn.op0_register()));
    let result = match insn.mnemonic() {
        // The low half comes from the first operand, the high half from the second: here both from the first.
        Mnemonic::Packsswb
        | Mnemonic::Packssdw
        | Mnemonic::Packuswb
        | Mnemonic::Phaddw
        | Mnemonic::Phaddd
        | Mnemonic::Phaddsw
        | Mnemonic::Phsubw
        | Mnemonic::Phsubd
        | Mnemonic::Phsubsw => f(a | b << 64, 0),
        // The upper half of 128 bits.
        Mnemonic::Punpckhbw | Mnemonic::Punpckhwd | Mnemonic::Punpckhdq => f(a << 32, b << 32),
        // Any byte, by four bits where there are three.
        Mnemonic::Pshufb => f(a | a << 64, b),
        _ => f(a, b),
    };
    cpu.mmx_used();
    cpu.set_mm(insn.op0_register(), result as u64);
    Ok(())
}

/// PALIGNR.
pub(super) fn align(cpu: &mut Cpu, insn: &Instruction, bits: u32) -> Exec {
    cpu.mmx()?;
    let b = cpu.read_mm(insn, 1)?;
    let both = u128::from(cpu.mm(insn.op0_register())) << 64 | u128::from(b);
    cpu.mmx_used();
    cpu.set_mm(insn.op0_register(), both.checked_shr(bits).unwrap_or(0) as u64);
    Ok(())
}

/// MOVD, MOVQ with an MMX register.
pub(super) fn movd(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let is_mm = |n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_mm();
    let value = if is_mm(1) { cpu.mm(insn.op1_register()) } else { cpu.read_operand(insn, 1)? };
    if is_mm(0) {
        cpu.mmx_used();
        cpu.set_mm(insn.op0_register(), value);
        return Ok(());
    }
    let size = cpu.operand_size(insn, 0);
    cpu.write_operand(insn, 0, value & mask(size))?;
    cpu.mmx_used();
    Ok(())
}

/// PMOVMSKB from an MMX register.
pub(super) fn pmovmskb(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let value = u128::from(cpu.mm(insn.op1_register()));
    let mask = (0..8).fold(0, |mask, n| mask | (lane::<8>(value, n) >> 7) << n);
    cpu.mmx_used();
    cpu.set_reg(insn.op0_register(), mask);
    Ok(())
}

/// PEXTRW from an MMX register.
pub(super) fn pextrw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let value = u128::from(cpu.mm(insn.op1_register()));
    cpu.mmx_used();
    cpu.set_reg(insn.op0_register(), lane::<16>(value, u32::from(insn.immediate8()) & 3));
    Ok(())
}

/// PINSRW into an MMX register.
pub(super) fn pinsrw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let value = cpu.read_operand(insn, 1)? & 0xffff;
    let at = 16 * (u32::from(insn.immediate8()) & 3);
    let old = cpu.mm(insn.op0_register());
    cpu.mmx_used();
    cpu.set_mm(insn.op0_register(), old & !(0xffff << at) | value << at);
    Ok(())
}

fn pshufw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let b = u128::from(cpu.read_mm(insn, 1)?);
    let order = u32::from(insn.immediate8());
    let result = (0..4).fold(0, |v, n| v | lane::<16>(b, order >> (2 * n) & 3) << (16 * n));
    cpu.mmx_used();
    cpu.set_mm(insn.op0_register(), result);
    Ok(())
}

fn movntq(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let value = cpu.mm(insn.op1_register());
    cpu.write_operand(insn, 0, value)?;
    cpu.mmx_used();
    Ok(())
}

/// MASKMOVQ: bytes of the first register to DS:(E/R)DI where the second has its top bit. Not one is written when one faults.
fn maskmovq(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx()?;
    let (segment, offset) = cpu.memory_operand(insn, 0);
    let (value, chosen) = (cpu.mm(insn.op1_register()), cpu.mm(insn.op2_register()));
    let linear = cpu.linear(segment, offset, 8, true)?;
    let chosen = |n: &u64| chosen >> (8 * n + 7) & 1 != 0;
    for n in (0..8).filter(chosen) {
        cpu.probe_write(linear.wrapping_add(n), 1, Mode::Data)?;
    }
    for n in (0..8).filter(chosen) {
        cpu.write_linear(linear.wrapping_add(n), 1, value >> (8 * n) & 0xff, Mode::Data)?;
    }
    cpu.mmx_used();
    Ok(())
}

fn movdq2q(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx_and_sse()?;
    let value = cpu.xmm(insn.op1_register()) as u64;
    cpu.mmx_used();
    cpu.set_mm(insn.op0_register(), value);
    Ok(())
}

fn movq2dq(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx_and_sse()?;
    let value = cpu.mm(insn.op1_register());
    cpu.mmx_used();
    cpu.set_xmm(insn.op0_register(), value.into());
    Ok(())
}

fn cvtpi2ps(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.mmx_and_sse()?;
    let value = cpu.read_mm(insn, 1)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let low = soft::from_int(F32, &mut env, i64::from(value as i32));
    let high = soft::from_int(F32, &mut env, (value as i64) >> 32);
    cpu.collect(&env)?;
    cpu.mmx_used();
    cpu.set_xmm_low(insn.op0_register(), 64, high << 32 | low);
    Ok(())
}

/// From memory it leaves x87 alone.
fn cvtpi2pd(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let from_memory = insn.op1_kind() != OpKind::Register;
    if from_memory {
        cpu.sse()?
    } else {
        cpu.mmx_and_sse()?
    }
    let value = cpu.read_mm(insn, 1)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let low = soft::from_int(F64, &mut env, i64::from(value as i32));
    let high = soft::from_int(F64, &mut env, (value as i64) >> 32);
    cpu.collect(&env)?;
    if !from_memory {
        cpu.mmx_used();
    }
    cpu.set_xmm(insn.op0_register(), u128::from(high) << 64 | u128::from(low));
    Ok(())
}

/// CVTPS2PI and its like.
fn to_integers<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, cut: bool) -> Exec {
    cpu.mmx_and_sse()?;
    let value = cpu.read_sse(insn, 1, Align::Checked)?;
    let f = if BITS == 32 { F32 } else { F64 };
    let mut env = Env::new(cpu.fpu.mxcsr);
    let rounding = if cut { TRUNCATE } else { env.rounding };
    let low = soft::to_int(f, &mut env, lane::<BITS>(value, 0), 32, rounding);
    let high = soft::to_int(f, &mut env, lane::<BITS>(value, 1), 32, rounding);
    cpu.collect(&env)?;
    cpu.mmx_used();
    cpu.set_mm(insn.op0_register(), (high as u64) << 32 | low as u64 & 0xffff_ffff);
    Ok(())
}
