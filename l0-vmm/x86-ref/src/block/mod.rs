//! Decoded code: blocks of ops, the cache that keeps them, and their links.
//!
//! A block is a straight run of instructions on one page, decoded into ops that call each other in tail position (see
//! [`op`]). Blocks are found by physical address, RIP and mode, and linked by their index. A block may run when its stamp is
//! that of [`crate::mem::Mem`]: it was looked up in this state of the address space and in this mode. What drops decoded
//! code or changes translations changes stamps, and needs to know nothing of links.

mod build;
mod cache;
mod liveness;
mod lower;
pub(crate) mod op;
mod ops;
pub(crate) mod plain;

#[cfg(test)]
pub(crate) use build::handler;
pub(crate) use cache::Code;

/// The mode bits that code is decoded under.
pub(crate) mod mode {
    /// Size of the code.
    pub const CODE16: u8 = 0;
    pub const CODE32: u8 = 1;
    pub const CODE64: u8 = 2;
    pub const SIZE: u8 = 3;
    /// CPL 3.
    pub const USER: u8 = 1 << 2;
    /// Memory operands need a look at their segment, or accesses are watched: ops take the long way.
    pub const CHECKED: u8 = 1 << 3;
    /// CS ends before its code could: every instruction is fetched on its own.
    pub const LIMITED: u8 = 1 << 4;
    /// The stack pointer has more than 16 bits.
    pub const STACK32: u8 = 1 << 5;
}
