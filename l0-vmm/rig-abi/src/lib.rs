//! The wire format between L0, L1, L2 and the harness: where things lie in the machine's memory, what L0
//! tells L1 at boot, the script that L1 interprets, and the records that L1 writes.
//!
//! Everything here is raw little-endian integers in `repr(C)` structs without padding, so that one definition
//! serves a freestanding guest, a host process and a file. Unknown numbers are values, never errors: a record
//! of a newer L1 can be kept and printed by an older harness.
//!
//! The sizes are pinned by `tripwire`; a change of any of them is a change of [`VERSION`].
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod layout;
pub mod open;
pub mod record;
pub mod script;
mod tripwire;

/// Version of everything in this crate. L1 refuses a [`boot::BootInfo`] of another version, and the harness a
/// record stream of one.
pub const VERSION: u32 = 1;

/// I/O ports by which L1 speaks to L0.
pub mod port {
    /// L1 writes here (32 bits) how many bytes of the ring hold records; L0 takes them and the ring is empty again.
    pub const DOORBELL: u16 = 0xf0;
    /// L1 writes its exit code here (32 bits) and the run is over.
    pub const EXIT: u16 = 0xf4;
    /// Text, byte by byte: what L1 says when it cannot say it by a record.
    pub const DEBUG: u16 = 0xe9;
}
