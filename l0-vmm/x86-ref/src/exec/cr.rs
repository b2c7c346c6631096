//! Control registers: MOV CR, CLTS, LMSW, SMSW.

use super::{
    Handler,
    cpuid::Output,
    descriptor::{rights, system},
    operand::gpr_number,
};
use crate::{Cpu, cpu::seg, fault::Exec, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic, OpKind};
use x86_spec::{
    cr::{cr0, cr4, efer},
    vmx::caps::Features,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    let control = |n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_cr();
    Some(match insn.mnemonic() {
        Mnemonic::Mov if control(0) => write,
        Mnemonic::Mov if control(1) => read,
        Mnemonic::Clts => clts,
        Mnemonic::Lmsw => lmsw,
        Mnemonic::Smsw => smsw,
        _ => return None,
    })
}

/// CR0 has these bits; others of the low 32 are ignored.
const CR0_BITS: u64 = cr0::PE
    | cr0::MP
    | cr0::EM
    | cr0::TS
    | cr0::ET
    | cr0::NE
    | cr0::WP
    | cr0::AM
    | cr0::NW
    | cr0::CD
    | cr0::PG;
/// CR0 bits that LMSW writes.
const MSW: u64 = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
/// CR0 bits whose change changes translations.
const CR0_PAGING: u64 = cr0::PE | cr0::WP | cr0::PG;
/// CR3: the PCID.
const CR3_PCID: u64 = 0xfff;
/// MOV to CR3: do not invalidate the TLB (with PCIDs).
const CR3_KEEP: u64 = 1 << 63;
/// CR4 bits whose change changes translations.
const CR4_PAGING: u64 =
    cr4::PSE | cr4::PAE | cr4::PGE | cr4::LA57 | cr4::PCIDE | cr4::SMEP | cr4::SMAP | cr4::PKE | cr4::PKS;
/// CR4 bits that reload the PDPTEs. SDM 3A: "PDPTE Registers".
const CR4_PDPTE: u64 = cr4::PAE | cr4::PGE | cr4::PSE | cr4::SMEP;
/// CPUID leaf 1, ECX: VMX.
const CPUID_VMX: u32 = 5;

/// CR4 bits that every processor of this kind has.
const CR4_COMMON: u64 = cr4::VME
    | cr4::PVI
    | cr4::TSD
    | cr4::DE
    | cr4::PSE
    | cr4::PAE
    | cr4::MCE
    | cr4::PGE
    | cr4::PCE
    | cr4::OSFXSR
    | cr4::OSXMMEXCPT;

/// CR4 bits that come with a feature.
const CR4_FEATURES: &[(Features, u64)] = &[
    (Features::UMIP, cr4::UMIP),
    (Features::LA57, cr4::LA57),
    (Features::SMX, cr4::SMXE),
    (Features::FSGSBASE, cr4::FSGSBASE),
    (Features::PCID, cr4::PCIDE),
    (Features::XSAVE, cr4::OSXSAVE),
    (Features::SMEP, cr4::SMEP),
    (Features::SMAP, cr4::SMAP),
    (Features::PKU, cr4::PKE),
    (Features::PKS, cr4::PKS),
    (Features::CET_SS, cr4::CET),
    (Features::CET_IBT, cr4::CET),
    (Features::UINTR, cr4::UINTR),
    (Features::KEY_LOCKER, cr4::KL),
    (Features::LASS, cr4::LASS),
    (Features::LAM, cr4::LAM_SUP),
    (Features::FRED, cr4::FRED),
];
/// CR4 bits that turn on what is not modelled.
const CR4_UNMODELLED: u64 =
    cr4::CET | cr4::UINTR | cr4::KL | cr4::LASS | cr4::LAM_SUP | cr4::FRED | cr4::SMXE;

fn write(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let number = insn.op0_register().number() as u8;
    if !matches!(number, 0 | 2 | 3 | 4 | 8) {
        return Err(cpu.ud());
    }
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    let gpr = gpr_number(insn.op1_register()) as u8;
    let value = cpu.reg(insn.op1_register());
    cpu.intercept(insn, Intercept::WriteCr { cr: number, gpr, value })?;
    match number {
        0 => {
            if value >> 32 != 0 {
                return Err(cpu.gp(0));
            }
            let value = cpu.cr_merge(0, value);
            write_cr0(cpu, value)
        }
        2 => {
            cpu.cr2 = value;
            Ok(())
        }
        3 => write_cr3(cpu, value),
        4 => {
            let value = cpu.cr_merge(4, value);
            write_cr4(cpu, value)
        }
        _ => {
            if value >> 4 != 0 {
                return Err(cpu.gp(0));
            }
            cpu.write_cr8(value);
            Ok(())
        }
    }
}

fn read(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let number = insn.op1_register().number() as u8;
    if !matches!(number, 0 | 2 | 3 | 4 | 8) {
        return Err(cpu.ud());
    }
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::ReadCr { cr: number, gpr: gpr_number(insn.op0_register()) as u8 })?;
    let value = match number {
        0 | 4 => cpu.cr_view(number),
        2 => cpu.cr2,
        3 => cpu.cr3,
        _ => cpu.cr8_view(),
    };
    cpu.set_reg(insn.op0_register(), value);
    Ok(())
}

