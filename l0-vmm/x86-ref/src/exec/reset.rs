//! The state after RESET. SDM 3A: "Processor State After Reset".

use super::descriptor::{rights, system};
use crate::{
    Cpu, Segment,
    cpu::{gpr, seg},
    flags::Flags,
    state::DescTable,
};
use x86_spec::{
    cr::{cr0, dr7},
    msr,
};

/// IA32_PAT: WB, WT, UC-, UC, twice.
const PAT: u64 = 0x0007_0406_0007_0406;
/// IA32_APIC_BASE: the bootstrap processor, APIC enabled, at its usual address.
const APIC_BASE: u64 = 0xfee0_0900;
/// IA32_FEATURE_CONTROL as firmware leaves it: locked, VMX outside SMX enabled.
const FEATURE_CONTROL: u64 = 0b101;
/// IA32_MISC_ENABLE: fast strings.
const MISC_ENABLE: u64 = 1;
/// IA32_MTRRCAP: 8 variable ranges, fixed ranges, write combining.
const MTRRCAP: u64 = 0x508;
/// The seed of RDRAND and RDSEED: every run draws the same numbers.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// MSRs that do nothing here and are there on every processor, with their values at reset; a profile may say otherwise.
const PLAIN: &[(u32, u64)] = &[
    (msr::IA32_BIOS_SIGN_ID, 0),
    (msr::IA32_MTRRCAP, MTRRCAP),
    (msr::IA32_MCG_CAP, 0),
    (msr::IA32_MCG_STATUS, 0),
    (msr::IA32_MTRR_DEF_TYPE, 0),
];

impl Cpu {
    /// Registers at reset.
    pub(crate) fn reset(&mut self) {
        let data = Segment { selector: 0, base: 0, limit: 0xffff, rights: rights::DATA };
        self.seg = [data; 6];
        self.seg[seg::CS] =
            Segment { selector: 0xf000, base: 0xffff_0000, limit: 0xffff, rights: rights::FLAT_CODE };
        self.ldtr = Segment { rights: rights::P | system::LDT, ..data };
        self.tr = Segment { rights: rights::P | system::TSS_BUSY, ..data };
        self.gdtr = DescTable { base: 0, limit: 0xffff };
        self.idtr = self.gdtr;
        self.cr0 = cr0::CD | cr0::NW | cr0::ET;
        self.dr[7] = dr7::FIXED;
        self.rip = 0xfff0;
        self.flags = Flags::from_bits(0);
        self.r[gpr::RDX] = u64::from(self.cpuid_leaf(1, 0)[0]);
        self.random = SEED;
    }

    /// MSRs at reset, with the profile's values.
    pub(crate) fn reset_msrs(&mut self) {
        self.msr.pat = PAT;
        self.msr.apic_base = APIC_BASE;
        self.msr.misc_enable = MISC_ENABLE;
        self.msr.feature_control = FEATURE_CONTROL;
        let mut plain = self.profile.msrs.clone();
        // What has a place of its own does not go into the list.
        plain.retain(|&(index, value)| {
            match index {
                msr::IA32_PAT => self.msr.pat = value,
                msr::IA32_APIC_BASE => self.msr.apic_base = value,
                msr::IA32_MISC_ENABLE => self.msr.misc_enable = value,
                msr::IA32_FEATURE_CONTROL => self.msr.feature_control = value,
                msr::IA32_SPEC_CTRL => self.msr.spec_ctrl = value,
                msr::IA32_DEBUGCTL => self.msr.debugctl = value,
                _ => return true,
            }
            false
        });
        let ranges = (msr::IA32_MTRR_PHYSBASE0..msr::IA32_MTRR_PHYSBASE0 + 2 * (MTRRCAP as u32 & 0xff))
            .chain(super::msr::FIXED_MTRRS.iter().copied());
        for (index, value) in PLAIN.iter().copied().chain(ranges.map(|index| (index, 0))) {
            if plain.iter().all(|m| m.0 != index) {
                plain.push((index, value));
            }
        }
        plain.sort_by_key(|m| m.0);
        plain.dedup_by_key(|m| m.0);
        self.msr.plain = plain;
    }
}
