//! Waiting and interruptibility: HLT, CLI, STI, CLAC, STAC, MONITOR, MWAIT, PAUSE.

use super::{Handler, cpuid::Output};
use crate::{
    Cpu,
    boundary::BLOCKING_STI,
    cpu::{Activity, gpr},
    fault::Exec,
    mem::{Access, Mode},
    vmx::Intercept,
};
use iced_x86::{Code, Instruction, Mnemonic};
use x86_spec::{
    cr::{cr4, rflags},
    vmx::caps::Features,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Hlt => hlt,
        Mnemonic::Cli => cli,
        Mnemonic::Sti => sti,
        Mnemonic::Clac => |cpu, _| set_ac(cpu, false),
        Mnemonic::Stac => |cpu, _| set_ac(cpu, true),
        Mnemonic::Monitor => monitor,
        Mnemonic::Mwait => mwait,
        Mnemonic::Pause => pause,
        _ => return None,
    })
}

fn hlt(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::Hlt)?;
    cpu.activity = Activity::Hlt;
    cpu.attention_changed();
    Ok(())
}

fn pause(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.intercept(insn, Intercept::Pause)?;
    cpu.waits();
    Ok(())
}

/// Which flag CLI and STI change. SDM 2: "CLI", "STI", the decision tables.
fn interrupt_flag(cpu: &mut Cpu) -> Exec<u64> {
    if cpu.vm86() {
        return match cpu.iopl() {
            3 => Ok(rflags::IF),
            _ if cpu.cr4 & cr4::VME != 0 => Ok(rflags::VIF),
            _ => Err(cpu.gp(0)),
        };
    }
    if !cpu.protected() || cpu.cpl <= cpu.iopl() {
        return Ok(rflags::IF);
    }
    if cpu.cpl == 3 && cpu.cr4 & cr4::PVI != 0 { Ok(rflags::VIF) } else { Err(cpu.gp(0)) }
}

fn cli(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let flag = interrupt_flag(cpu)?;
    cpu.sysflags &= !flag;
    cpu.attention_changed();
    Ok(())
}

fn sti(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let flag = interrupt_flag(cpu)?;
    if flag == rflags::VIF && cpu.sysflags & rflags::VIP != 0 {
        return Err(cpu.gp(0));
    }
    if flag == rflags::IF && cpu.sysflags & rflags::IF == 0 {
        cpu.blocking |= BLOCKING_STI;
    }
    cpu.sysflags |= flag;
    cpu.attention_changed();
    Ok(())
}

fn set_ac(cpu: &mut Cpu, on: bool) -> Exec {
    if !cpu.has(Features::SMAP) || cpu.cpl != 0 || cpu.vm86() {
        return Err(cpu.ud());
    }
    cpu.sysflags = cpu.sysflags & !rflags::AC | if on { rflags::AC } else { 0 };
    cpu.mode_changed();
    Ok(())
}

/// CPUID leaf 1, ECX: MONITOR and MWAIT.
const CPUID_MONITOR: u32 = 3;

fn monitor_there(cpu: &mut Cpu) -> Exec {
    if cpu.cpl == 0 && !cpu.vm86() && cpu.cpuid_bit(1, Output::Ecx, CPUID_MONITOR) {
        Ok(())
    } else {
        Err(cpu.ud())
    }
}

fn monitor(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    monitor_there(cpu)?;
    cpu.intercept(insn, Intercept::Monitor)?;
    if cpu.r[gpr::RCX] & 0xffff_ffff != 0 {
        return Err(cpu.gp(0));
    }
    // The width of the address is in the code; the decoder lists no operand.
    let width = match insn.code() {
        Code::Monitorw => 2,
        Code::Monitord => 4,
        _ => 8,
    };
    let mask = super::operand::mask(width);
    let segment = super::operand::seg_number(insn.segment_prefix());
    let offset = cpu.r[gpr::RAX] & mask;
    cpu.read_segment(segment, offset, 1)?;
    cpu.monitor_armed = true;
    if cpu.platform {
        let linear = cpu.linear(segment, offset, 1, false)?;
        let physical = cpu.translate(linear, Access::Read, Mode::Data)?;
        cpu.watch_line(physical);
    }
    Ok(())
}

/// MWAIT may end for any reason. Without a platform it ends at once; with one, when another processor has written to the
/// line or there is an interrupt, whatever RFLAGS.IF.
fn mwait(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    monitor_there(cpu)?;
    cpu.intercept(insn, Intercept::Mwait)?;
    if cpu.r[gpr::RCX] & 0xffff_ffff > 1 {
        return Err(cpu.gp(0));
    }
    if std::mem::take(&mut cpu.monitor_armed) {
        cpu.wait_for_line();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
