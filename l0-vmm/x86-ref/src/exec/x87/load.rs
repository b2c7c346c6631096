//! x87 loads, stores and moves on the register stack.

use super::{
    soft::{self, DE, Env, F32, F64, F80, IE, OE, TRUNCATE, UE},
    stack::sti,
};
use crate::{Cpu, exec::Handler, fault::Exec};
use iced_x86::{Code, Instruction, MemorySize, Mnemonic, OpKind};
use x86_spec::cr::rflags;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match insn.mnemonic() {
        Fld => fld,
        Fild => fild,
        Fbld => fbld,
        Fst | Fstp | Fstpnce => fst,
        Fist | Fistp | Fisttp => fist,
        Fbstp => fbstp,
        Fxch => fxch,
        Ffree => |cpu, insn| free(cpu, insn, false),
        Ffreep => |cpu, insn| free(cpu, insn, true),
        Fincstp => |cpu, insn| turn(cpu, insn, 1),
        Fdecstp => |cpu, insn| turn(cpu, insn, 7),
        Fcmovb => |cpu, insn| move_if(cpu, insn, rflags::CF, true),
        Fcmove => |cpu, insn| move_if(cpu, insn, rflags::ZF, true),
        Fcmovbe => |cpu, insn| move_if(cpu, insn, rflags::CF | rflags::ZF, true),
        Fcmovu => |cpu, insn| move_if(cpu, insn, rflags::PF, true),
        Fcmovnb => |cpu, insn| move_if(cpu, insn, rflags::CF, false),
        Fcmovne => |cpu, insn| move_if(cpu, insn, rflags::ZF, false),
        Fcmovnbe => |cpu, insn| move_if(cpu, insn, rflags::CF | rflags::ZF, false),
        Fcmovnu => |cpu, insn| move_if(cpu, insn, rflags::PF, false),
        Fld1 => |cpu, insn| constant(cpu, insn, F80::ONE.significand, 0, 0),
        Fldl2t => |cpu, insn| constant(cpu, insn, 0xd49a_784b_cd1b_8afe, 1, UP_ONLY),
        Fldl2e => |cpu, insn| constant(cpu, insn, 0xb8aa_3b29_5c17_f0bc, 0, DOWN_TOO),
        Fldpi => |cpu, insn| constant(cpu, insn, 0xc90f_daa2_2168_c235, 1, DOWN_TOO),
        Fldlg2 => |cpu, insn| constant(cpu, insn, 0x9a20_9a84_fbcf_f799, -2, DOWN_TOO),
        Fldln2 => |cpu, insn| constant(cpu, insn, 0xb172_17f7_d1cf_79ac, -1, DOWN_TOO),
        Fldz => fldz,
        _ => return None,
    })
}

/// The constant lies above its 64 bits: one more when rounding up.
const UP_ONLY: i64 = 1;
/// It lies below (its nearest number is above): one less when rounding down or toward zero.
const DOWN_TOO: i64 = -1;

/// Pushes a number if there is room.
fn push(cpu: &mut Cpu, value: F80) {
    if cpu.st(7).is_none() {
        cpu.push_st(value);
    } else if cpu.stack_overflow() {
        cpu.push_st(F80::INDEFINITE);
    }
}

fn constant(cpu: &mut Cpu, insn: &Instruction, significand: u64, exponent: i32, side: i64) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let rounding = cpu.fpu.fcw >> 10 & 3;
    let off = match side {
        UP_ONLY if rounding == 2 => 1,
        DOWN_TOO if rounding & 1 != 0 => -1,
        _ => 0,
    };
    cpu.x87_flags(0, false);
    push(cpu, F80::normal(exponent, significand.wrapping_add_signed(off)));
    Ok(())
}

fn fldz(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    cpu.x87_flags(0, false);
    push(cpu, F80::zero(false));
    Ok(())
}

