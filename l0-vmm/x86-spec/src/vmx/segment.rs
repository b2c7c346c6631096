//! Access rights of segment registers in the format of the VMCS. SDM: "Guest Register State".

macro_rules! bits {
    ($($ID:ident = $value:literal, $text:literal;)*) => {
        $(#[doc = concat!($text, ".")] pub const $ID: u32 = $value;)*
    };
}

bits! {
    TYPE = 0xf, "Bits 3:0: segment type";
    ACCESSED = 0x1, "Code or data: accessed";
    WRITABLE = 0x2, "Data: writable; code: readable";
    EXPAND_DOWN = 0x4, "Data: expand-down";
    CODE = 0x8, "Code, not data";
    S = 0x10, "Bit 4: code or data, not system";
    DPL = 0x60, "Bits 6:5: descriptor privilege level";
    P = 0x80, "Bit 7: present";
    RESERVED_LOW = 0xf00, "Bits 11:8: reserved";
    AVL = 0x1000, "Bit 12: available for use by system software";
    L = 0x2000, "Bit 13: 64-bit code";
    DB = 0x4000, "Bit 14: default operation size";
    G = 0x8000, "Bit 15: granularity";
    UNUSABLE = 0x1_0000, "Bit 16: unusable";
    RESERVED_HIGH = 0xfffe_0000, "Bits 31:17: reserved";
}

/// Code: conforming. The bit that is [`EXPAND_DOWN`] of data.
pub const CONFORMING: u32 = EXPAND_DOWN;

/// Position of the DPL.
pub const DPL_SHIFT: u32 = 5;

/// Types of system segments.
pub mod system {
    /// 16-bit TSS, available.
    pub const TSS16: u32 = 1;
    /// LDT.
    pub const LDT: u32 = 2;
    /// 16-bit TSS, busy.
    pub const TSS16_BUSY: u32 = 3;
    /// 16-bit call gate.
    pub const CALL_GATE16: u32 = 4;
    /// Task gate.
    pub const TASK_GATE: u32 = 5;
    /// 16-bit interrupt gate.
    pub const INTERRUPT_GATE16: u32 = 6;
    /// 16-bit trap gate.
    pub const TRAP_GATE16: u32 = 7;
    /// TSS (32-bit, or 64-bit in IA-32e mode), available.
    pub const TSS: u32 = 9;
    /// TSS, busy.
    pub const TSS_BUSY: u32 = 11;
    /// Call gate (32-bit or 64-bit).
    pub const CALL_GATE: u32 = 12;
    /// Interrupt gate (32-bit or 64-bit).
    pub const INTERRUPT_GATE: u32 = 14;
    /// Trap gate (32-bit or 64-bit).
    pub const TRAP_GATE: u32 = 15;
}

/// The descriptor privilege level.
pub const fn dpl(rights: u32) -> u8 {
    (rights >> DPL_SHIFT & 3) as u8
}

/// Access rights out of bits 63:32 of a descriptor.
pub const fn from_descriptor(high: u32) -> u32 {
    high >> 8 & 0xf0ff
}
