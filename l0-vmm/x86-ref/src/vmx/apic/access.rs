//! Accesses to the APIC-access page. SDM: "Virtualizing Memory-Mapped APIC Accesses".

use super::register;
use crate::{
    Cpu,
    fault::{EptFault, EptKind, Exec, Halt, Why},
    mem::Access,
};
use x86_spec::vmx::{field::Field, qual::ApicAccess};

/// Registers are this far apart, and have this many bytes.
const STRIDE: u64 = 0x10;
const SIZE: u64 = 4;
const PAGE: u64 = 0x1000;

/// Kinds of access in the exit qualification.
const DURING_EVENT: u8 = 3;
const STRUCTURE_DURING_EVENT: u8 = 10;
const STRUCTURE: u8 = 15;

/// The register that an access is to, if it is within the 4 bytes of one.
fn register_of(physical: u64, size: u64) -> Option<u64> {
    let offset = physical % PAGE;
    let within = offset % STRIDE;
    (size <= SIZE && within + size <= SIZE).then_some(offset - within)
}

impl Cpu {
    fn apic_exit(&mut self, qualification: ApicAccess) -> Halt {
        self.stop(Why::Ept(EptFault {
            physical: 0,
            linear: None,
            qualification: qualification.0,
            kind: EptKind::ApicAccess,
        }))
    }

    /// The VM exit of a linear access to the page.
    pub(crate) fn apic_access_exit(&mut self, physical: u64, access: Access) -> Halt {
        let kind = match access {
            _ if self.delivering.is_some() => DURING_EVENT,
            Access::Read => 0,
            Access::Write => 1,
            Access::Fetch => 2,
        };
        self.apic_exit(ApicAccess::new((physical % PAGE) as u16, kind))
    }

    /// The VM exit of an access to a guest paging structure on the page: the offset is not reported.
    pub(crate) fn apic_structure_access(&mut self) -> Halt {
        let kind = if self.delivering.is_some() { STRUCTURE_DURING_EVENT } else { STRUCTURE };
        self.apic_exit(ApicAccess::new(0, kind))
    }

    /// Reads from the page: from the virtual-APIC page, or a VM exit. SDM: "Virtualizing Reads from the APIC-Access Page".
    pub(crate) fn apic_read(&mut self, physical: u64, size: usize) -> Exec<u64> {
        match register_of(physical, size as u64) {
            Some(register) if self.uses_tpr_shadow() && self.read_is_virtualized(register) => {
                let value = self.vapic_read(register) >> (8 * (physical % STRIDE));
                Ok(value & (u64::MAX >> (64 - 8 * size.clamp(1, 8))))
            }
            _ => Err(self.apic_access_exit(physical, Access::Read)),
        }
    }

    fn read_is_virtualized(&self, register: u64) -> bool {
        use register::*;
        if !self.apic_registers() {
            return register == TPR || self.virtual_interrupts() && matches!(register, EOI | ICR_LOW);
        }
        matches!(
            register,
            ID | VERSION
                | TPR
                | EOI
                | LOGICAL_DESTINATION
                | DESTINATION_FORMAT
                | SPURIOUS
                | ISR..=ERROR_STATUS
                | ICR_LOW
                | ICR_HIGH
                | LVT_TIMER..=LVT_ERROR
                | INITIAL_COUNT
                | DIVIDE_CONFIGURATION
        )
    }

    fn write_is_virtualized(&self, register: u64) -> bool {
        use register::*;
        if !self.apic_registers() {
            return register == TPR || self.virtual_interrupts() && matches!(register, EOI | ICR_LOW);
        }
        matches!(
            register,
            ID | TPR
                | EOI
                | LOGICAL_DESTINATION
                | DESTINATION_FORMAT
                | SPURIOUS
                | ERROR_STATUS
                | ICR_LOW
                | ICR_HIGH
                | LVT_TIMER..=LVT_ERROR | INITIAL_COUNT | DIVIDE_CONFIGURATION
        )
    }

    /// Whether a write of that size may go on: a VM exit if it is to the page and not virtualized. SDM: "Virtualizing Writes
    /// to the APIC-Access Page", "Determining Whether a Write Access is Virtualized".
    #[inline]
    pub(crate) fn apic_write_allowed(&mut self, physical: u64, size: u64) -> Exec {
        if !self.mem.is_apic_page(physical) {
            return Ok(());
        }
        match register_of(physical, size) {
            Some(register) if self.uses_tpr_shadow() && self.write_is_virtualized(register) => Ok(()),
            _ => Err(self.apic_access_exit(physical, Access::Write)),
        }
    }

    /// A write to the page that is virtualized: into the virtual-APIC page; the rest comes after the instruction.
    pub(crate) fn apic_write(&mut self, physical: u64, bytes: &[u8]) {
        let at = self.vapic_address(physical % PAGE);
        self.mem.phys_write(at, bytes);
        self.vmx.windows.apic_write = Some((physical % PAGE) & !(STRIDE - 1));
        self.attention_changed();
    }

    /// What comes after the instruction that wrote to a register. SDM: "APIC-Write Emulation".
    pub(in crate::vmx) fn emulate_apic_write(&mut self, register: u64) {
        use register::*;
        match register {
            TPR => {
                self.vapic_write(TPR, self.vtpr());
                self.virtualize_tpr();
            }
            EOI if self.virtual_interrupts() => {
                self.vapic_write(EOI, 0);
                self.virtualize_eoi();
            }
            ICR_LOW if self.virtualize_icr(self.vapic_read(ICR_LOW)) => {}
            ICR_HIGH => {
                /// The destination.
                const KEPT: u64 = 0xff00_0000;
                self.vapic_write(ICR_HIGH, self.vapic_read(ICR_HIGH) & KEPT);
            }
            _ => self.vmx.windows.apic_write_exit = Some(register),
        }
        self.attention_changed();
    }

    /// Address of the page whose accesses are virtualized.
    pub(in crate::vmx) fn apic_access_page(&self) -> Option<u64> {
        use x86_spec::vmx::controls::Proc2;
        (self.vmx.ctl.proc2 & Proc2::VIRTUALIZE_APIC_ACCESSES != 0)
            .then(|| self.vmx.vmcs.v[Field::APIC_ACCESS_ADDR])
    }
}
