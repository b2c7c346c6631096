//! RDMSR and WRMSR of the local APIC's MSRs under "virtualize x2APIC mode". SDM: "Virtualizing MSR-Based APIC Accesses".

use super::register;
use crate::{Cpu, fault::Exec};
use x86_spec::{
    msr::{IA32_X2APIC_FIRST, IA32_X2APIC_LAST},
    vmx::controls::Proc2,
};

/// MSRs are one apart, registers this many bits.
const SHIFT: u32 = 4;
/// What the TPR and a self-IPI have room for.
const BYTE: u64 = 0xff;

impl Cpu {
    /// The offset of the register that an MSR of the local APIC is, where such MSRs are virtualized.
    fn x2apic_register(&self, index: u32) -> Option<u64> {
        let virtualized = self.vmx.ctl.proc2 & Proc2::VIRTUALIZE_X2APIC_MODE != 0
            && (IA32_X2APIC_FIRST..=IA32_X2APIC_LAST).contains(&index);
        virtualized.then(|| u64::from(index - IA32_X2APIC_FIRST) << SHIFT)
    }

    /// What RDMSR reads from the virtual-APIC page; `None`: it is not virtualized.
    pub(crate) fn x2apic_read(&self, index: u32) -> Option<u64> {
        let register = self.x2apic_register(index)?;
        let virtualized = self.apic_registers() || register == register::TPR;
        virtualized.then(|| self.mem.phys_read(self.vapic_address(register)).map_or(0, u64::from_le_bytes))
    }

    /// WRMSR to the virtual-APIC page; false: it is not virtualized.
    pub(crate) fn x2apic_write(&mut self, index: u32, value: u64) -> Exec<bool> {
        use register::*;
        let Some(register) = self.x2apic_register(index) else { return Ok(false) };
        let reserved = match register {
            TPR => !BYTE,
            EOI if self.virtual_interrupts() => !0,
            SELF_IPI if self.virtual_interrupts() => !BYTE,
            ICR_LOW if self.virtualizes_ipis() => 0,
            _ => return Ok(false),
        };
        if value & reserved != 0 {
            return Err(self.gp(0));
        }
        let at = self.vapic_address(register);
        self.mem.phys_write(at, &value.to_le_bytes());
        match register {
            TPR => self.virtualize_tpr(),
            EOI => self.virtualize_eoi(),
            // The vectors below 16 are illegal.
            SELF_IPI if value >> SHIFT != 0 => self.self_ipi(value as u8),
            ICR_LOW if self.virtualize_x2apic_icr(value) => {}
            _ => self.vmx.windows.apic_write_exit = Some(register),
        }
        self.attention_changed();
        Ok(true)
    }

    /// The whole ICR: its high half is the destination.
    fn virtualize_x2apic_icr(&mut self, value: u64) -> bool {
        const DESTINATION_SHIFT: u32 = 32;
        // Bits 19:18 are the shorthand, 11 the destination mode, 10:8 the delivery mode, 15 the trigger mode.
        const PLAIN: u64 = 0xffff_ff00;
        value & PLAIN == 0
            && value & BYTE >> SHIFT << SHIFT != 0
            && self.send_virtual_ipi(value as u8, value >> DESTINATION_SHIFT)
    }
}
