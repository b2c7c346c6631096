//! What L0 tells L1 at boot.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First field of [`BootInfo`]: "NESTRIG1", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"NESTRIG1");

/// Boot information. L0 puts it at [`crate::layout::BOOT_INFO`] and enters L1 in 64-bit mode with its address in RDI,
/// interrupts disabled and the first 4 GiB mapped to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BootInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`].
    pub version: u32,
    /// Number of [`crate::script::Step`]s at the start of the script.
    pub steps: u32,
    /// Physical address of the script.
    pub script: u64,
    /// Length of the script with its bytes behind the steps, in bytes.
    pub script_len: u64,
    /// Physical address of the ring.
    pub ring: u64,
    /// Size of the ring, in bytes.
    pub ring_len: u64,
    /// Physical address of the L2 image as loaded.
    pub l2: u64,
    /// Length of the L2 image in memory, in bytes.
    pub l2_len: u64,
    /// Size of the machine's memory, in bytes.
    pub ram: u64,
}
