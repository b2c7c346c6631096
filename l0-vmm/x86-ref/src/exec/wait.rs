//! User waits: UMONITOR, UMWAIT, TPAUSE. Nothing else runs, so they do not wait: TPAUSE and UMWAIT end at once, as they may.
//!
//! SDM 2: "TPAUSE", "UMONITOR", "UMWAIT".

use super::{Handler, cpuid::Output};
use crate::{Cpu, cpu::gpr, exec::operand::seg_number, fault::Exec, flags::Flags, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{
    cr::{cr4, rflags},
    vmx::exit::Reason,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Umonitor => umonitor,
        Mnemonic::Umwait => |cpu, insn| wait(cpu, insn, Reason::UMWAIT),
        Mnemonic::Tpause => |cpu, insn| wait(cpu, insn, Reason::TPAUSE),
        _ => return None,
    })
}

/// CPUID leaf 7, ECX: WAITPKG.
const CPUID_WAITPKG: u32 = 5;

fn available(cpu: &mut Cpu) -> Exec {
    let other = Intercept::Other { reason: Reason::UMWAIT.0 };
    if !cpu.cpuid_bit(7, Output::Ecx, CPUID_WAITPKG) || cpu.vmx_disables(other) {
        return Err(cpu.ud());
    }
    Ok(())
}

/// The address is that of a byte that could be read.
fn umonitor(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    available(cpu)?;
    let address = cpu.reg(insn.op0_register());
    let segment = seg_number(insn.segment_prefix());
    cpu.read_segment(segment, address, 1)?;
    Ok(())
}

fn wait(cpu: &mut Cpu, insn: &Instruction, reason: Reason) -> Exec {
    available(cpu)?;
    if cpu.cr4 & cr4::TSD != 0 && cpu.cpl > 0 {
        return Err(cpu.gp(0));
    }
    // Bits but that of the wanted state are reserved.
    if cpu.r[gpr_of(insn)] & 0xffff_fffe != 0 {
        return Err(cpu.gp(0));
    }
    cpu.intercept(insn, Intercept::Other { reason: reason.0 })?;
    // CF: the limit of IA32_UMWAIT_CONTROL ended it; it did not.
    cpu.flags = Flags::from_bits(cpu.flags.bits() & !ARITHMETIC);
    Ok(())
}

const ARITHMETIC: u64 = rflags::CF | rflags::PF | rflags::AF | rflags::ZF | rflags::SF | rflags::OF;

fn gpr_of(insn: &Instruction) -> usize {
    let register = insn.op0_register();
    if register == iced_x86::Register::None { gpr::RAX } else { super::operand::gpr_number(register) }
}
