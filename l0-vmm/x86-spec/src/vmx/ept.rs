//! EPT paging-structure entries and the EPT pointer. SDM: "EPT Translation Mechanism", "Extended-Page-Table Pointer (EPTP)".

macro_rules! bits {
    ($($ID:ident = $bit:literal, $text:literal;)*) => {
        $(#[doc = concat!($text, ".")] pub const $ID: u64 = 1 << $bit;)*
    };
}

bits! {
    READ = 0, "Read access";
    WRITE = 1, "Write access";
    EXECUTE = 2, "Execute access; with mode-based execute control, for supervisor-mode linear addresses";
    IGNORE_PAT = 6, "Ignore PAT memory type (leaf)";
    LARGE = 7, "Maps a page (in a page-directory or page-directory-pointer-table entry)";
    ACCESSED = 8, "Accessed, if the EPTP enables accessed and dirty flags";
    DIRTY = 9, "Dirty, if the EPTP enables accessed and dirty flags";
    EXECUTE_USER = 10, "Execute access for user-mode linear addresses, with mode-based execute control";
    VERIFY_GUEST_PAGING = 57, "Verify guest paging (leaf)";
    PAGING_WRITE = 58, "Paging-write access (leaf)";
    SUPERVISOR_SHADOW_STACK = 60, "Supervisor shadow stack (leaf)";
    SUB_PAGE_WRITE = 61, "Sub-page write permissions (leaf of 4 KiB)";
    SUPPRESS_VE = 63, "Suppress #VE";
}

/// Read, write and execute.
pub const PERMISSIONS: u64 = READ | WRITE | EXECUTE;

/// Position of the memory type in a leaf entry: bits 5:3.
pub const MEMORY_TYPE_SHIFT: u32 = 3;

/// Bits 51:12: the physical address in an entry and in the EPTP.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Memory types. SDM: "Memory Types That Can Be Encoded With PAT".
pub mod memory_type {
    /// Uncacheable.
    pub const UC: u64 = 0;
    /// Write combining.
    pub const WC: u64 = 1;
    /// Write through.
    pub const WT: u64 = 4;
    /// Write protected.
    pub const WP: u64 = 5;
    /// Write back.
    pub const WB: u64 = 6;

    /// Whether a leaf entry may have this type.
    pub const fn valid(kind: u64) -> bool {
        matches!(kind, UC | WC | WT | WP | WB)
    }
}

/// The EPT pointer.
pub mod eptp {
    /// Bits 2:0: memory type of the paging structures.
    pub const MEMORY_TYPE: u64 = 0x7;
    /// Position of bits 5:3: page-walk length less one.
    pub const WALK_SHIFT: u32 = 3;
    /// Bits 5:3.
    pub const WALK: u64 = 0x7 << WALK_SHIFT;
    /// Bit 6: accessed and dirty flags.
    pub const ACCESSED_DIRTY: u64 = 1 << 6;
    /// Bit 7: access rights of supervisor shadow-stack pages are enforced.
    pub const SUPERVISOR_SHADOW_STACK: u64 = 1 << 7;
    /// Bits 11:8.
    pub const RESERVED_LOW: u64 = 0xf00;

    /// An EPTP for a 4-level table at that address with write-back structures.
    pub const fn new(table: u64) -> u64 {
        table | super::memory_type::WB | 3 << WALK_SHIFT
    }
}

/// Types of INVEPT and INVVPID. SDM: "INVEPT", "INVVPID".
pub mod invalidate {
    /// INVVPID: one linear address of one VPID.
    pub const INDIVIDUAL_ADDRESS: u64 = 0;
    /// One EPTP, or one VPID.
    pub const SINGLE_CONTEXT: u64 = 1;
    /// All of them.
    pub const ALL_CONTEXTS: u64 = 2;
    /// INVVPID: one VPID but for global translations.
    pub const SINGLE_CONTEXT_RETAINING_GLOBALS: u64 = 3;
    /// Size of the descriptor in memory, in bytes.
    pub const DESCRIPTOR: u64 = 16;
}
