//! Model-specific registers.

use super::{Handler, cpuid::Output};
use crate::{
    Cpu,
    cpu::{gpr, seg},
    fault::Exec,
    vmx::Intercept,
};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{
    cr::{cr0, efer},
    msr,
    vmx::caps::Features,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Rdmsr => rdmsr,
        Mnemonic::Wrmsr => wrmsr,
        _ => return None,
    })
}

/// CPUID leaf 1, ECX: the local APIC's timer has a TSC deadline.
const CPUID_TSC_DEADLINE: u32 = 24;

/// The fixed-range MTRRs.
pub(super) const FIXED_MTRRS: &[u32] =
    &[msr::IA32_MTRR_FIX64K_00000, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
/// Last of the MSRs of variable ranges.
const LAST_VARIABLE_MTRR: u32 = 0x20f;
/// IA32_FLUSH_CMD: write only.
const IA32_FLUSH_CMD: u32 = 0x10b;

/// IA32_FEATURE_CONTROL: lock.
const FEATURE_CONTROL_LOCK: u64 = 1;
/// IA32_FEATURE_CONTROL: the bits that there are: lock, VMX inside and outside SMX, SENTER, SGX launch control and enable,
/// LMCE.
const FEATURE_CONTROL_BITS: u64 = 0x16_ff07;
/// IA32_APIC_BASE: bootstrap processor (read only), x2APIC mode, enable.
const APIC_BASE_BSP: u64 = 1 << 8;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLE: u64 = 1 << 11;
/// IA32_DEBUGCTL: LBR, BTF, and the bits of traces and freezing, which are storage here.
const DEBUGCTL_BITS: u64 = 0x3fc3;
/// IA32_DEBUGCTL bits that come with a feature.
const DEBUGCTL_FEATURES: &[(Features, u64)] =
    &[(Features::BUS_LOCK_DETECT, 1 << 2), (Features::FREEZE_IN_SMM, 1 << 14), (Features::RTM, 1 << 15)];
/// IA32_DEBUGCTL: record branches. Storage here, but a debug exception clears it.
pub(crate) const DEBUGCTL_LBR: u64 = 1 << 0;
/// IA32_DEBUGCTL: single-step on branches.
pub(crate) const DEBUGCTL_BTF: u64 = 1 << 1;
/// IA32_EFER bits that come with a feature.
const EFER_FEATURES: &[(Features, u64)] =
    &[(Features::SYSCALL, efer::SCE), (Features::LM, efer::LME), (Features::NX, efer::NXE)];
/// IA32_BNDCFGS: reserved bits.
const BNDCFGS_RESERVED: u64 = 0xffc;
/// A page attribute or memory type that exists (MTRRs know no UC-).
const UC_MINUS: u64 = 7;

fn rdmsr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    allowed(cpu)?;
    let index = cpu.r[gpr::RCX] as u32;
    cpu.intercept(insn, Intercept::Rdmsr { index })?;
    let value = match cpu.x2apic_read(index) {
        Some(value) => value,
        None => cpu.read_msr(index)?,
    };
    cpu.r[gpr::RAX] = value & 0xffff_ffff;
    cpu.r[gpr::RDX] = value >> 32;
    Ok(())
}

fn wrmsr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    allowed(cpu)?;
    let index = cpu.r[gpr::RCX] as u32;
    cpu.intercept(insn, Intercept::Wrmsr { index })?;
    let value = cpu.r[gpr::RAX] & 0xffff_ffff | cpu.r[gpr::RDX] << 32;
    if cpu.x2apic_write(index, value)? { Ok(()) } else { cpu.write_msr(index, value) }
}

fn allowed(cpu: &mut Cpu) -> Exec {
    if cpu.vm86() { Err(cpu.gp(0)) } else { cpu.need_cpl0() }
}

/// Whether each byte is a memory type that a PAT (or, without UC-, an MTRR) can hold.
pub(crate) fn memory_types_ok(value: u64, pat: bool) -> bool {
    value.to_le_bytes().into_iter().all(|kind| memory_type_ok(u64::from(kind), pat))
}

