//! SSE moves, shuffles of whole floats, and logic.

use super::{
    Handler,
    feature::Feature,
    mmx,
    sse::{Align, lane, vector},
    vex::{is_vex, plain},
};
use crate::{Cpu, exec::operand::mask, fault::Exec, mem::Mode};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    if insn.is_string_instruction() {
        return None;
    }
    Some(match plain(insn) {
        Mnemonic::Movaps | Mnemonic::Movapd | Mnemonic::Movdqa => whole::<true>,
        Mnemonic::Movups | Mnemonic::Movupd | Mnemonic::Movdqu => whole::<false>,
        Mnemonic::Lddqu => |cpu, insn| {
            cpu.need(Feature::Sse3)?;
            whole::<false>(cpu, insn)
        },
        Mnemonic::Movntps | Mnemonic::Movntpd | Mnemonic::Movntdq => whole::<true>,
        Mnemonic::Movntdqa => |cpu, insn| {
            cpu.need(Feature::Sse41)?;
            whole::<true>(cpu, insn)
        },
        Mnemonic::Movnti => movnti,
        Mnemonic::Movss => scalar::<32>,
        Mnemonic::Movsd => scalar::<64>,
        Mnemonic::Movd | Mnemonic::Movq => movd,
        Mnemonic::Movlps | Mnemonic::Movlpd | Mnemonic::Movhlps => half::<false>,
        Mnemonic::Movhps | Mnemonic::Movhpd | Mnemonic::Movlhps => half::<true>,
        Mnemonic::Movmskps => move_mask::<32>,
        Mnemonic::Movmskpd => move_mask::<64>,
        Mnemonic::Movddup => |cpu, insn| sse3(cpu, insn, |v| vector::<64>(|_| v as u64)),
        Mnemonic::Movsldup => |cpu, insn| sse3(cpu, insn, |v| vector::<32>(|n| lane::<32>(v, n & !1))),
        Mnemonic::Movshdup => |cpu, insn| sse3(cpu, insn, |v| vector::<32>(|n| lane::<32>(v, n | 1))),
        Mnemonic::Maskmovdqu => maskmovdqu,
        Mnemonic::Andps | Mnemonic::Andpd | Mnemonic::Pand => |cpu, insn| binary(cpu, insn, |a, b, _| a & b),
        Mnemonic::Andnps | Mnemonic::Andnpd | Mnemonic::Pandn => {
            |cpu, insn| binary(cpu, insn, |a, b, _| !a & b)
        }
        Mnemonic::Orps | Mnemonic::Orpd | Mnemonic::Por => |cpu, insn| binary(cpu, insn, |a, b, _| a | b),
        Mnemonic::Xorps | Mnemonic::Xorpd | Mnemonic::Pxor => |cpu, insn| binary(cpu, insn, |a, b, _| a ^ b),
        Mnemonic::Unpcklps => |cpu, insn| binary(cpu, insn, |a, b, _| unpack::<32>(a, b, 0)),
        Mnemonic::Unpckhps => |cpu, insn| binary(cpu, insn, |a, b, _| unpack::<32>(a, b, 2)),
        Mnemonic::Unpcklpd => |cpu, insn| binary(cpu, insn, |a, b, _| unpack::<64>(a, b, 0)),
        Mnemonic::Unpckhpd => |cpu, insn| binary(cpu, insn, |a, b, _| unpack::<64>(a, b, 1)),
        Mnemonic::Shufps => |cpu, insn| {
            binary(cpu, insn, |a, b, imm| {
                vector::<32>(|n| lane::<32>(if n < 2 { a } else { b }, imm >> (2 * n) & 3))
            })
        },
        Mnemonic::Shufpd => |cpu, insn| {
            binary(cpu, insn, |a, b, imm| {
                vector::<64>(|n| lane::<64>(if n == 0 { a } else { b }, imm >> n & 1))
            })
        },
        Mnemonic::Blendps => {
            |cpu, insn| sse41(cpu, insn, |a, b, imm| blend::<32>(a, b, |n| imm >> n & 1 != 0))
        }
        Mnemonic::Blendpd => {
            |cpu, insn| sse41(cpu, insn, |a, b, imm| blend::<64>(a, b, |n| imm >> n & 1 != 0))
        }
        Mnemonic::Pblendw => {
            |cpu, insn| sse41(cpu, insn, |a, b, imm| blend::<16>(a, b, |n| imm >> n & 1 != 0))
        }
        Mnemonic::Blendvps => blend_by_xmm0::<32>,
        Mnemonic::Blendvpd => blend_by_xmm0::<64>,
        Mnemonic::Pblendvb => blend_by_xmm0::<8>,
        Mnemonic::Insertps => insertps,
        Mnemonic::Extractps => extractps,
        _ => return None,
    })
}

