//! APIC virtualization: the virtual-APIC page and the task priority; CR8.
//!
//! `access` accesses to the APIC-access page, `x2apic` MSRs, `delivery` virtual interrupts and posted interrupts, `ipi`
//! interprocessor interrupts. SDM: "APIC Virtualization and Virtual Interrupts".

mod access;
mod delivery;
mod ipi;
mod x2apic;

use crate::Cpu;
use x86_spec::vmx::{
    controls::{Proc, Proc2},
    field::Field,
};

/// Offsets of registers in the virtual-APIC page. SDM: "Virtual-APIC Page".
mod register {
    pub const ID: u64 = 0x20;
    pub const VERSION: u64 = 0x30;
    pub const TPR: u64 = 0x80;
    pub const PPR: u64 = 0xa0;
    pub const EOI: u64 = 0xb0;
    pub const LOGICAL_DESTINATION: u64 = 0xd0;
    pub const DESTINATION_FORMAT: u64 = 0xe0;
    pub const SPURIOUS: u64 = 0xf0;
    pub const ISR: u64 = 0x100;
    pub const IRR: u64 = 0x200;
    pub const ERROR_STATUS: u64 = 0x280;
    pub const ICR_LOW: u64 = 0x300;
    pub const ICR_HIGH: u64 = 0x310;
    pub const LVT_TIMER: u64 = 0x320;
    pub const LVT_ERROR: u64 = 0x370;
    pub const INITIAL_COUNT: u64 = 0x380;
    pub const DIVIDE_CONFIGURATION: u64 = 0x3e0;
    pub const SELF_IPI: u64 = 0x3f0;
}

/// The TPR's class, which is what CR8 holds, begins at this bit.
const CLASS_SHIFT: u32 = 4;
const CLASS: u64 = 0xf;

/// The class of a vector or a priority.
fn class(priority: u64) -> u64 {
    priority >> CLASS_SHIFT & CLASS
}

impl Cpu {
    fn uses_tpr_shadow(&self) -> bool {
        self.vmx.ctl.proc & Proc::TPR_SHADOW != 0
    }

    fn virtual_interrupts(&self) -> bool {
        self.vmx.ctl.proc2 & Proc2::VIRTUAL_INTR_DELIVERY != 0
    }

    fn apic_registers(&self) -> bool {
        self.vmx.ctl.proc2 & Proc2::APIC_REGISTER_VIRT != 0
    }

    fn vapic_address(&self, offset: u64) -> u64 {
        self.vmx.vmcs.v[Field::VIRTUAL_APIC_PAGE_ADDR].wrapping_add(offset)
    }

    /// Reads a register of the virtual-APIC page; zero where there is no memory.
    fn vapic_read(&self, offset: u64) -> u64 {
        self.mem.phys_read(self.vapic_address(offset)).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
    }

    /// Writes a register of the virtual-APIC page.
    fn vapic_write(&mut self, offset: u64, value: u64) {
        self.mem.phys_write(self.vapic_address(offset), &(value as u32).to_le_bytes());
    }

    fn vtpr(&self) -> u64 {
        self.vapic_read(register::TPR) & 0xff
    }

    /// What MOV from CR8 reads.
    pub(crate) fn cr8_view(&self) -> u64 {
        if self.uses_tpr_shadow() { class(self.vtpr()) } else { self.cr8 }
    }

    /// What MOV to CR8 does with a value without reserved bits.
    pub(crate) fn write_cr8(&mut self, value: u64) {
        if !self.uses_tpr_shadow() {
            self.cr8 = value;
            self.attention_changed();
            self.task_priority_changed();
            return;
        }
        self.vapic_write(register::TPR, (value & CLASS) << CLASS_SHIFT);
        self.virtualize_tpr();
    }

    fn tpr_below_threshold(&self) -> bool {
        class(self.vtpr()) < self.vmx.vmcs.v[Field::TPR_THRESHOLD] & CLASS
    }

    /// SDM: "TPR Virtualization".
    fn virtualize_tpr(&mut self) {
        if self.virtual_interrupts() {
            self.virtualize_ppr();
            self.evaluate_virtual_interrupts();
        } else if self.tpr_below_threshold() {
            self.vmx.windows.tpr_is_low();
        }
        self.attention_changed();
    }

    /// What VM entry does about the local APIC. SDM: "VM Exits Induced by the TPR Threshold" of "Special Features of VM
    /// Entry", "Virtual-Interrupt Delivery".
    pub(super) fn enter_apic(&mut self) {
        if self.virtual_interrupts() {
            self.virtualize_ppr();
            self.evaluate_virtual_interrupts();
        } else if self.uses_tpr_shadow()
            && self.vmx.ctl.proc2 & Proc2::VIRTUALIZE_APIC_ACCESSES != 0
            && self.tpr_below_threshold()
        {
            self.vmx.windows.tpr_is_low();
        }
    }
}
