//! Interprocessor interrupts that the guest sends: self-IPIs, and IPI virtualization. SDM: "Self-IPI Virtualization", "IPI
//! Virtualization".

use super::register;
use crate::Cpu;
use x86_spec::vmx::{controls::Proc3, field::Field};

/// The interrupt-command register.
mod icr {
    pub const VECTOR: u64 = 0xff;
    /// Delivery mode (0: fixed), destination mode (0: physical), delivery status, reserved bits and trigger mode.
    pub const DELIVERY_MODE: u64 = 0x700;
    pub const LOGICAL: u64 = 1 << 11;
    pub const DELIVERY_STATUS: u64 = 1 << 12;
    pub const LEVEL_TRIGGERED: u64 = 1 << 15;
    /// Bits 31:20, 17:16 and 13.
    pub const RESERVED: u64 = 0xfff3_2000;
    pub const SHORTHAND_SHIFT: u32 = 18;
    pub const NO_SHORTHAND: u64 = 0;
    pub const SELF: u64 = 1;
    /// The destination in the high half, in xAPIC mode.
    pub const DESTINATION_SHIFT: u32 = 24;
}

/// A vector below this is illegal.
const LOWEST_VECTOR: u64 = 0x10;
/// An entry of the PID-pointer table: valid, reserved bits; the rest is the address of a descriptor.
const PID_VALID: u64 = 1;
const PID_RESERVED: u64 = 0x3e;
/// The descriptor's control bits behind the 256 requests: outstanding notification, suppress notification, notification
/// vector, notification destination.
const CONTROL: u64 = 32;
const OUTSTANDING: u64 = 1 << 0;
const SUPPRESS: u64 = 1 << 1;
const VECTOR_SHIFT: u32 = 16;
const DESTINATION_SHIFT: u32 = 32;

impl Cpu {
    /// What a write to the ICR means without a VM exit; false: it exits.
    pub(super) fn virtualize_icr(&mut self, low: u64) -> bool {
        use icr::*;
        let plain = low & (RESERVED | DELIVERY_MODE | DELIVERY_STATUS | LEVEL_TRIGGERED) == 0
            && low & VECTOR >= LOWEST_VECTOR;
        let shorthand = low >> SHORTHAND_SHIFT & 3;
        if !plain {
            return false;
        }
        if shorthand == SELF && self.virtual_interrupts() {
            self.self_ipi(low as u8);
            return true;
        }
        if shorthand == NO_SHORTHAND && low & LOGICAL == 0 && self.virtualizes_ipis() {
            let destination = self.vapic_read(register::ICR_HIGH) >> DESTINATION_SHIFT;
            return self.send_virtual_ipi(low as u8, destination);
        }
        false
    }

    pub(super) fn virtualizes_ipis(&self) -> bool {
        self.vmx.ctl.proc3 & Proc3::IPI_VIRT != 0
    }

    /// SDM: "Self-IPI Virtualization".
    pub(super) fn self_ipi(&mut self, vector: u8) {
        self.request_virtual_interrupt(vector);
        self.evaluate_virtual_interrupts();
        self.attention_changed();
    }

    /// Posts an interrupt to a virtual processor; false: there is no descriptor for it, and the write exits. The
    /// notification goes to this processor or to nobody: there is no other.
    pub(super) fn send_virtual_ipi(&mut self, vector: u8, destination: u64) -> bool {
        let v = &self.vmx.vmcs.v;
        if destination > v[Field::LAST_PID_POINTER_INDEX] {
            return false;
        }
        let pointer = v[Field::PID_POINTER_TABLE].wrapping_add(8 * destination);
        let entry = self.mem.phys_read(pointer).map_or(0, u64::from_le_bytes);
        if entry & (PID_VALID | PID_RESERVED) != PID_VALID
            || !self.profile.caps.physical_ok(entry & !PID_VALID)
        {
            return false;
        }
        let descriptor = entry & !PID_VALID;
        let at = descriptor + u64::from(vector / 8);
        let requests = self.mem.phys_read(at).map_or(0, |[byte]| byte);
        self.mem.phys_write(at, &[requests | 1 << (vector % 8)]);
        let control = self.mem.phys_read(descriptor + CONTROL).map_or(OUTSTANDING, u64::from_le_bytes);
        if control & (OUTSTANDING | SUPPRESS) == 0 {
            self.mem.phys_write(descriptor + CONTROL, &(control | OUTSTANDING).to_le_bytes());
            if control >> DESTINATION_SHIFT == 0 {
                self.interrupt((control >> VECTOR_SHIFT) as u8);
            }
        }
        true
    }
}
