//! Near branches. Targets of direct ones were checked when they were decoded.

use super::{
    ANY, LONG, Reach, load,
    mov::conditions,
    reg,
    stack::{push, release, top},
};
use crate::{
    Cpu,
    block::op::{End, Op, Run, Way, fast_end, full_end},
    cpu::gpr,
    fault::{Exec, Halt},
    flags::cut,
};

struct Jcc<const CC: u8>;
struct Jmp;
struct Call<const S: usize>;
struct Ret<const S: usize>;
struct JmpR<const S: usize>;
struct JmpM<const S: usize, const A: u8>;
struct CallR<const S: usize>;
struct CallM<const S: usize, const A: u8>;

/// RIP behind an op of a direct branch.
#[inline(always)]
fn behind(cpu: &Cpu, op: &Op) -> u64 {
    cpu.rip.wrapping_add(op.disp as u64)
}

impl<const CC: u8> End for Jcc<CC> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        if cpu.flags.condition::<CC>() {
            cpu.rip = op.imm;
            Ok(Way::Taken)
        } else {
            cpu.rip = behind(cpu, op);
            Ok(Way::Behind)
        }
    }
}

impl End for Jmp {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        cpu.rip = op.imm;
        Ok(Way::Taken)
    }
}

impl<const S: usize> End for Call<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        push::<S, FAST>(cpu, behind(cpu, op))?;
        cpu.rip = op.imm;
        Ok(Way::Taken)
    }
}

/// The target of an indirect branch, if it is a legal one. The fast form knows only the halves of 48-bit addresses.
#[inline(always)]
fn indirect<const S: usize, const FAST: bool>(cpu: &mut Cpu, target: u64) -> Exec<u64> {
    let target = cut::<S>(target);
    if S == 8 {
        if FAST {
            let canonical = (target as i64) << 16 >> 16 == target as i64;
            return if canonical { Ok(target) } else { Err(Halt) };
        }
        cpu.check_target(target)?;
    }
    Ok(target)
}

impl<const S: usize> End for Ret<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        let target = top::<S, FAST>(cpu, cpu.r[gpr::RSP])?;
        cpu.rip = indirect::<S, FAST>(cpu, target)?;
        release::<S>(cpu, op.imm);
        Ok(Way::Anywhere)
    }
}

impl<const S: usize> End for JmpR<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        cpu.rip = indirect::<S, FAST>(cpu, reg(cpu, op.src))?;
        Ok(Way::Anywhere)
    }
}

impl<const S: usize, const A: u8> End for JmpM<S, A> {
    type Full = JmpM<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        let target = load::<S, A, FAST>(cpu, op)?;
        cpu.rip = indirect::<S, FAST>(cpu, target)?;
        Ok(Way::Anywhere)
    }
}

impl<const S: usize> End for CallR<S> {
    type Full = Self;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        let target = indirect::<S, FAST>(cpu, reg(cpu, op.src))?;
        push::<S, FAST>(cpu, op.imm)?;
        cpu.rip = target;
        Ok(Way::Anywhere)
    }
}

impl<const S: usize, const A: u8> End for CallM<S, A> {
    type Full = CallM<S, ANY>;

    #[inline(always)]
    fn exec<const FAST: bool>(cpu: &mut Cpu, op: &Op) -> Exec<Way> {
        let target = load::<S, A, FAST>(cpu, op)?;
        let target = indirect::<S, FAST>(cpu, target)?;
        push::<S, FAST>(cpu, op.imm)?;
        cpu.rip = target;
        Ok(Way::Anywhere)
    }
}

/// Jcc.
pub(in crate::block) fn jcc(cc: u8) -> Run {
    conditions!(cc, fast_end, Jcc)
}

/// JMP to a known target.
pub(in crate::block) fn jmp() -> Run {
    fast_end::<Jmp>
}

/// The form for 8 or 4 bytes, with or without a look at the stack segment.
macro_rules! form {
    ($t:ident, $size:expr, $checked:expr) => {
        match ($size, $checked) {
            (8, false) => fast_end::<$t<8>>,
            (8, true) => full_end::<$t<8>>,
            (_, false) => fast_end::<$t<4>>,
            (_, true) => full_end::<$t<4>>,
        }
    };
}

/// The form for 8 or 4 bytes and a memory operand.
macro_rules! memory_form {
    ($t:ident, $size:expr, $reach:expr) => {
        match ($size, $reach) {
            (8, Reach::Long) => fast_end::<$t<8, LONG>>,
            (8, Reach::Any) => fast_end::<$t<8, ANY>>,
            (8, Reach::Checked) => full_end::<$t<8, ANY>>,
            (_, Reach::Checked) => full_end::<$t<4, ANY>>,
            (_, _) => fast_end::<$t<4, ANY>>,
        }
    };
}

/// CALL of a known target.
pub(in crate::block) fn call(size: usize, checked: bool) -> Run {
    form!(Call, size, checked)
}

/// RET.
pub(in crate::block) fn ret(size: usize, checked: bool) -> Run {
    form!(Ret, size, checked)
}

/// JMP to what a register says.
pub(in crate::block) fn jmp_r(size: usize) -> Run {
    form!(JmpR, size, false)
}

/// JMP to what memory says.
pub(in crate::block) fn jmp_m(size: usize, reach: Reach) -> Run {
    memory_form!(JmpM, size, reach)
}

/// CALL of what a register says.
pub(in crate::block) fn call_r(size: usize, checked: bool) -> Run {
    form!(CallR, size, checked)
}

/// CALL of what memory says.
pub(in crate::block) fn call_m(size: usize, reach: Reach) -> Run {
    memory_form!(CallM, size, reach)
}
