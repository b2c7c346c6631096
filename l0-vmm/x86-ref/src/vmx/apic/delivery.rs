//! Virtual interrupts and posted interrupts. SDM: "Evaluation and Delivery of Virtual Interrupts", "Posted-Interrupt
//! Processing".

use super::{class, register};
use crate::{
    Cpu,
    event::{Event, EventKind},
    fault::Exec,
};
use x86_spec::vmx::{
    controls::{Pin, Proc},
    field::Field,
};

/// The guest interrupt status: RVI in the low byte, SVI in the high byte.
const RVI: u64 = 0xff;
const SVI_SHIFT: u32 = 8;
/// Layout of a posted-interrupt descriptor: 256 posted requests, then the outstanding-notification bit.
const REQUESTS: u64 = 8;
const NOTIFICATION: u64 = 32;
const OUTSTANDING: u8 = 1;

const EOI_EXIT_BITMAPS: [Field; 4] =
    [Field::EOI_EXIT_BITMAP0, Field::EOI_EXIT_BITMAP1, Field::EOI_EXIT_BITMAP2, Field::EOI_EXIT_BITMAP3];

/// The register of a 256-bit field (VISR, VIRR) that has the bit of a vector, and that bit.
fn place(field: u64, vector: u8) -> (u64, u64) {
    (field + 0x10 * u64::from(vector >> 5), 1 << (vector & 31))
}

impl Cpu {
    fn rvi(&self) -> u64 {
        self.vmx.vmcs.v[Field::GUEST_INTR_STATUS] & RVI
    }

    fn svi(&self) -> u64 {
        self.vmx.vmcs.v[Field::GUEST_INTR_STATUS] >> SVI_SHIFT & RVI
    }

    fn set_status(&mut self, rvi: u64, svi: u64) {
        self.vmx_put(Field::GUEST_INTR_STATUS, rvi | svi << SVI_SHIFT);
    }

    fn vapic_bit(&mut self, field: u64, vector: u8, on: bool) {
        let (at, bit) = place(field, vector);
        let old = self.vapic_read(at);
        self.vapic_write(at, if on { old | bit } else { old & !bit });
    }

    /// The highest vector in VISR or VIRR; 0 without any.
    fn highest(&self, field: u64) -> u64 {
        (0..8)
            .rev()
            .find_map(|n| {
                let bits = self.vapic_read(field + 0x10 * n);
                bits.checked_ilog2().map(|bit| 32 * n + u64::from(bit))
            })
            .unwrap_or(0)
    }

    /// SDM: "PPR Virtualization".
    pub(super) fn virtualize_ppr(&mut self) {
        let (tpr, svi) = (self.vtpr(), self.svi());
        let ppr = if class(tpr) >= class(svi) { tpr } else { svi & !0xf };
        self.vapic_write(register::PPR, ppr);
    }

    /// SDM: "Evaluation of Pending Virtual Interrupts".
    pub(super) fn evaluate_virtual_interrupts(&mut self) {
        self.vmx.windows.virtual_interrupt = self.vmx.ctl.proc & Proc::INTR_WINDOW_EXITING == 0
            && class(self.rvi()) > class(self.vapic_read(register::PPR));
    }

    /// SDM: "EOI Virtualization".
    pub(super) fn virtualize_eoi(&mut self) {
        let vector = self.svi() as u8;
        self.vapic_bit(register::ISR, vector, false);
        self.set_status(self.rvi(), self.highest(register::ISR));
        self.virtualize_ppr();
        let exits = self.vmx.vmcs.v[EOI_EXIT_BITMAPS[usize::from(vector >> 6)]] >> (vector & 63) & 1 != 0;
        if exits {
            self.vmx.windows.eoi_exit = Some(vector);
        } else {
            self.evaluate_virtual_interrupts();
        }
    }

    /// Requests a virtual interrupt: what self-IPIs and posted interrupts have in common.
    pub(super) fn request_virtual_interrupt(&mut self, vector: u8) {
        self.vapic_bit(register::IRR, vector, true);
        self.set_status(self.rvi().max(u64::from(vector)), self.svi());
    }

    /// SDM: "Virtual-Interrupt Delivery".
    pub(in crate::vmx) fn deliver_virtual_interrupt(&mut self) -> Exec {
        let vector = self.rvi() as u8;
        self.vapic_bit(register::ISR, vector, true);
        self.vapic_write(register::PPR, u64::from(vector) & !0xf);
        self.vapic_bit(register::IRR, vector, false);
        self.set_status(self.highest(register::IRR), u64::from(vector));
        self.vmx.windows.virtual_interrupt = false;
        self.event_in_guest();
        let done = self.take(Event { vector, kind: EventKind::External, error: None, len: 0 });
        self.attention_changed();
        done
    }

    /// Whether an external interrupt is the notification of posted interrupts; if so it has been processed: no VM exit, and
    /// the requests are virtual interrupts now.
    pub(crate) fn posted_interrupt(&mut self, vector: u8) -> bool {
        if !self.pin(Pin::POSTED_INTR) || u64::from(vector) != self.vmx.vmcs.v[Field::POSTED_INTR_NV] {
            return false;
        }
        self.intr_pending = None;
        let descriptor = self.vmx.vmcs.v[Field::POSTED_INTR_DESC_ADDR];
        let notification = descriptor.wrapping_add(NOTIFICATION);
        if let Some([byte]) = self.mem.phys_read(notification) {
            self.mem.phys_write(notification, &[byte & !OUTSTANDING]);
        }
        for n in 0..REQUESTS {
            let at = descriptor.wrapping_add(4 * n);
            let mut requests = self.mem.phys_read(at).map_or(0, u32::from_le_bytes);
            if requests != 0 {
                self.mem.phys_write(at, &0u32.to_le_bytes());
            }
            while requests != 0 {
                let bit = requests.trailing_zeros();
                requests &= requests - 1;
                self.request_virtual_interrupt((32 * n) as u8 | bit as u8);
            }
        }
        self.evaluate_virtual_interrupts();
        self.attention_changed();
        true
    }
}
