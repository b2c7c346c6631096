//! TLBs and caches: INVLPG, INVPCID, INVD, WBINVD, CLFLUSH; fences and hints, which order what is in order here.

use super::Handler;
use crate::{Cpu, fault::Exec, mem::Mode, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{cr::cr4, vmx::caps::Features};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Invlpg => invlpg,
        Mnemonic::Invpcid => invpcid,
        Mnemonic::Invd => |cpu, insn| cache(cpu, insn, Intercept::Invd),
        Mnemonic::Wbinvd | Mnemonic::Wbnoinvd => |cpu, insn| cache(cpu, insn, Intercept::Wbinvd),
        Mnemonic::Clflush | Mnemonic::Clflushopt | Mnemonic::Clwb => cache_line,
        Mnemonic::Mfence
        | Mnemonic::Lfence
        | Mnemonic::Sfence
        | Mnemonic::Serialize
        | Mnemonic::Cldemote
        | Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Prefetchwt1
        | Mnemonic::Nop
        | Mnemonic::Reservednop
        | Mnemonic::Endbr32
        | Mnemonic::Endbr64 => |_, _| Ok(()),
        _ => return None,
    })
}

fn invlpg(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    let (segment, offset) = cpu.memory_operand(insn, 0);
    let linear = cpu.seg_base[segment & 7].wrapping_add(offset);
    let linear = if cpu.long64() { linear } else { linear & 0xffff_ffff };
    cpu.intercept(insn, Intercept::Invlpg { linear })?;
    // A non-canonical address is no fault: there is nothing to flush.
    if cpu.canonical(linear) {
        cpu.flush_page(linear);
    }
    Ok(())
}

/// SDM 2: "INVPCID". The TLB keeps no PCIDs apart, so that every type flushes all.
fn invpcid(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if !cpu.has(Features::INVPCID) || cpu.vmx_disables(Intercept::Invpcid) {
        return Err(cpu.ud());
    }
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::Invpcid)?;
    let kind = cpu.reg(insn.op0_register());
    let (segment, offset) = cpu.memory_operand(insn, 1);
    let linear = cpu.linear(segment, offset, 16, false)?;
    let pcid = cpu.read_linear(linear, 8, Mode::Data)?;
    let address = cpu.read_linear(linear.wrapping_add(8), 8, Mode::Data)?;
    let pcids = cpu.cr4 & cr4::PCIDE != 0;
    let bad = match kind {
        0 => pcid >> 12 != 0 || !pcids && pcid != 0 || !cpu.canonical(address),
        1 => pcid >> 12 != 0 || !pcids && pcid != 0,
        2 | 3 => false,
        _ => true,
    };
    if bad {
        return Err(cpu.gp(0));
    }
    cpu.flush_tlb();
    Ok(())
}

/// INVD and WBINVD: there are no caches.
fn cache(cpu: &mut Cpu, insn: &Instruction, what: Intercept) -> Exec {
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, what)
}

/// CLFLUSH and its siblings fault as a load of a byte would.
fn cache_line(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let (segment, offset) = cpu.memory_operand(insn, 0);
    cpu.read_segment(segment, offset, 1).map(|_| ())
}
