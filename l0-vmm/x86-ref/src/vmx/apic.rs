//! The TPR shadow: CR8 of a guest is in the virtual-APIC page. SDM: "Virtualizing CR8-Based TPR Accesses", "TPR Virtualization".

use crate::Cpu;
use x86_spec::vmx::{controls::Proc, field::Field};

/// Offset of the virtual task-priority register (VTPR) in the virtual-APIC page.
const VTPR: u64 = 0x80;
/// The TPR's class, which is what CR8 holds, begins at this bit.
const CLASS_SHIFT: u32 = 4;
const CLASS: u64 = 0xf;

impl Cpu {
    fn tpr_shadow(&self) -> Option<u64> {
        (self.vmx.ctl.proc & Proc::TPR_SHADOW != 0)
            .then(|| self.vmx.vmcs.v[Field::VIRTUAL_APIC_PAGE_ADDR].wrapping_add(VTPR))
    }

    /// What MOV from CR8 reads.
    pub(crate) fn cr8_view(&self) -> u64 {
        match self.tpr_shadow() {
            Some(at) => self.mem.phys_read(at).map_or(0, |[vtpr]| u64::from(vtpr) >> CLASS_SHIFT),
            None => self.cr8,
        }
    }

    /// What MOV to CR8 does with a value without reserved bits.
    pub(crate) fn write_cr8(&mut self, value: u64) {
        let Some(at) = self.tpr_shadow() else {
            self.cr8 = value;
            self.attention_changed();
            return;
        };
        let class = value & CLASS;
        self.mem.phys_write(at, &((class << CLASS_SHIFT) as u32).to_le_bytes());
        if class < self.vmx.vmcs.v[Field::TPR_THRESHOLD] & CLASS {
            self.vmx.windows.tpr_is_low();
            self.attention_changed();
        }
    }
}
