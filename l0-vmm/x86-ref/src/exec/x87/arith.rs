//! x87 arithmetic and comparisons.

use super::{
    soft::{self, DE, Env, F32, F64, F80, IE, ZE},
    stack::{C0, C2, C3, sti},
};
use crate::{Cpu, exec::Handler, fault::Exec, flags::Flags};
use iced_x86::{Instruction, MemorySize, Mnemonic, OpKind};
use std::cmp::Ordering;
use x86_spec::cr::rflags;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match insn.mnemonic() {
        Fadd | Faddp | Fiadd => |cpu, insn| binary(cpu, insn, soft::add),
        Fsub | Fsubp | Fisub => |cpu, insn| binary(cpu, insn, soft::sub),
        Fsubr | Fsubrp | Fisubr => |cpu, insn| binary(cpu, insn, |e, a, b| soft::sub(e, b, a)),
        Fmul | Fmulp | Fimul => |cpu, insn| binary(cpu, insn, soft::mul),
        Fdiv | Fdivp | Fidiv => |cpu, insn| binary(cpu, insn, soft::div),
        Fdivr | Fdivrp | Fidivr => |cpu, insn| binary(cpu, insn, |e, a, b| soft::div(e, b, a)),
        Fsqrt => |cpu, insn| unary(cpu, insn, Env::new, soft::sqrt),
        Frndint => |cpu, insn| unary(cpu, insn, Env::full, soft::round_int),
        Fscale => fscale,
        Fprem => |cpu, insn| fprem(cpu, insn, false),
        Fprem1 => |cpu, insn| fprem(cpu, insn, true),
        Fxtract => fxtract,
        Fchs => |cpu, insn| sign(cpu, insn, F80::negated),
        Fabs => |cpu, insn| sign(cpu, insn, |v| F80 { sign: false, ..v }),
        Fxam => fxam,
        Ftst => |cpu, insn| compare(cpu, insn, true),
        Fcom | Fcomp | Fcompp | Ficom | Ficomp => |cpu, insn| compare(cpu, insn, true),
        Fucom | Fucomp | Fucompp => |cpu, insn| compare(cpu, insn, false),
        Fcomi | Fcomip => |cpu, insn| compare_to_flags(cpu, insn, true),
        Fucomi | Fucomip => |cpu, insn| compare_to_flags(cpu, insn, false),
        _ => return None,
    })
}

/// How often an instruction pops.
fn pops(insn: &Instruction) -> u32 {
    use Mnemonic::*;
    match insn.mnemonic() {
        Faddp | Fsubp | Fsubrp | Fmulp | Fdivp | Fdivrp => 1,
        Fcomp | Ficomp | Fucomp | Fcomip | Fucomip => 1,
        Fcompp | Fucompp => 2,
        _ => 0,
    }
}

/// The memory operand as a number, and whether it is a denormal.
fn memory(cpu: &mut Cpu, insn: &Instruction) -> Exec<(F80, bool)> {
    let value = cpu.read_operand(insn, 0)?;
    Ok(match insn.memory_size() {
        MemorySize::Float32 => soft::widen(F32, value),
        MemorySize::Float64 => soft::widen(F64, value),
        MemorySize::Int16 => (soft::from_int(i64::from(value as i16)), false),
        _ => (soft::from_int(i64::from(value as i32)), false),
    })
}

fn is_memory(insn: &Instruction) -> bool {
    insn.op_count() > 0 && insn.op0_kind() == OpKind::Memory
}

fn binary(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(&mut Env, F80, F80) -> F80) -> Exec {
    cpu.x87_waiting()?;
    let (to, a, b, denormal) = if is_memory(insn) {
        let (b, denormal) = memory(cpu, insn)?;
        (0, cpu.st(0), Some(b), denormal)
    } else {
        let (to, from) = (sti(insn, 0), sti(insn, 1));
        (to, cpu.st(to), cpu.st(from), false)
    };
    cpu.note_x87(insn);
    let result = match (a, b) {
        (Some(a), Some(b)) => {
            let mut env = Env::new(cpu.fpu.fcw);
            let result = f(&mut env, a, b);
            if denormal && env.flags & (IE | ZE) == 0 && !a.is_nan() {
                env.flags |= DE;
            }
            cpu.x87_flags(env.flags, env.up).then_some(result)
        }
        _ => cpu.stack_underflow().then_some(F80::INDEFINITE),
    };
    if let Some(result) = result {
        cpu.set_st(to, result);
        (0..pops(insn)).for_each(|_| cpu.pop_st());
    }
    Ok(())
}

fn unary(
    cpu: &mut Cpu,
    insn: &Instruction,
    env: impl Fn(u16) -> Env,
    f: impl Fn(&mut Env, F80) -> F80,
) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let result = match cpu.st(0) {
        Some(a) => {
            let mut env = env(cpu.fpu.fcw);
            let result = f(&mut env, a);
            cpu.x87_flags(env.flags, env.up).then_some(result)
        }
        None => cpu.stack_underflow().then_some(F80::INDEFINITE),
    };
    if let Some(result) = result {
        cpu.set_st(0, result);
    }
    Ok(())
}

/// FCHS, FABS: no format is invalid for them.
fn sign(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(F80) -> F80) -> Exec {
    unary(cpu, insn, Env::full, |_, a| f(a))
}

