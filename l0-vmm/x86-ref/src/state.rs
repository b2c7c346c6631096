//! The architectural state that goes in and out of the CPU, for boot, save and restore, and the KVM assist.

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Limit in bytes (granularity applied).
    pub limit: u32,
    /// Access rights in the format of the VMCS: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16.
    pub rights: u32,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescTable {
    /// Base address.
    pub base: u64,
    /// Limit in bytes.
    pub limit: u16,
}

/// The state of a processor outside VMX non-root operation that boot code and other engines deal in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// General-purpose registers in the order of their encodings.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// ES, CS, SS, DS, FS, GS: the order of their encodings.
    pub seg: [Segment; 6],
    /// Local descriptor table register.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// Global descriptor table register.
    pub gdtr: DescTable,
    /// Interrupt descriptor table register.
    pub idtr: DescTable,
    /// Control registers.
    pub cr0: u64,
    /// Page-fault linear address.
    pub cr2: u64,
    /// Page-directory base.
    pub cr3: u64,
    /// Control register 4.
    pub cr4: u64,
    /// Task priority.
    pub cr8: u64,
    /// IA32_EFER.
    pub efer: u64,
    /// DR0 to DR3, DR6, DR7.
    pub dr: [u64; 6],
}