/// Lanes of two vectors in turn, from lane `first` on.
pub(super) fn unpack<const BITS: u32>(a: u128, b: u128, first: u32) -> u128 {
    vector::<BITS>(|n| lane::<BITS>(if n & 1 == 0 { a } else { b }, first + n / 2))
}

fn blend<const BITS: u32>(a: u128, b: u128, second: impl Fn(u32) -> bool) -> u128 {
    vector::<BITS>(|n| lane::<BITS>(if second(n) { b } else { a }, n))
}

/// Destination and source to destination, with the immediate of the third operand (0 without).
fn binary(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u128, u32) -> u128) -> Exec {
    if insn.op0_register().is_mm() {
        return mmx::binary(cpu, insn, |a, b| f(a, b, 0));
    }
    let imm = u32::from(insn.immediate8());
    // Bits of the immediate that the lower half uses, where the upper half has its own.
    let used = match plain(insn) {
        Mnemonic::Blendps => 4,
        Mnemonic::Blendpd | Mnemonic::Shufpd => 2,
        _ => 0,
    };
    cpu.halves(insn, Align::Checked, |a, b, half| f(a, b, imm >> (used * half)))
}

fn sse41(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u128, u32) -> u128) -> Exec {
    cpu.need(Feature::Sse41)?;
    binary(cpu, insn, f)
}

fn sse3(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128) -> u128) -> Exec {
    cpu.need(Feature::Sse3)?;
    binary(cpu, insn, |_, b, _| f(b))
}

fn blend_by_xmm0<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let blended =
        |a: u128, b: u128, chosen: u128| blend::<BITS>(a, b, |n| lane::<BITS>(chosen, n) >> (BITS - 1) != 0);
    cpu.need(Feature::Sse41)?;
    if is_vex(insn) {
        cpu.avx(insn)?;
        let b = cpu.read_wide(insn, 2)?;
        let (a, chosen) = (cpu.wide(insn.op1_register()), cpu.wide(insn.op_register(3)));
        let result = [0, 1].map(|n: usize| blended(a[n & 1], b[n & 1], chosen[n & 1]));
        cpu.set_wide(insn.op0_register(), result);
        return Ok(());
    }
    let chosen = cpu.xmm(Register::XMM0);
    cpu.vectors(insn, Align::Checked, |a, b| blended(a, b, chosen))
}

fn whole<const ALIGNED: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let align = if ALIGNED { Align::Checked } else { Align::Any };
    if is_vex(insn) {
        return whole_vex(cpu, insn, ALIGNED);
    }
    cpu.sse()?;
    let value = cpu.read_sse(insn, 1, align)?;
    match insn.op0_kind() {
        OpKind::Register => cpu.set_xmm(insn.op0_register(), value),
        _ => cpu.write_sse_memory(insn, value, align)?,
    }
    Ok(())
}

/// VMOVAPS and its like keep their alignment, to the size of the operand.
fn whole_vex(cpu: &mut Cpu, insn: &Instruction, aligned: bool) -> Exec {
    cpu.avx(insn)?;
    let memory = insn.op0_kind() == OpKind::Memory || insn.op1_kind() == OpKind::Memory;
    if aligned && memory {
        let write = insn.op0_kind() == OpKind::Memory;
        let (segment, offset) = cpu.memory_operand(insn, u32::from(!write));
        let size = insn.memory_size().size();
        let linear = cpu.linear(segment, offset, size, write)?;
        if linear & (size as u64 - 1) != 0 {
            return Err(cpu.gp(0));
        }
    }
    let value = cpu.read_wide(insn, 1)?;
    if insn.op0_kind() == OpKind::Register {
        cpu.set_wide(insn.op0_register(), value);
        return Ok(());
    }
    cpu.write_wide_memory(insn, value)
}

