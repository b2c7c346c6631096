//! L1: a hypervisor small enough to read in one sitting. It is booted by L0, interprets a script of VMX steps, runs
//! L2 and writes down what it saw.
//!
//! This library holds what is only computation, so that it is tested on the host: the default VMCS ([`vmcs`]), the EPT
//! builder ([`ept`]), L2's descriptor and page tables ([`l2`]), the ring of records ([`ring`]), the checks of a step's
//! arguments ([`step`]) and the meaning of flags after a VMX instruction ([`outcome`]). What touches the processor is
//! in the program `l1`, which is the freestanding image when it is built with `--cfg nestrig_image`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod answer;
pub mod ept;
pub mod l2;
pub mod memory;
pub mod outcome;
pub mod ring;
pub mod state;
pub mod step;
pub mod vmcs;

/// Exit codes: what L1 writes to [`rig_abi::port::EXIT`].
pub mod code {
    /// The script is done.
    pub const DONE: u32 = 0;
    /// The boot information has another magic number or version; text on [`rig_abi::port::DEBUG`] says which.
    pub const BAD_BOOT: u32 = 1;
    /// An exception that no step asked for; the last record says which.
    pub const TRAP: u32 = 2;
    /// L1 panicked; the last record says where.
    pub const PANIC: u32 = 3;
}
