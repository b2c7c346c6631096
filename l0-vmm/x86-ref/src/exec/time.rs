//! The time-stamp counter and what is read beside it: RDTSC, RDTSCP, RDPID, RDPMC.

use super::{Handler, cpuid::Output};
use crate::{Cpu, cpu::gpr, fault::Exec, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{cr::cr4, vmx::caps::Features};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Rdtsc => rdtsc,
        Mnemonic::Rdtscp => rdtscp,
        Mnemonic::Rdpid => rdpid,
        Mnemonic::Rdpmc => rdpmc,
        _ => return None,
    })
}

/// RDTSC and its siblings are for CPL 0 alone where CR4.TSD says so.
fn tsc_allowed(cpu: &mut Cpu) -> Exec {
    if cpu.cr4 & cr4::TSD != 0 && cpu.cpl > 0 { Err(cpu.gp(0)) } else { Ok(()) }
}

fn put_tsc(cpu: &mut Cpu) {
    let tsc = cpu.vmx_tsc(cpu.tsc());
    cpu.r[gpr::RAX] = tsc & 0xffff_ffff;
    cpu.r[gpr::RDX] = tsc >> 32;
}

fn rdtsc(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    tsc_allowed(cpu)?;
    cpu.intercept(insn, Intercept::Rdtsc)?;
    put_tsc(cpu);
    Ok(())
}

fn rdtscp(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if !cpu.has(Features::RDTSCP) || cpu.vmx_disables(Intercept::Rdtscp) {
        return Err(cpu.ud());
    }
    tsc_allowed(cpu)?;
    cpu.intercept(insn, Intercept::Rdtscp)?;
    put_tsc(cpu);
    cpu.r[gpr::RCX] = cpu.msr.tsc_aux & 0xffff_ffff;
    Ok(())
}

/// CPUID leaf 7, ECX: RDPID.
const CPUID_RDPID: u32 = 22;

fn rdpid(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    // "Enable RDTSCP" is for RDPID too.
    if !cpu.cpuid_bit(7, Output::Ecx, CPUID_RDPID) || cpu.vmx_disables(Intercept::Rdtscp) {
        return Err(cpu.ud());
    }
    let value = cpu.msr.tsc_aux;
    cpu.set_reg(insn.op0_register(), value & 0xffff_ffff);
    Ok(())
}

/// CPUID leaf of performance monitoring.
const CPUID_COUNTERS: u32 = 0xa;
/// RDPMC: the fixed-function counters.
const FIXED_COUNTERS: u64 = 1 << 30;

fn rdpmc(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.cr4 & cr4::PCE == 0 && cpu.cpl > 0 {
        return Err(cpu.gp(0));
    }
    cpu.intercept(insn, Intercept::Rdpmc)?;
    let [eax, _, _, edx] = cpu.cpuid_leaf(CPUID_COUNTERS, 0);
    let index = cpu.r[gpr::RCX] & 0xffff_ffff;
    let there = if index & FIXED_COUNTERS != 0 {
        index & !FIXED_COUNTERS < u64::from(edx & 0x1f)
    } else {
        index < u64::from(eax >> 8 & 0xff)
    };
    if !there {
        return Err(cpu.gp(0));
    }
    if cpu.msr.perf_global_ctrl != 0 {
        return Err(cpu.unsupported("performance counters that count"));
    }
    cpu.r[gpr::RAX] = 0;
    cpu.r[gpr::RDX] = 0;
    Ok(())
}
