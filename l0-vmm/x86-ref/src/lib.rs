//! The reference CPU: the manual as a running x86-64 processor with VMX.
//!
//! It is plain, deterministic and in process: no hardware, no wall clock, no host address in anything that a guest can
//! see. Time is the number of instructions retired.
//!
//! What it models, what it does not, and what happens then is in this crate's README. Where it cannot do something it
//! ends the run as [`Stop::Unsupported`], with the bytes; it never guesses.
//!
//! Where things are: [`cpu`] the state, `block` decoded code and the run loop's threaded ops, `exec` one file for each
//! family of instructions, `mem` memory with TLB and page walks, `event` exceptions and interrupts, `vmx` the
//! virtual-machine extensions, `platform` what a machine with several processors and local APICs does with one.
#![deny(unsafe_code)]

mod block;
mod boundary;
mod bus;
pub mod cpu;
mod event;
mod exec;
mod fault;
mod flags;
mod mem;
mod platform;
mod profile;
mod run;
mod state;
#[cfg(test)]
mod testing;
mod vmx;

pub use bus::{Bus, Flow};
pub use cpu::{Cpu, NewCpuError};
pub use platform::Signal;
pub use profile::{CpuidLeaf, Profile};
pub use run::{Stop, Unsupported};
pub use state::{DescTable, Segment, State};
