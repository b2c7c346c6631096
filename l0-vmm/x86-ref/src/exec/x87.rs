//! x87: control and status words, FNINIT, FNCLEX, EMMS, WAIT here; loads and stores, arithmetic, transcendental functions and
//! the environment in files of their own.
//!
//! Arithmetic is exact in every rounding mode and under precision control; transcendental functions are approximate. The
//! selectors of the last instruction and operand are not kept, and the last opcode for unmasked exceptions alone, as on recent
//! processors.

use super::Handler;
use crate::{Cpu, fault::Exec};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{cr::cr0, vector};

mod approx;
mod arith;
mod env;
mod load;
mod soft;
mod stack;
#[cfg(test)]
mod tests;

/// ES of the status word: an unmasked exception waits.
const ERROR_SUMMARY: u16 = 1 << 7;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Fninit => fninit,
        Mnemonic::Fnclex => fnclex,
        Mnemonic::Fnstcw => fnstcw,
        Mnemonic::Fnstsw => fnstsw,
        Mnemonic::Fldcw => fldcw,
        Mnemonic::Fnop => |cpu, _| cpu.x87_waiting(),
        Mnemonic::Emms => emms,
        Mnemonic::Wait => wait,
        // No-operations since the 387.
        Mnemonic::Fneni | Mnemonic::Fndisi | Mnemonic::Fnsetpm => |cpu, _| cpu.x87(),
        _ => {
            return load::find(insn)
                .or_else(|| arith::find(insn))
                .or_else(|| env::find(insn))
                .or_else(|| approx::find(insn))
                .or_else(|| is_x87(insn).then_some(other));
        }
    })
}

/// What is left of the opcodes: FRSTPM and its like of the 80287XL, and forms that exist for assemblers alone.
fn other(cpu: &mut Cpu, _: &Instruction) -> Exec {
    cpu.x87()?;
    Err(cpu.unsupported("an x87 instruction of old"))
}

/// Whether an instruction belongs to x87: its opcode begins with D8 to DF, which is what iced's FPU flag follows.
fn is_x87(insn: &Instruction) -> bool {
    let info = insn.fpu_stack_increment_info();
    info.writes_top()
        || insn.cpuid_features().iter().any(|f| {
            use iced_x86::CpuidFeature::{FPU, FPU287, FPU287XL_ONLY, FPU387, FPU387SL_ONLY};
            matches!(*f, FPU | FPU287 | FPU287XL_ONLY | FPU387 | FPU387SL_ONLY)
        })
}

impl Cpu {
    /// #NM of x87 instructions but WAIT.
    fn x87(&mut self) -> Exec {
        if self.cr0 & (cr0::EM | cr0::TS) != 0 { Err(self.nm()) } else { Ok(()) }
    }

    /// [`Cpu::x87`] and what waits: #MF with CR0.NE. Without it the error goes out on a pin (FERR#), which is not modelled.
    pub(super) fn x87_waiting(&mut self) -> Exec {
        self.x87()?;
        self.x87_error()
    }

    fn x87_error(&mut self) -> Exec {
        match (self.fpu.fsw & ERROR_SUMMARY != 0, self.cr0 & cr0::NE != 0) {
            (false, _) => Ok(()),
            (true, true) => Err(self.fault(vector::MF, None)),
            (true, false) => Err(self.unsupported("x87 error with CR0.NE clear")),
        }
    }
}

fn fninit(cpu: &mut Cpu, _: &Instruction) -> Exec {
    cpu.x87()?;
    cpu.fpu.init_x87();
    Ok(())
}

/// FNCLEX: clears the exception flags, the stack fault, ES and B.
fn fnclex(cpu: &mut Cpu, _: &Instruction) -> Exec {
    cpu.x87()?;
    cpu.fpu.fsw &= 0x7f00;
    Ok(())
}

fn fnstcw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87()?;
    cpu.write_operand(insn, 0, u64::from(cpu.fpu.fcw))
}

fn fnstsw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87()?;
    cpu.write_operand(insn, 0, u64::from(cpu.fpu.fsw))
}

fn fldcw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    // Bit 6 reads as 1, the reserved bits as 0.
    cpu.fpu.fcw = cpu.read_operand(insn, 0)? as u16 & 0x1f7f | 0x40;
    cpu.fpu.summarise();
    Ok(())
}

/// EMMS: the tag word becomes empty. As an MMX instruction it is #UD with CR0.EM.
fn emms(cpu: &mut Cpu, _: &Instruction) -> Exec {
    if cpu.cr0 & cr0::EM != 0 {
        return Err(cpu.ud());
    }
    cpu.x87_waiting()?;
    cpu.fpu.ftw = 0;
    Ok(())
}

/// WAIT: #NM when both CR0.MP and CR0.TS are set.
fn wait(cpu: &mut Cpu, _: &Instruction) -> Exec {
    if cpu.cr0 & cr0::MP != 0 && cpu.cr0 & cr0::TS != 0 {
        return Err(cpu.nm());
    }
    cpu.x87_error()
}