fn memory_type_ok(kind: u64, pat: bool) -> bool {
    matches!(kind, 0 | 1 | 4 | 5 | 6) || pat && kind == UC_MINUS
}

impl Cpu {
    /// The TSC as this processor counts it, without what VMX adds.
    pub(crate) fn tsc(&self) -> u64 {
        self.now().wrapping_add(self.msr.tsc_offset)
    }

    /// Reads an MSR as RDMSR does after its privilege check and VMX; #GP(0) if there is none.
    pub(crate) fn read_msr(&mut self, index: u32) -> Exec<u64> {
        let m = &self.msr;
        Ok(match index {
            msr::IA32_TIME_STAMP_COUNTER => self.vmx_tsc(self.tsc()),
            msr::IA32_TSC_ADJUST => m.tsc_adjust,
            msr::IA32_APIC_BASE => m.apic_base,
            msr::IA32_FEATURE_CONTROL => m.feature_control,
            msr::IA32_SPEC_CTRL => m.spec_ctrl,
            msr::IA32_SYSENTER_CS => m.sysenter_cs,
            msr::IA32_SYSENTER_ESP => m.sysenter_esp,
            msr::IA32_SYSENTER_EIP => m.sysenter_eip,
            msr::IA32_MISC_ENABLE => m.misc_enable,
            msr::IA32_DEBUGCTL => m.debugctl,
            msr::IA32_PAT => m.pat,
            msr::IA32_PERF_GLOBAL_CTRL => m.perf_global_ctrl,
            msr::IA32_BNDCFGS if self.has(Features::MPX) => m.bndcfgs,
            msr::IA32_PKRS if self.has(Features::PKS) => m.pkrs,
            _ if self.is_cet_msr(index) => m.cet.read(index),
            msr::IA32_XSS if self.has(Features::XSAVES) => m.xss,
            msr::IA32_EFER => m.efer,
            msr::IA32_STAR if self.has(Features::LM) => m.star,
            msr::IA32_LSTAR if self.has(Features::LM) => m.lstar,
            msr::IA32_CSTAR if self.has(Features::LM) => m.cstar,
            msr::IA32_FMASK if self.has(Features::LM) => m.fmask,
            msr::IA32_FS_BASE if self.has(Features::LM) => self.seg[seg::FS].base,
            msr::IA32_GS_BASE if self.has(Features::LM) => self.seg[seg::GS].base,
            msr::IA32_KERNEL_GS_BASE if self.has(Features::LM) => m.kernel_gs_base,
            msr::IA32_TSC_AUX if self.has(Features::RDTSCP) => m.tsc_aux,
            msr::IA32_TSC_DEADLINE if self.cpuid_bit(1, Output::Ecx, CPUID_TSC_DEADLINE) => {
                // The platform keeps it in the processor's time.
                match self.platform_msr(index) {
                    Some(0) | None => 0,
                    Some(time) => time.wrapping_add(self.msr.tsc_offset),
                }
            }
            msr::IA32_X2APIC_FIRST..=msr::IA32_X2APIC_LAST if m.apic_base & APIC_BASE_X2APIC != 0 => {
                if !self.platform {
                    return Err(self.unsupported("local APIC in x2APIC mode"));
                }
                match self.platform_msr(index) {
                    Some(value) => value,
                    None => return Err(self.gp(0)),
                }
            }
            _ => match self.vmx_msr(index).or_else(|| self.plain_msr(index)) {
                Some(value) => value,
                None => return Err(self.gp(0)),
            },
        })
    }