fn fscale(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let by = cpu.st(1);
    if by.is_none() && cpu.st(0).is_some() {
        cpu.x87_waiting()?;
        cpu.note_x87(insn);
        if cpu.stack_underflow() {
            cpu.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    unary(cpu, insn, Env::full, |e, a| soft::scale(e, a, by.unwrap_or(F80::INDEFINITE)))
}

fn fprem(cpu: &mut Cpu, insn: &Instruction, nearest: bool) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let (Some(a), Some(b)) = (cpu.st(0), cpu.st(1)) else {
        cpu.fpu.fsw &= !C2;
        if cpu.stack_underflow() {
            cpu.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    };
    let mut env = Env::full(cpu.fpu.fcw);
    let found = soft::remainder(&mut env, a, b, nearest);
    cpu.fpu.fsw &= !C2;
    if !cpu.x87_flags(env.flags, false) {
        return Ok(());
    }
    cpu.set_st(0, found.value);
    if env.flags & IE != 0 || found.value.is_nan() {
        return Ok(());
    }
    let Some(q) = found.quotient else {
        cpu.set_codes(C2);
        return Ok(());
    };
    let code = |bit: u32, code: u16| if q >> bit & 1 != 0 { code } else { 0 };
    cpu.set_codes(code(2, C0) | code(1, C3));
    cpu.fpu.fsw |= code(0, super::stack::C1);
    Ok(())
}

/// FXTRACT: the exponent as a number in ST(0), then the significand pushed.
fn fxtract(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    let (a, room) = (cpu.st(0), cpu.st(7).is_none());
    let Some(a) = a.filter(|_| room) else {
        let masked = if a.is_none() { cpu.stack_underflow() } else { cpu.stack_overflow() };
        if masked {
            cpu.set_st(0, F80::INDEFINITE);
            cpu.push_st(F80::INDEFINITE);
        }
        return Ok(());
    };
    let mut env = Env::full(cpu.fpu.fcw);
    let (exponent, significand) = if let Some(nan) = env.nan_of(a, a) {
        (nan, nan)
    } else if a.is_infinity() {
        (F80::infinity(false), a)
    } else if a.is_zero() {
        env.flags |= ZE;
        (F80::infinity(true), a)
    } else {
        env.note_denormals(a, a);
        let (e, m) = a.parts();
        (soft::from_int(i64::from(e)), F80 { sign: a.sign, ..F80::normal(0, m) })
    };
    if cpu.x87_flags(env.flags, false) {
        cpu.set_st(0, exponent);
        cpu.push_st(significand);
    }
    Ok(())
}

/// SDM 2: "FXAM".
fn fxam(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    cpu.note_x87(insn);
    // The sign is that of the register, empty or not.
    let top = usize::from(cpu.fpu.fsw >> 11 & 7);
    let negative = F80::from_bits(cpu.fpu.st[top]).sign;
    cpu.x87_flags(0, negative);
    cpu.set_codes(match cpu.st(0) {
        None => C3 | C0,
        Some(a) if a.is_unsupported() => 0,
        Some(a) if a.is_nan() => C0,
        Some(a) if a.is_infinity() => C2 | C0,
        Some(a) if a.is_zero() => C3,
        Some(a) if a.is_denormal() => C3 | C2,
        Some(_) => C2,
    });
    Ok(())
}

/// What a comparison found.
struct Compared {
    /// `None`: unordered.
    order: Option<Ordering>,
    /// No exception that is not masked keeps it from popping.
    pops: bool,
    /// An invalid operand, and the exception is not masked.
    invalid: bool,
}

fn ordered(cpu: &mut Cpu, insn: &Instruction, signal: bool) -> Exec<Compared> {
    cpu.x87_waiting()?;
    let a = cpu.st(0);
    let (b, denormal) = if is_memory(insn) {
        let (b, denormal) = memory(cpu, insn)?;
        (Some(b), denormal)
    } else {
        match insn.mnemonic() {
            Mnemonic::Ftst => (Some(F80::zero(false)), false),
            Mnemonic::Fcompp | Mnemonic::Fucompp => (cpu.st(1), false),
            _ => (cpu.st(sti(insn, 1)), false),
        }
    };
    cpu.note_x87(insn);
    let (Some(a), Some(b)) = (a, b) else {
        let pops = cpu.stack_underflow();
        return Ok(Compared { order: None, pops, invalid: false });
    };
    let mut env = Env::full(cpu.fpu.fcw);
    let order = soft::compare(&mut env, a, b, signal);
    if denormal && order.is_some() {
        env.flags |= DE;
    }
    let invalid = env.flags & !env.masks & IE != 0;
    let pops = cpu.x87_flags(env.flags, false);
    Ok(Compared { order, pops, invalid })
}

fn compare(cpu: &mut Cpu, insn: &Instruction, signal: bool) -> Exec {
    let found = ordered(cpu, insn, signal)?;
    // "Flags not set if unmasked invalid-arithmetic-operand exception is generated."
    if !found.invalid {
        cpu.set_codes(match found.order {
            None => C3 | C2 | C0,
            Some(Ordering::Greater) => 0,
            Some(Ordering::Less) => C0,
            Some(Ordering::Equal) => C3,
        });
    }
    if found.pops {
        (0..pops(insn)).for_each(|_| cpu.pop_st());
    }
    Ok(())
}

/// FCOMI and its like: the flags are set whether there is an unmasked exception or not.
fn compare_to_flags(cpu: &mut Cpu, insn: &Instruction, signal: bool) -> Exec {
    let found = ordered(cpu, insn, signal)?;
    cpu.flags = Flags::from_bits(match found.order {
        None => rflags::ZF | rflags::PF | rflags::CF,
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => rflags::CF,
        Some(Ordering::Equal) => rflags::ZF,
    });
    if found.pops {
        (0..pops(insn)).for_each(|_| cpu.pop_st());
    }
    Ok(())
}