/// SDM 2: "MOV—Move to/from Control Registers"; SDM 3A: "Initializing IA-32e Mode".
fn write_cr0(cpu: &mut Cpu, value: u64) -> Exec {
    let new = value & CR0_BITS | cr0::ET;
    let (old, set) = (cpu.cr0, |bit| new & bit != 0);
    if set(cr0::PG) && !set(cr0::PE) || set(cr0::NW) && !set(cr0::CD) || !cpu.cr_fixed_ok(0, new) {
        return Err(cpu.gp(0));
    }
    let lme = cpu.msr.efer & efer::LME != 0;
    let pae = cpu.cr4 & cr4::PAE != 0;
    if set(cr0::PG) && old & cr0::PG == 0 && lme {
        // The way into IA-32e mode: PAE, no 64-bit code segment yet, no 16-bit TSS.
        let tss16 = matches!(cpu.tr.rights & 0xf, system::TSS16 | system::TSS16_BUSY);
        if !pae || cpu.seg[seg::CS].rights & rights::L != 0 || tss16 && cpu.tr.usable() {
            return Err(cpu.gp(0));
        }
    }
    if !set(cr0::PG) && old & cr0::PG != 0 && (cpu.long64() || cpu.cr4 & cr4::PCIDE != 0) {
        return Err(cpu.gp(0));
    }
    if set(cr0::PG) && pae && !lme && (old ^ new) & (cr0::CD | cr0::NW | cr0::PG) != 0 {
        cpu.load_pdptrs(cpu.cr3)?;
    }
    cpu.cr0 = new;
    if (old ^ new) & cr0::PG != 0 && lme {
        cpu.msr.efer = if set(cr0::PG) { cpu.msr.efer | efer::LMA } else { cpu.msr.efer & !efer::LMA };
    }
    if (old ^ new) & CR0_PAGING != 0 {
        cpu.flush_tlb();
    }
    cpu.mode_changed();
    Ok(())
}

fn write_cr3(cpu: &mut Cpu, value: u64) -> Exec {
    let pcids = cpu.cr4 & cr4::PCIDE != 0;
    let value = if pcids { value & !CR3_KEEP } else { value };
    if cpu.ia32e() {
        if value & cpu.profile.caps.beyond_physical() != 0 {
            return Err(cpu.gp(0));
        }
    } else if cpu.cr0 & cr0::PG != 0 && cpu.cr4 & cr4::PAE != 0 {
        cpu.load_pdptrs(value)?;
    }
    cpu.cr3 = value;
    cpu.flush_tlb();
    cpu.mode_changed();
    Ok(())
}

/// The CR4 bits that this processor has.
fn cr4_bits(cpu: &Cpu) -> u64 {
    let vmx = cpu.cpuid_bit(1, Output::Ecx, CPUID_VMX) || cpu.profile.caps.basic != 0;
    cpu.feature_bits(CR4_COMMON | if vmx { cr4::VMXE } else { 0 }, CR4_FEATURES)
}

fn write_cr4(cpu: &mut Cpu, new: u64) -> Exec {
    let old = cpu.cr4;
    if new & !cr4_bits(cpu) != 0 || !cpu.cr_fixed_ok(4, new) {
        return Err(cpu.gp(0));
    }
    let changed = old ^ new;
    if cpu.ia32e() && (new & cr4::PAE == 0 || changed & cr4::LA57 != 0) {
        return Err(cpu.gp(0));
    }
    if new & !old & cr4::PCIDE != 0 && (!cpu.ia32e() || cpu.cr3 & CR3_PCID != 0) {
        return Err(cpu.gp(0));
    }
    if new & !old & CR4_UNMODELLED != 0 {
        return Err(cpu.unsupported("a feature that CR4 turns on: CET, UINTR, KL, LASS, LAM, FRED or SMX"));
    }
    if new & !old & cr4::PKS != 0 && cpu.msr.pkrs != 0 {
        return Err(cpu.unsupported("protection keys of supervisor pages"));
    }
    let pae_paging = cpu.cr0 & cr0::PG != 0 && new & cr4::PAE != 0 && !cpu.ia32e();
    if pae_paging && changed & CR4_PDPTE != 0 {
        cpu.load_pdptrs(cpu.cr3)?;
    }
    cpu.cr4 = new;
    if changed & CR4_PAGING != 0 {
        cpu.flush_tlb();
    }
    cpu.mode_changed();
    Ok(())
}

fn clts(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::Clts)?;
    // Of what the guest writes only TS counts here; a TS that the host owns stays.
    let merged = cpu.cr_merge(0, cpu.cr_view(0) & !cr0::TS);
    cpu.cr0 = cpu.cr0 & !cr0::TS | merged & cr0::TS;
    cpu.mode_changed();
    Ok(())
}

fn lmsw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    let source = cpu.read_operand(insn, 0)? as u16;
    let linear = if insn.op0_kind() == OpKind::Register {
        None
    } else {
        let (segment, offset) = cpu.memory_operand(insn, 0);
        Some(cpu.linear(segment, offset, 2, false)?)
    };
    cpu.intercept(insn, Intercept::Lmsw { source, linear })?;
    // PE can be set but not cleared.
    let view = cpu.cr_view(0);
    let value = cpu.cr_merge(0, view & !(MSW & !cr0::PE) | u64::from(source) & MSW);
    let value = cpu.cr0 & !(MSW & !cr0::PE) | value & MSW;
    write_cr0(cpu, value)
}

fn smsw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.cpl > 0 && cpu.cr4 & cr4::UMIP != 0 {
        return Err(cpu.gp(0));
    }
    let value = cpu.cr_view(0);
    if insn.op0_kind() == OpKind::Register {
        cpu.set_reg(insn.op0_register(), value);
        return Ok(());
    }
    cpu.write_operand(insn, 0, value & 0xffff)
}

#[cfg(test)]
mod tests;