    /// Writes an MSR as WRMSR does after its privilege check and VMX; #GP(0) for what it may not hold.
    pub(crate) fn write_msr(&mut self, index: u32, value: u64) -> Exec {
        let canonical = self.canonical(value);
        let fits32 = value >> 32 == 0;
        let good = match index {
            msr::IA32_TIME_STAMP_COUNTER => {
                let delta = value.wrapping_sub(self.tsc());
                self.msr.tsc_offset = self.msr.tsc_offset.wrapping_add(delta);
                self.msr.tsc_adjust = self.msr.tsc_adjust.wrapping_add(delta);
                true
            }
            msr::IA32_TSC_ADJUST => {
                let delta = value.wrapping_sub(self.msr.tsc_adjust);
                self.msr.tsc_offset = self.msr.tsc_offset.wrapping_add(delta);
                self.msr.tsc_adjust = value;
                true
            }
            msr::IA32_APIC_BASE => self.write_apic_base(value),
            msr::IA32_FEATURE_CONTROL => {
                let locked = self.msr.feature_control & FEATURE_CONTROL_LOCK != 0;
                set(&mut self.msr.feature_control, value, !locked && value & !FEATURE_CONTROL_BITS == 0)
            }
            msr::IA32_SPEC_CTRL => set(&mut self.msr.spec_ctrl, value, fits32),
            msr::IA32_PRED_CMD | IA32_FLUSH_CMD => value <= 1,
            msr::IA32_SYSENTER_CS => set(&mut self.msr.sysenter_cs, value & 0xffff_ffff, true),
            msr::IA32_SYSENTER_ESP => set(&mut self.msr.sysenter_esp, value, canonical),
            msr::IA32_SYSENTER_EIP => set(&mut self.msr.sysenter_eip, value, canonical),
            msr::IA32_MISC_ENABLE => set(&mut self.msr.misc_enable, value, true),
            msr::IA32_DEBUGCTL => {
                let reserved = !self.feature_bits(DEBUGCTL_BITS, DEBUGCTL_FEATURES);
                set(&mut self.msr.debugctl, value, value & reserved == 0)
            }
            msr::IA32_PAT => {
                let good = memory_types_ok(value, true);
                if good && self.msr.pat != value {
                    self.flush_tlb();
                }
                set(&mut self.msr.pat, value, good)
            }
            msr::IA32_PERF_GLOBAL_CTRL => set(&mut self.msr.perf_global_ctrl, value, true),
            msr::IA32_BNDCFGS if self.has(Features::MPX) => {
                set(&mut self.msr.bndcfgs, value, canonical && value & BNDCFGS_RESERVED == 0)
            }
            _ if self.is_cet_msr(index) => return self.write_cet_msr(index, value),
            msr::IA32_PKRS if self.has(Features::PKS) => return self.write_pkrs(value),
            msr::IA32_XSS if self.has(Features::XSAVES) => {
                let [_, _, low, high] = self.cpuid_leaf(0xd, 1);
                let supported = u64::from(low) | u64::from(high) << 32;
                set(&mut self.msr.xss, value, value & !supported == 0)
            }
            msr::IA32_EFER => self.write_efer(value),
            msr::IA32_STAR if self.has(Features::LM) => set(&mut self.msr.star, value, true),
            msr::IA32_LSTAR if self.has(Features::LM) => set(&mut self.msr.lstar, value, canonical),
            msr::IA32_CSTAR if self.has(Features::LM) => set(&mut self.msr.cstar, value, canonical),
            msr::IA32_FMASK if self.has(Features::LM) => set(&mut self.msr.fmask, value, fits32),
            msr::IA32_FS_BASE if self.has(Features::LM) => set(&mut self.seg[seg::FS].base, value, canonical),
            msr::IA32_GS_BASE if self.has(Features::LM) => set(&mut self.seg[seg::GS].base, value, canonical),
            msr::IA32_KERNEL_GS_BASE if self.has(Features::LM) => {
                set(&mut self.msr.kernel_gs_base, value, canonical)
            }
            msr::IA32_TSC_AUX if self.has(Features::RDTSCP) => set(&mut self.msr.tsc_aux, value, fits32),
            msr::IA32_TSC_DEADLINE if self.cpuid_bit(1, Output::Ecx, CPUID_TSC_DEADLINE) => {
                if value != 0 && !self.platform {
                    return Err(self.unsupported("the timer of the local APIC"));
                }
                // A deadline that has passed is one that is now.
                let now = self.now();
                let time = match value {
                    0 => 0,
                    _ => now.saturating_add_signed(value.wrapping_sub(self.tsc()).cast_signed()).max(1),
                };
                self.write_platform_msr(index, time) || !self.platform
            }
            msr::IA32_X2APIC_FIRST..=msr::IA32_X2APIC_LAST if self.msr.apic_base & APIC_BASE_X2APIC != 0 => {
                if !self.platform {
                    return Err(self.unsupported("local APIC in x2APIC mode"));
                }
                self.write_platform_msr(index, value)
            }
            // The VMX capability MSRs are read only.
            _ => self.vmx_msr(index).is_none() && self.write_plain(index, value),
        };
        if !good {
            return Err(self.gp(0));
        }
        self.mode_changed();
        Ok(())
    }

