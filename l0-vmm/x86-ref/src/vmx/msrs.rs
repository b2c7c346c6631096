//! The MSR lists of VM entries and VM exits. SDM: "Loading MSRs" (twice), "Saving MSRs".

use crate::Cpu;
use x86_spec::{msr, vmx::field::Field};

/// Size of an entry: index, 32 reserved bits, data.
const ENTRY: u64 = 16;
/// MSRs that cannot be loaded or stored outside of SMM, and what loads microcode.
const IA32_SMM_MONITOR_CTL: u32 = 0x9b;
const IA32_SMBASE: u32 = 0x9e;
const IA32_BIOS_UPDT_TRIG: u32 = 0x79;
/// Bits of IA32_APIC_BASE: the local APIC is in x2APIC mode.
const X2APIC_MODE: u64 = 1 << 10;

impl Cpu {
    /// One entry of a list: index and data; `None` where it cannot be used.
    fn msr_entry(&self, address: u64) -> Option<(u32, u64)> {
        let head = u64::from_le_bytes(self.mem.phys_read(address)?);
        let data = u64::from_le_bytes(self.mem.phys_read(address.wrapping_add(8))?);
        (head >> 32 == 0).then_some((head as u32, data))
    }

    /// Whether an MSR of the local APIC is out of reach of the lists.
    fn msr_is_x2apic(&self, index: u32) -> bool {
        self.msr.apic_base & X2APIC_MODE != 0
            && (msr::IA32_X2APIC_FIRST..=msr::IA32_X2APIC_LAST).contains(&index)
    }

    /// Loads the MSRs of a list. The error is the number of the entry that could not be loaded, from 1.
    pub(super) fn load_msr_list(&mut self, address: Field, count: Field) -> Result<(), u64> {
        let (address, count) = (self.vmx.vmcs.v[address], self.vmx.vmcs.v[count]);
        for n in 0..count {
            let entry = self.msr_entry(address.wrapping_add(n * ENTRY));
            if !entry.is_some_and(|(index, data)| self.load_msr(index, data)) {
                return Err(n + 1);
            }
        }
        Ok(())
    }

    fn load_msr(&mut self, index: u32, data: u64) -> bool {
        match index {
            msr::IA32_FS_BASE
            | msr::IA32_GS_BASE
            | IA32_SMM_MONITOR_CTL
            | IA32_SMBASE
            | IA32_BIOS_UPDT_TRIG
            | msr::IA32_BIOS_SIGN_ID => false,
            _ if self.msr_is_x2apic(index) => false,
            _ => self.write_msr(index, data).is_ok(),
        }
    }

    /// Stores the MSRs of the VM-exit MSR-store list; false: that is a VMX abort.
    pub(super) fn store_msr_list(&mut self) -> bool {
        let v = &self.vmx.vmcs.v;
        let (address, count) = (v[Field::VM_EXIT_MSR_STORE_ADDR], v[Field::VM_EXIT_MSR_STORE_COUNT]);
        (0..count).all(|n| self.store_msr(address.wrapping_add(n * ENTRY)))
    }

    fn store_msr(&mut self, address: u64) -> bool {
        let Some((index, _)) = self.msr_entry(address) else { return false };
        if matches!(index, IA32_SMBASE) || self.msr_is_x2apic(index) {
            return false;
        }
        let Ok(data) = self.read_msr(index) else { return false };
        self.mem.phys_write(address.wrapping_add(8), &data.to_le_bytes());
        true
    }
}
