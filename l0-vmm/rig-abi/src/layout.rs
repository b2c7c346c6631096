//! Where things lie in the machine's physical memory, as L1 sees it.
//!
//! The lowest 640 KiB belong to L2: the default EPT maps guest-physical addresses to the same machine addresses,
//! so L2's addresses are the same with and without EPT, and real-mode code has its memory below 1 MiB.

/// Size of a page, in bytes.
pub const PAGE: u64 = 0x1000;

/// Size of the machine's memory, in bytes.
pub const RAM_SIZE: u64 = 16 << 20;

macro_rules! layout {
    ($($(#[$m:meta])* $ID:ident = $at:literal, $len:literal;)*) => {
        $($(#[$m])* pub const $ID: u64 = $at;)*

        /// Every named place: name, address and size in bytes, in ascending order.
        pub const PLACES: &[(&str, u64, u64)] = &[$((stringify!($ID), $at, $len)),*];
    };
}

layout! {
    /// Real-mode interrupt vector table of L2.
    L2_IVT = 0x0000, 0x400;
    /// The image of L2 guests is linked to run here; as a real-mode segment, 0x1000.
    L2_IMAGE = 0x1_0000, 0x1_0000;
    /// Stack of L2; [`L2_STACK_TOP`] is its upper end.
    L2_STACK = 0x2_0000, 0x2000;
    /// Memory that L2 behaviours read and write; zeroed at the start of each case.
    L2_DATA = 0x3_0000, 0x4000;
    /// Code that a scenario gives in bytes.
    L2_CODE = 0x4_0000, 0x1000;
    /// L2's 4-level paging structures.
    L2_PML4 = 0x5_0000, 0x4000;
    /// L2's PAE paging structures (page-directory-pointer table first).
    L2_PDPT = 0x5_8000, 0x4000;
    /// L2's 32-bit paging structures (page directory first).
    L2_PD = 0x5_c000, 0x2000;
    /// L2's global descriptor table.
    L2_GDT = 0x6_0000, 0x1000;
    /// L2's interrupt descriptor table (protected modes).
    L2_IDT = 0x6_1000, 0x1000;
    /// L2's task-state segment.
    L2_TSS = 0x6_2000, 0x1000;
    /// The image of L1 is linked to run here.
    L1_IMAGE = 0x10_0000, 0x10_0000;
    /// Paging structures that L0 starts L1 with: 4 GiB, identity.
    L1_PAGING = 0x20_0000, 0x8000;
    /// [`crate::boot::BootInfo`].
    BOOT_INFO = 0x20_8000, 0x1000;
    /// The L2 image as loaded; each case starts with a fresh copy of it at [`L2_IMAGE`].
    L2_PRISTINE = 0x21_0000, 0x1_0000;
    /// The script: its steps, then its bytes.
    SCRIPT = 0x30_0000, 0x20_0000;
    /// The ring of records.
    RING = 0x50_0000, 0x10_0000;
    /// VMXON region.
    VMXON_REGION = 0x60_0000, 0x1000;
    /// The VMCS that the prologue of a case makes current.
    VMCS_0 = 0x60_1000, 0x1000;
    /// A second VMCS.
    VMCS_1 = 0x60_2000, 0x1000;
    /// A third VMCS, used as a shadow VMCS.
    VMCS_2 = 0x60_3000, 0x1000;
    /// MSR bitmaps (4 KiB: read low, read high, write low, write high).
    MSR_BITMAP = 0x60_4000, 0x1000;
    /// I/O bitmap A: ports 0 to 0x7fff.
    IO_BITMAP_A = 0x60_5000, 0x1000;
    /// I/O bitmap B: ports 0x8000 to 0xffff.
    IO_BITMAP_B = 0x60_6000, 0x1000;
    /// VM-exit MSR-store list.
    MSR_STORE = 0x60_7000, 0x1000;
    /// VM-exit MSR-load list.
    MSR_LOAD = 0x60_8000, 0x1000;
    /// VM-entry MSR-load list.
    ENTRY_MSR_LOAD = 0x60_9000, 0x1000;
    /// Virtual-APIC page.
    VAPIC_PAGE = 0x60_a000, 0x1000;
    /// APIC-access page.
    APIC_ACCESS_PAGE = 0x60_b000, 0x1000;
    /// Page-modification log.
    PML_PAGE = 0x60_c000, 0x1000;
    /// Memory for operands of instructions in L1 (descriptors of INVEPT and INVVPID, VMPTRST's result).
    OPERAND = 0x60_d000, 0x1000;
    /// EPT paging structures; the PML4 table is the first page.
    EPT = 0x68_0000, 0x4_0000;
    /// Memory with no other use: targets of EPT mappings, addresses for scenarios to try.
    FREE = 0x80_0000, 0x80_0000;
}

/// Upper end of L2's stack.
pub const L2_STACK_TOP: u64 = L2_STACK + 0x2000;

/// Most bytes that the L2 image may have.
pub const L2_IMAGE_MAX: u64 = 0x1_0000;

/// Most bytes that a script may have, with its bytes behind the steps.
pub const SCRIPT_MAX: u64 = 0x20_0000;

/// Size of the ring, in bytes.
pub const RING_SIZE: u64 = 0x10_0000;

/// The place of that name.
pub fn place(name: &str) -> Option<u64> {
    PLACES.iter().find(|(n, ..)| *n == name).map(|&(_, at, _)| at)
}

/// The place that an address lies in, and the distance from its start.
pub fn name_of(address: u64) -> Option<(&'static str, u64)> {
    PLACES
        .iter()
        .find(|&&(_, at, len)| address >= at && address - at < len)
        .map(|&(n, at, _)| (n, address - at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_ascend_and_do_not_overlap() {
        for pair in PLACES.windows(2) {
            assert!(pair[0].1 + pair[0].2 <= pair[1].1, "{} runs into {}", pair[0].0, pair[1].0);
        }
        let (_, at, len) = PLACES[PLACES.len() - 1];
        assert_eq!(at + len, RAM_SIZE);
    }

    #[test]
    fn named_sizes_are_those_of_the_list() {
        let size = |name| PLACES.iter().find(|p| p.0 == name).map(|p| p.2);
        assert_eq!(size("SCRIPT"), Some(SCRIPT_MAX));
        assert_eq!(size("RING"), Some(RING_SIZE));
        assert_eq!(size("L2_IMAGE"), Some(L2_IMAGE_MAX));
        assert_eq!(size("L2_STACK"), Some(L2_STACK_TOP - L2_STACK));
    }

    #[test]
    fn names_and_addresses_lead_to_each_other() {
        assert_eq!(place("VMCS_0"), Some(VMCS_0));
        assert_eq!(name_of(VMCS_0 + 4), Some(("VMCS_0", 4)));
        assert_eq!(place("NOWHERE"), None);
        assert_eq!(name_of(RAM_SIZE), None);
    }
}