fn fld(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    if insn.op0_kind() == OpKind::Register {
        cpu.note_x87(insn);
        let full = cpu.st(7).is_some();
        let value = cpu.st(sti(insn, if insn.op_count() > 1 { 1 } else { 0 }));
        match value {
            Some(_) if full => push(cpu, F80::INDEFINITE),
            Some(value) => {
                cpu.x87_flags(0, false);
                cpu.push_st(value);
            }
            None => {
                if cpu.stack_underflow() {
                    cpu.push_st(F80::INDEFINITE);
                }
            }
        }
        return Ok(());
    }
    if insn.memory_size() == MemorySize::Float80 {
        let bytes = cpu.read_image_of::<10>(insn)?;
        cpu.note_x87(insn);
        let mut bits = [0; 16];
        bits[..10].copy_from_slice(&bytes);
        cpu.x87_flags(0, false);
        push(cpu, F80::from_bits(u128::from_le_bytes(bits)));
        return Ok(());
    }
    let f = if insn.memory_size() == MemorySize::Float32 { F32 } else { F64 };
    let value = cpu.read_operand(insn, 0)?;
    cpu.note_x87(insn);
    if cpu.st(7).is_some() {
        push(cpu, F80::INDEFINITE);
        return Ok(());
    }
    let (value, denormal) = soft::widen(f, value);
    let mut env = Env::full(cpu.fpu.fcw);
    let value = env.nan_of(value, value).unwrap_or(value);
    if denormal {
        env.flags |= DE;
    }
    // An unmasked denormal does not keep it from the register.
    cpu.x87_flags(env.flags, false);
    if env.flags & !cpu.fpu.fcw & IE == 0 {
        cpu.push_st(value);
    }
    Ok(())
}

fn fild(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    let value = cpu.read_operand(insn, 0)?;
    cpu.note_x87(insn);
    let value = match insn.memory_size() {
        MemorySize::Int16 => i64::from(value as i16),
        MemorySize::Int32 => i64::from(value as i32),
        _ => value as i64,
    };
    cpu.x87_flags(0, false);
    push(cpu, soft::from_int(value));
    Ok(())
}

/// FBLD: eighteen decimal digits and a sign. Digits above 9 are what they are worth.
fn fbld(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    let bytes = cpu.read_image_of::<10>(insn)?;
    cpu.note_x87(insn);
    let digits = bytes[..9].iter().rev().flat_map(|byte| [byte >> 4, byte & 15]);
    let magnitude = digits.fold(0i64, |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(digit)));
    cpu.x87_flags(0, false);
    push(cpu, F80 { sign: bytes[9] & 0x80 != 0, ..soft::from_int(magnitude) });
    Ok(())
}

fn pop_if(cpu: &mut Cpu, insn: &Instruction) {
    if !matches!(insn.mnemonic(), Mnemonic::Fst | Mnemonic::Fist) {
        cpu.pop_st();
    }
}

fn fst(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    let value = cpu.st(0);
    if insn.op0_kind() == OpKind::Register {
        cpu.note_x87(insn);
        // FSTPNCE takes an empty register without an exception.
        cpu.x87_flags(0, false);
        let go = value.is_some() || insn.mnemonic() == Mnemonic::Fstpnce || cpu.stack_underflow();
        if go {
            cpu.set_st(sti(insn, 0), value.unwrap_or(F80::INDEFINITE));
            pop_if(cpu, insn);
        }
        return Ok(());
    }
    if value.is_none() && cpu.fpu.fcw & IE == 0 {
        cpu.note_x87(insn);
        cpu.stack_underflow();
        return Ok(());
    }
    let a = value.unwrap_or(F80::INDEFINITE);
    let mut env = Env::full(cpu.fpu.fcw);
    if insn.memory_size() == MemorySize::Float80 {
        cpu.write_image_of(insn, &a.bits().to_le_bytes()[..10])?;
    } else {
        let f = if insn.memory_size() == MemorySize::Float32 { F32 } else { F64 };
        let result = soft::to_float(f, &mut env, a);
        if env.flags & !cpu.fpu.fcw & (IE | OE | UE) != 0 {
            cpu.note_x87(insn);
            cpu.x87_flags(env.flags & (IE | OE | UE), false);
            return Ok(());
        }
        cpu.write_operand(insn, 0, result)?;
    }
    cpu.note_x87(insn);
    match value {
        Some(_) => cpu.x87_flags(env.flags, env.up),
        None => cpu.stack_underflow(),
    };
    pop_if(cpu, insn);
    Ok(())
}

