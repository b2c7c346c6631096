//! What a check may look at.

use crate::cr::{cr0, cr4, rflags};
use crate::vmx::caps::{Caps, Features};
use crate::vmx::controls::{Entry, Exit, Proc, Proc2};
use crate::vmx::field::{Field, Values};
use crate::vmx::intr_info::{IntrInfo, Kind};

/// Reads of physical memory, little-endian. `None` where there is no memory.
pub trait PhysRead {
    /// Four bytes.
    fn read_u32(&self, gpa: u64) -> Option<u32>;
    /// Eight bytes.
    fn read_u64(&self, gpa: u64) -> Option<u64>;
}

/// The processor's state at VM entry, as far as checks depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuState {
    /// IA32_EFER.LMA.
    pub lma: bool,
    /// The processor is in system-management mode.
    pub in_smm: bool,
    /// The current-VMCS pointer.
    pub vmcs_pointer: u64,
}

/// A VM entry to check.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The current VMCS.
    pub v: &'a Values,
    /// What the processor supports.
    pub caps: &'a Caps,
    /// The memory.
    pub mem: &'a dyn PhysRead,
    /// The processor.
    pub cpu: CpuState,
}

/// Bits 11:0 of an address: zero if it is that of a page of 4 KBytes.
pub(super) const PAGE_OFFSET: u64 = 0xfff;
/// Bits 63:32.
pub(super) const HIGH_HALF: u64 = !0 << 32;

#[inline]
fn all(value: u64, bits: u64) -> bool {
    value & bits == bits
}

/// Short names for what many rules ask. With several bits: whether all are 1.
impl Ctx<'_> {
    #[inline]
    pub(super) fn pin(&self, bits: u64) -> bool {
        all(self.v[Field::PIN_BASED_VM_EXEC_CONTROL], bits)
    }

    #[inline]
    pub(super) fn proc(&self, bits: u64) -> bool {
        all(self.v[Field::CPU_BASED_VM_EXEC_CONTROL], bits)
    }

    /// The secondary controls count as 0 unless they are activated.
    #[inline]
    pub(super) fn proc2(&self, bits: u64) -> bool {
        all(self.v[Field::SECONDARY_VM_EXEC_CONTROL], bits) && self.proc(Proc::ACTIVATE_SECONDARY_CONTROLS)
    }

    /// The tertiary controls count as 0 unless they are activated.
    #[inline]
    pub(super) fn proc3(&self, bits: u64) -> bool {
        all(self.v[Field::TERTIARY_VM_EXEC_CONTROL], bits) && self.proc(Proc::ACTIVATE_TERTIARY_CONTROLS)
    }

    #[inline]
    pub(super) fn exit(&self, bits: u64) -> bool {
        all(self.v[Field::VM_EXIT_CONTROLS], bits)
    }

    /// The secondary VM-exit controls count as 0 unless they are activated.
    #[inline]
    pub(super) fn exit2(&self, bits: u64) -> bool {
        all(self.v[Field::SECONDARY_VM_EXIT_CONTROLS], bits) && self.exit(Exit::ACTIVATE_SECONDARY_CONTROLS)
    }

    #[inline]
    pub(super) fn entry(&self, bits: u64) -> bool {
        all(self.v[Field::VM_ENTRY_CONTROLS], bits)
    }

    #[inline]
    pub(super) fn has(&self, features: Features) -> bool {
        self.caps.features.any(features)
    }

    #[inline]
    pub(super) fn ia32e(&self) -> bool {
        self.entry(Entry::IA32E_MODE)
    }

    #[inline]
    pub(super) fn host64(&self) -> bool {
        self.exit(Exit::HOST_ADDR_SPACE_SIZE)
    }

    #[inline]
    pub(super) fn unrestricted(&self) -> bool {
        self.proc2(Proc2::UNRESTRICTED_GUEST)
    }

    #[inline]
    pub(super) fn ept(&self) -> bool {
        self.proc2(Proc2::ENABLE_EPT)
    }

    /// The guest will be in virtual-8086 mode.
    #[inline]
    pub(super) fn v86(&self) -> bool {
        self.v[Field::GUEST_RFLAGS] & rflags::VM != 0
    }

    /// The guest will be in protected mode, or in IA-32e mode.
    #[inline]
    pub(super) fn protected(&self) -> bool {
        self.v[Field::GUEST_CR0] & cr0::PE != 0
    }

    /// The guest will use PAE paging.
    #[inline]
    pub(super) fn pae_paging(&self) -> bool {
        self.v[Field::GUEST_CR0] & cr0::PG != 0 && self.v[Field::GUEST_CR4] & cr4::PAE != 0 && !self.ia32e()
    }

    /// The guest will use FRED.
    #[inline]
    pub(super) fn fred(&self) -> bool {
        self.v[Field::GUEST_CR4] & cr4::FRED != 0 && self.ia32e()
    }

    /// The event to inject; not valid if there is none.
    #[inline]
    pub(super) fn event(&self) -> IntrInfo {
        IntrInfo(self.v[Field::VM_ENTRY_INTR_INFO_FIELD] as u32)
    }

    /// An event of this type is to be injected.
    #[inline]
    pub(super) fn injects(&self, kind: Kind) -> bool {
        let event = self.event();
        event.valid() && event.kind() == kind
    }

    /// Width of a linear address: what the processor supports, whatever CR4.LA57 says.
    #[inline]
    pub(super) fn linear_width(&self) -> u32 {
        if self.has(Features::LA57) { 57 } else { 48 }
    }

    /// A field holds a canonical address, as for bases and MSRs: by the width that the processor supports. Without
    /// Intel 64 it is not checked.
    #[inline]
    pub(super) fn canonical(&self, field: Field) -> bool {
        canonical(self.v[field], self.linear_width()) || !self.has(Features::LM)
    }

    /// An address sets no bit beyond the width of physical addresses, or of those of VMX structures.
    #[inline]
    pub(super) fn physical(&self, field: Field) -> bool {
        self.caps.physical_ok(self.v[field])
    }

    /// A field holds the address of a page of 4 KBytes.
    #[inline]
    pub(super) fn page(&self, field: Field) -> bool {
        self.v[field] & PAGE_OFFSET == 0
    }
}

/// Bits 63 to `width - 1` are alike.
#[inline]
pub(super) fn canonical(address: u64, width: u32) -> bool {
    let unused = 64 - width;
    ((address << unused) as i64 >> unused) as u64 == address
}

/// If the first holds, so does the second. Both are evaluated: where the second reads memory, write `!a || b`.
#[inline]
pub(super) fn implies(condition: bool, consequence: bool) -> bool {
    !condition || consequence
}
