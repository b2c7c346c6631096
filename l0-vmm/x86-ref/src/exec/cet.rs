//! The MSRs of control-flow enforcement and of the protection keys of supervisor pages. They are state; what they turn on (shadow
//! stacks, indirect-branch tracking, the keys) is not modelled. SDM 1: "Control-flow Enforcement Technology (CET)"; SDM 3A:
//! "Protection Keys".

use crate::{Cpu, fault::Exec};
use x86_spec::{cr::cr4, msr, vmx::caps::Features};

/// Bits of IA32_U_CET and IA32_S_CET: shadow stacks, indirect-branch tracking.
pub(crate) const ENABLES: u64 = 1 << 0 | 1 << 2;
/// Bits 9:6.
const RESERVED: u64 = 0x3c0;
const SUPPRESS: u64 = 1 << 10;
const TRACKER: u64 = 1 << 11;
/// Shadow stacks are aligned to 4 bytes.
const SSP_LOW: u64 = 3;

/// The state of control-flow enforcement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cet {
    pub user: u64,
    pub supervisor: u64,
    /// IA32_PL0_SSP to IA32_PL3_SSP.
    pub stacks: [u64; 4],
    pub table: u64,
    /// The shadow-stack pointer.
    pub ssp: u64,
}

impl Cet {
    /// Reads one of its MSRs.
    pub fn read(&self, index: u32) -> u64 {
        match index {
            msr::IA32_U_CET => self.user,
            msr::IA32_S_CET => self.supervisor,
            msr::IA32_INTERRUPT_SSP_TABLE_ADDR => self.table,
            _ => self.stacks[(index & 3) as usize],
        }
    }

    fn slot(&mut self, index: u32) -> &mut u64 {
        match index {
            msr::IA32_U_CET => &mut self.user,
            msr::IA32_S_CET => &mut self.supervisor,
            msr::IA32_INTERRUPT_SSP_TABLE_ADDR => &mut self.table,
            _ => &mut self.stacks[(index & 3) as usize],
        }
    }
}

impl Cpu {
    /// Whether this is an MSR of control-flow enforcement, and the processor has it.
    pub(super) fn is_cet_msr(&self, index: u32) -> bool {
        match index {
            msr::IA32_U_CET | msr::IA32_S_CET => self.profile.caps.features.any(Features::CET),
            msr::IA32_PL0_SSP..=msr::IA32_PL3_SSP | msr::IA32_INTERRUPT_SSP_TABLE_ADDR => {
                self.has(Features::CET_SS)
            }
            _ => false,
        }
    }

    pub(super) fn write_cet_msr(&mut self, index: u32, value: u64) -> Exec {
        let controls = matches!(index, msr::IA32_U_CET | msr::IA32_S_CET);
        let both = SUPPRESS | TRACKER;
        let bad = if controls {
            value & RESERVED != 0 || value & both == both
        } else {
            index != msr::IA32_INTERRUPT_SSP_TABLE_ADDR && value & SSP_LOW != 0
        };
        if bad || !self.canonical(value) {
            return Err(self.gp(0));
        }
        if controls && value & ENABLES != 0 && self.cr4 & cr4::CET != 0 {
            return Err(self.unsupported("shadow stacks or indirect-branch tracking"));
        }
        *self.msr.cet.slot(index) = value;
        Ok(())
    }

    pub(super) fn write_pkrs(&mut self, value: u64) -> Exec {
        if value >> 32 != 0 {
            return Err(self.gp(0));
        }
        if value != 0 && self.cr4 & cr4::PKS != 0 {
            return Err(self.unsupported("protection keys of supervisor pages"));
        }
        self.msr.pkrs = value;
        Ok(())
    }
}
