//! What the processor writes into pages of the host on behalf of EPT: the page-modification log and the information area of
//! virtualization exceptions. SDM: "Page-Modification Logging", "Virtualization Exceptions".

use crate::{Cpu, fault::EptFault};
use x86_spec::vmx::{exit::Reason, field::Field};

/// Entries of the page-modification log; the index counts them down, and wraps around.
const LOG_ENTRIES: u64 = 512;
const INDEX: u64 = 0xffff;

/// Offsets in the virtualization-exception information area.
mod information {
    pub const REASON: u64 = 0;
    /// All ones while the area is in use.
    pub const BUSY: u64 = 4;
    pub const QUALIFICATION: u64 = 8;
    pub const LINEAR: u64 = 16;
    pub const PHYSICAL: u64 = 24;
    pub const EPTP_INDEX: u64 = 32;
}

impl Cpu {
    /// Whether the page-modification log can take an entry.
    pub(crate) fn log_has_room(&self) -> bool {
        self.vmx.vmcs.v[Field::GUEST_PML_INDEX] < LOG_ENTRIES
    }

    /// Logs a page.
    pub(crate) fn log_page(&mut self, page: u64) {
        let v = &self.vmx.vmcs.v;
        let index = v[Field::GUEST_PML_INDEX];
        let at = v[Field::PML_ADDRESS].wrapping_add(8 * index);
        self.mem.phys_write(at, &page.to_le_bytes());
        self.vmx_put(Field::GUEST_PML_INDEX, index.wrapping_sub(1) & INDEX);
    }

    /// Address of the topmost sub-page-permission table.
    pub(crate) fn sub_page_root(&self) -> u64 {
        self.vmx.vmcs.v[Field::SPPTP]
    }

    /// Fills in the information area for an EPT violation that becomes a virtualization exception; false, if the area is
    /// in use. SDM: "Virtualization-Exception Information".
    pub(super) fn save_virtualization_exception(&mut self, fault: &EptFault, qualification: u64) -> bool {
        use information::*;
        let area = self.vmx.vmcs.v[Field::VE_INFORMATION_ADDRESS];
        let busy =
            self.mem.phys_read(area.wrapping_add(BUSY)).is_none_or(|bytes| u32::from_le_bytes(bytes) != 0);
        if busy {
            return false;
        }
        let index = self.vmx.vmcs.v[Field::EPTP_INDEX] as u16;
        let reason = u32::from(Reason::EPT_VIOLATION.number());
        self.mem.phys_write(area.wrapping_add(REASON), &reason.to_le_bytes());
        self.mem.phys_write(area.wrapping_add(BUSY), &u32::MAX.to_le_bytes());
        for (at, value) in
            [(QUALIFICATION, qualification), (LINEAR, fault.linear.unwrap_or(0)), (PHYSICAL, fault.physical)]
        {
            self.mem.phys_write(area.wrapping_add(at), &value.to_le_bytes());
        }
        self.mem.phys_write(area.wrapping_add(EPTP_INDEX), &index.to_le_bytes());
        true
    }
}