/// MOVSS, MOVSD: registers keep the rest, loads clear it.
fn scalar<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    if is_vex(insn) && insn.op_count() == 3 {
        let keep = !(u128::MAX >> (128 - BITS));
        let (a, b) = (cpu.xmm(insn.op1_register()), cpu.xmm(insn.op2_register()));
        cpu.set_wide(insn.op0_register(), [a & keep | b & !keep, 0]);
        return Ok(());
    }
    let value = cpu.read_sse(insn, 1, Align::Any)?;
    match (insn.op0_kind(), insn.op1_kind()) {
        (OpKind::Register, OpKind::Register) => cpu.set_xmm_low(insn.op0_register(), BITS, value as u64),
        (OpKind::Register, _) => cpu.set_vector(insn, value),
        _ => cpu.write_sse_memory(insn, value, Align::Any)?,
    }
    Ok(())
}

/// MOVD, MOVQ: the low 32 or 64 bits between XMM, general-purpose registers and memory.
fn movd(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if mmx::uses_mmx(insn) {
        return mmx::movd(cpu, insn);
    }
    cpu.enabled(insn)?;
    let xmm = |n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_xmm();
    let value = if xmm(1) { cpu.xmm(insn.op1_register()) as u64 } else { cpu.read_operand(insn, 1)? };
    if xmm(0) {
        cpu.set_vector(insn, u128::from(value));
        return Ok(());
    }
    let size = cpu.operand_size(insn, 0);
    cpu.write_operand(insn, 0, value & mask(size))
}

/// MOVLPS and its like: one half, the other stays. Between registers the halves cross.
fn half<const HIGH: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    if insn.op0_kind() != OpKind::Register {
        let value = cpu.xmm(insn.op1_register());
        return cpu.write_sse_memory(
            insn,
            if HIGH { value >> 64 } else { value & u128::from(u64::MAX) },
            Align::Any,
        );
    }
    let (from, old) = if is_vex(insn) { (2, insn.op1_register()) } else { (1, insn.op0_register()) };
    let value = match insn.op_kind(from) {
        OpKind::Register if !HIGH => (cpu.xmm(insn.op_register(from)) >> 64) as u64,
        _ => cpu.read_sse(insn, from, Align::Any)? as u64,
    };
    let old = cpu.xmm(old);
    let (low, high) = if HIGH { (old as u64, value) } else { (value, (old >> 64) as u64) };
    cpu.set_vector(insn, u128::from(high) << 64 | u128::from(low));
    Ok(())
}

fn movnti(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.reg(insn.op1_register());
    cpu.write_operand(insn, 0, value)
}

fn move_mask<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    let value = cpu.wide(insn.op1_register());
    let mask = |v| (0..128 / BITS).fold(0, |mask, n| mask | (lane::<BITS>(v, n) >> (BITS - 1)) << n);
    cpu.set_reg(insn.op0_register(), mask(value[0]) | mask(value[1]) << (128 / BITS));
    Ok(())
}

/// MASKMOVDQU: bytes of the first operand to DS:(E/R)DI where the second has its top bit. Not one is written when one faults.
fn maskmovdqu(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.enabled(insn)?;
    let (segment, offset) = cpu.memory_operand(insn, 0);
    let (value, chosen) = (cpu.xmm(insn.op1_register()), cpu.xmm(insn.op2_register()));
    let chosen = |n: &u32| lane::<8>(chosen, *n) >> 7 != 0;
    let linear = cpu.linear(segment, offset, 16, true)?;
    for n in (0..16).filter(chosen) {
        cpu.probe_write(linear.wrapping_add(u64::from(n)), 1, Mode::Data)?;
    }
    for n in (0..16).filter(chosen) {
        cpu.write_linear(linear.wrapping_add(u64::from(n)), 1, lane::<8>(value, n), Mode::Data)?;
    }
    Ok(())
}

fn insertps(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Sse41)?;
    cpu.enabled(insn)?;
    let imm = u32::from(insn.immediate8());
    let (n, old) = if is_vex(insn) { (2, insn.op1_register()) } else { (1, insn.op0_register()) };
    let source = cpu.read_sse(insn, n, Align::Any)?;
    let from = if insn.op_kind(n) == OpKind::Register { imm >> 6 & 3 } else { 0 };
    let old = cpu.xmm(old);
    let result = vector::<32>(|n| match n {
        _ if imm >> n & 1 != 0 => 0,
        _ if n == imm >> 4 & 3 => lane::<32>(source, from),
        _ => lane::<32>(old, n),
    });
    cpu.set_vector(insn, result);
    Ok(())
}

fn extractps(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Sse41)?;
    cpu.enabled(insn)?;
    let value = lane::<32>(cpu.xmm(insn.op1_register()), u32::from(insn.immediate8()) & 3);
    cpu.write_operand(insn, 0, value)
}