    /// Whether the processor has a feature.
    pub(crate) fn has(&self, feature: Features) -> bool {
        self.profile.caps.features.contains(feature)
    }

    /// These bits and those of the features that the processor has.
    pub(super) fn feature_bits(&self, common: u64, by_feature: &[(Features, u64)]) -> u64 {
        by_feature.iter().filter(|(f, _)| self.has(*f)).fold(common, |bits, (_, bit)| bits | bit)
    }

    fn plain_msr(&self, index: u32) -> Option<u64> {
        let plain = &self.msr.plain;
        plain.binary_search_by_key(&index, |m| m.0).ok().and_then(|n| plain.get(n)).map(|m| m.1)
    }

    /// Writes an MSR that is only storage; false if there is none, or if it is read only or may not hold the value.
    fn write_plain(&mut self, index: u32, value: u64) -> bool {
        let good = match index {
            msr::IA32_MTRRCAP | msr::IA32_ARCH_CAPABILITIES | msr::IA32_MCG_CAP => false,
            msr::IA32_MTRR_DEF_TYPE => memory_type_ok(value & 0xff, false) && value & !0xcff == 0,
            msr::IA32_MTRR_PHYSBASE0..=LAST_VARIABLE_MTRR => {
                let low = if index & 1 == 0 {
                    memory_type_ok(value & 0xff, false) && value & 0xf00 == 0
                } else {
                    value & 0x7ff == 0
                };
                low && value & self.profile.caps.beyond_physical() == 0
            }
            _ if FIXED_MTRRS.contains(&index) => memory_types_ok(value, false),
            _ => true,
        };
        let plain = &mut self.msr.plain;
        let at = plain.binary_search_by_key(&index, |m| m.0).ok().and_then(|n| plain.get_mut(n));
        match at {
            Some(at) if good => {
                at.1 = value;
                true
            }
            _ => false,
        }
    }

    /// SDM 3A: "Extended Feature Enable Register".
    fn write_efer(&mut self, value: u64) -> bool {
        let bits = self.feature_bits(efer::LMA, EFER_FEATURES);
        let old = self.msr.efer;
        let paging = self.cr0 & cr0::PG != 0;
        if value & !bits != 0 || paging && (old ^ value) & efer::LME != 0 {
            return false;
        }
        // LMA follows from LME and CR0.PG; what is written to it does not count.
        self.msr.efer = value & !efer::LMA | old & efer::LMA;
        if (old ^ value) & efer::NXE != 0 {
            self.flush_tlb();
        }
        true
    }

    /// SDM 3A: "Local APIC Status and Location", "x2APIC Register Availability".
    fn write_apic_base(&mut self, value: u64) -> bool {
        let x2apic = if self.has(Features::X2APIC) { APIC_BASE_X2APIC } else { 0 };
        let reserved =
            0xfff & !(APIC_BASE_BSP | APIC_BASE_ENABLE | x2apic) | self.profile.caps.beyond_physical();
        let mode = |v: u64| (v & APIC_BASE_ENABLE != 0, v & APIC_BASE_X2APIC != 0);
        let legal = match (mode(self.msr.apic_base), mode(value)) {
            (_, (false, true)) => false,
            // Out of x2APIC mode the way is through "disabled"; into it through xAPIC mode.
            ((true, true), (true, false)) | ((false, _), (true, true)) => false,
            _ => true,
        };
        let good = set(&mut self.msr.apic_base, value, legal && value & reserved == 0);
        if good && self.platform {
            self.write_platform_msr(msr::IA32_APIC_BASE, value);
        }
        good
    }
}

/// Stores a value if it is good, and says whether it was.
fn set(at: &mut u64, value: u64, good: bool) -> bool {
    if good {
        *at = value;
    }
    good
}

#[cfg(test)]
mod tests;