/// FIST, FISTP, FISTTP.
fn fist(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let cut = insn.mnemonic() == Mnemonic::Fisttp;
    if cut {
        cpu.need(crate::exec::feature::Feature::Sse3)?;
    }
    cpu.x87_waiting()?;
    let bits = 8 * insn.memory_size().size() as u32;
    let mut env = Env::full(cpu.fpu.fcw);
    let rounding = if cut { TRUNCATE } else { env.rounding };
    let value = cpu.st(0);
    let result = match value {
        Some(a) => soft::to_int(&mut env, a, bits, rounding),
        None => {
            env.flags |= IE;
            None
        }
    };
    if env.flags & IE == 0 || cpu.fpu.fcw & IE != 0 {
        let indefinite = i64::MIN >> (64 - bits);
        cpu.write_operand(insn, 0, result.unwrap_or(indefinite) as u64)?;
    }
    cpu.note_x87(insn);
    let go = if value.is_some() { cpu.x87_flags(env.flags, env.up) } else { cpu.stack_underflow() };
    if go {
        pop_if(cpu, insn);
    }
    Ok(())
}

/// The largest number of eighteen digits.
const BCD_MAX: u64 = 999_999_999_999_999_999;

fn fbstp(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    let mut env = Env::full(cpu.fpu.fcw);
    let rounding = env.rounding;
    let value = cpu.st(0);
    let mut result = value.and_then(|a| soft::to_int(&mut env, a, 64, rounding));
    if result.is_some_and(|v| v.unsigned_abs() > BCD_MAX) {
        result = None;
    }
    if result.is_none() {
        (env.flags, env.up) = (IE, false);
    }
    let mut bytes = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];
    if let (Some(v), Some(a)) = (result, value) {
        let mut rest = v.unsigned_abs();
        for byte in bytes.iter_mut().take(9) {
            let (ones, tens) = (rest % 10, rest / 10 % 10);
            *byte = (ones | tens << 4) as u8;
            rest /= 100;
        }
        bytes[9] = if a.sign { 0x80 } else { 0 };
    }
    if result.is_some() || cpu.fpu.fcw & IE != 0 {
        cpu.write_image_of(insn, &bytes)?;
    }
    cpu.note_x87(insn);
    let go = if value.is_some() { cpu.x87_flags(env.flags, env.up) } else { cpu.stack_underflow() };
    if go {
        cpu.pop_st();
    }
    Ok(())
}

fn fxch(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let n = sti(insn, 1);
    let (a, b) = (cpu.st(0), cpu.st(n));
    let go = if a.is_some() && b.is_some() { cpu.x87_flags(0, false) } else { cpu.stack_underflow() };
    if go {
        cpu.set_st(0, b.unwrap_or(F80::INDEFINITE));
        cpu.set_st(n, a.unwrap_or(F80::INDEFINITE));
    }
    Ok(())
}

fn free(cpu: &mut Cpu, insn: &Instruction, pop: bool) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    cpu.free_st(sti(insn, 0));
    if pop {
        cpu.rotate(1);
    }
    Ok(())
}

fn turn(cpu: &mut Cpu, insn: &Instruction, by: u16) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    cpu.x87_flags(0, false);
    cpu.rotate(by);
    Ok(())
}

/// FCMOVcc: when any of the flags is set, or when none is.
fn move_if(cpu: &mut Cpu, insn: &Instruction, flags: u64, set: bool) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let (Some(_), Some(b)) = (cpu.st(0), cpu.st(sti(insn, 1))) else {
        if cpu.stack_underflow() {
            cpu.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    };
    if (cpu.rflags() & flags != 0) == set {
        cpu.set_st(0, b);
    }
    Ok(())
}

/// Whether an instruction has the form with 16-bit offsets.
pub(super) fn short_form(insn: &Instruction) -> bool {
    matches!(
        insn.code(),
        Code::Fldenv_m14byte
            | Code::Fnstenv_m14byte
            | Code::Fstenv_m14byte
            | Code::Frstor_m94byte
            | Code::Fnsave_m94byte
            | Code::Fsave_m94byte
    )
}
