//! Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT; SWAPGS and the FS and GS bases.

use super::{
    Handler,
    descriptor::{SELECTOR_INDEX, rights},
};
use crate::{
    Cpu, Segment,
    cpu::{gpr, seg},
    fault::Exec,
};
use iced_x86::{Code, Instruction, Mnemonic};
use x86_spec::{
    cr::{cr0, cr4, efer, rflags},
    vmx::caps::Features,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Syscall => syscall,
        Mnemonic::Sysret | Mnemonic::Sysretq => sysret,
        Mnemonic::Sysenter => sysenter,
        Mnemonic::Sysexit | Mnemonic::Sysexitq => sysexit,
        Mnemonic::Swapgs => swapgs,
        Mnemonic::Rdfsbase => |cpu, insn| read_base(cpu, insn, seg::FS),
        Mnemonic::Rdgsbase => |cpu, insn| read_base(cpu, insn, seg::GS),
        Mnemonic::Wrfsbase => |cpu, insn| write_base(cpu, insn, seg::FS),
        Mnemonic::Wrgsbase => |cpu, insn| write_base(cpu, insn, seg::GS),
        _ => return None,
    })
}

/// The flat code segment that these instructions load without looking at a descriptor.
fn flat_code(selector: u16, cpl: u8, long: bool) -> Segment {
    let size = if long { rights::L } else { rights::DB };
    let rights = rights::FLAT_CODE | size | rights::G | u32::from(cpl) << rights::DPL_SHIFT;
    Segment { selector, base: 0, limit: u32::MAX, rights }
}

/// The flat stack segment that they load.
fn flat_data(selector: u16, cpl: u8) -> Segment {
    let rights = rights::DATA | rights::DB | rights::G | u32::from(cpl) << rights::DPL_SHIFT;
    Segment { selector, base: 0, limit: u32::MAX, rights }
}

/// Goes to flat segments at a privilege level.
fn enter(cpu: &mut Cpu, cpl: u8, cs: u16, ss: u16, long: bool, rip: u64) {
    cpu.set_cs(flat_code(cs, cpl, long), cpl);
    cpu.seg[seg::SS] = flat_data(ss, cpl);
    cpu.rip = rip;
    cpu.mode_changed();
}

fn syscall_enabled(cpu: &mut Cpu) -> Exec {
    if cpu.long64() && cpu.msr.efer & efer::SCE != 0 { Ok(()) } else { Err(cpu.ud()) }
}

fn syscall(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    syscall_enabled(cpu)?;
    let flags = cpu.rflags();
    cpu.r[gpr::RCX] = insn.next_ip();
    cpu.r[gpr::R11] = flags & !rflags::RF;
    let cs = (cpu.msr.star >> 32) as u16 & SELECTOR_INDEX;
    enter(cpu, 0, cs, cs.wrapping_add(8), true, cpu.msr.lstar);
    cpu.set_rflags(flags & !(cpu.msr.fmask | rflags::RF));
    // A single-step trap follows as the flags are now, so that a mask with TF keeps it out of the kernel.
    cpu.step_tf &= cpu.sysflags & rflags::TF != 0;
    Ok(())
}

fn sysret(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    syscall_enabled(cpu)?;
    cpu.need_cpl0()?;
    let base = (cpu.msr.star >> 48) as u16;
    let long = insn.code() == Code::Sysretq;
    let rcx = cpu.r[gpr::RCX];
    if long && !cpu.canonical(rcx) {
        return Err(cpu.gp(0));
    }
    let (cs, rip) = if long { (base.wrapping_add(16), rcx) } else { (base, rcx & 0xffff_ffff) };
    let flags = cpu.r[gpr::R11] & !(rflags::RF | rflags::VM);
    enter(cpu, 3, cs | 3, base.wrapping_add(8) | 3, long, rip);
    cpu.set_rflags(flags);
    Ok(())
}

/// IA32_SYSENTER_CS, if it is not null.
fn sysenter_cs(cpu: &mut Cpu) -> Exec<u16> {
    let cs = cpu.msr.sysenter_cs as u16 & SELECTOR_INDEX;
    if cpu.cr0 & cr0::PE == 0 || cs == 0 { Err(cpu.gp(0)) } else { Ok(cs) }
}

fn sysenter(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let cs = sysenter_cs(cpu)?;
    let long = cpu.ia32e();
    let width = if long { u64::MAX } else { 0xffff_ffff };
    let flags = cpu.rflags() & !(rflags::VM | rflags::IF);
    cpu.r[gpr::RSP] = cpu.msr.sysenter_esp & width;
    let rip = cpu.msr.sysenter_eip & width;
    cpu.set_rflags(flags);
    enter(cpu, 0, cs, cs.wrapping_add(8), long, rip);
    Ok(())
}

fn sysexit(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let cs = sysenter_cs(cpu)?;
    cpu.need_cpl0()?;
    let long = insn.code() == Code::Sysexitq;
    let (rsp, rip) = (cpu.r[gpr::RCX], cpu.r[gpr::RDX]);
    if long {
        if !cpu.canonical(rsp) || !cpu.canonical(rip) {
            return Err(cpu.gp(0));
        }
        cpu.r[gpr::RSP] = rsp;
        enter(cpu, 3, cs.wrapping_add(32) | 3, cs.wrapping_add(40) | 3, true, rip);
    } else {
        cpu.r[gpr::RSP] = rsp & 0xffff_ffff;
        enter(cpu, 3, cs.wrapping_add(16) | 3, cs.wrapping_add(24) | 3, false, rip & 0xffff_ffff);
    }
    Ok(())
}

fn swapgs(cpu: &mut Cpu, _: &Instruction) -> Exec {
    if !cpu.long64() {
        return Err(cpu.ud());
    }
    cpu.need_cpl0()?;
    std::mem::swap(&mut cpu.seg[seg::GS].base, &mut cpu.msr.kernel_gs_base);
    cpu.mode_changed();
    Ok(())
}

fn bases_enabled(cpu: &mut Cpu) -> Exec {
    let there = cpu.profile.caps.features.contains(Features::FSGSBASE);
    if there && cpu.long64() && cpu.cr4 & cr4::FSGSBASE != 0 { Ok(()) } else { Err(cpu.ud()) }
}

fn read_base(cpu: &mut Cpu, insn: &Instruction, register: usize) -> Exec {
    bases_enabled(cpu)?;
    let base = cpu.seg[register].base;
    cpu.set_reg(insn.op0_register(), base);
    Ok(())
}

fn write_base(cpu: &mut Cpu, insn: &Instruction, register: usize) -> Exec {
    bases_enabled(cpu)?;
    let base = cpu.reg(insn.op0_register());
    if !cpu.canonical(base) {
        return Err(cpu.gp(0));
    }
    cpu.seg[register].base = base;
    cpu.mode_changed();
    Ok(())
}

#[cfg(test)]
mod tests;
