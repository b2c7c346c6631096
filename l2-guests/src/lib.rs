//! L2 guests: small behaviours in assembly, each of which does one thing and halts.
//!
//! All of them are one image, linked to run at [`rig_abi::layout::L2_IMAGE`] and not larger than a real-mode
//! segment. A behaviour is written once and assembled for each code width that it makes sense in.
//!
//! # Names
//!
//! - `l2.<bits>.<behaviour>` is where a behaviour starts; `<bits>` is 16, 32 or 64
//!   ([`rig_abi::script::Mode::bits`]).
//! - `l2.<bits>.<behaviour>.<point>` is a named point in it: `after_<instruction>` right behind an instruction
//!   that may cause a VM exit, `<instruction>` at one that others come before, `end` at the final HLT where it
//!   has no other name. No two names are at one address.
//!
//! Every behaviour ends in HLT and a jump back to it.
//!
//! # What a behaviour may count on
//!
//! CPL 0, interrupts off, and:
//!
//! - real mode: CS 0x1000 (the image), DS and ES [`L2_DATA`](rig_abi::layout::L2_DATA), a stack;
//! - other modes: flat segments, a stack that ends at [`L2_STACK_TOP`](rig_abi::layout::L2_STACK_TOP), and
//!   with paging at least 16 MiB mapped one to one.
//!
//! `L2_DATA` is zeroed at the start of each case. Arguments are preset in general-purpose registers by the
//! scenario; a register that it does not set is zero. Addresses are linear in 32-bit and 64-bit code and
//! offsets into DS (ES for the destination of string instructions) in 16-bit code.
//!
//! [`BEHAVIOURS`] is the list of all; the tables are at the `BEHAVIOURS` of each module of [`behaviours`].
#![no_std]
#![cfg_attr(nestrig_image, allow(unsafe_code, reason = "the behaviours are assembly"))]

#[macro_use]
mod assemble;
pub mod behaviours;

pub use behaviours::BEHAVIOURS;

/// A behaviour of L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Its name, as in scenarios.
    pub name: &'static str,
    /// Code widths that it is assembled for, ascending.
    pub bits: &'static [u32],
    /// What it does.
    pub text: &'static str,
    /// Registers that it takes arguments in, by their 64-bit names, and what they mean.
    pub args: &'static [(&'static str, &'static str)],
    /// Named points in it, in the order of their addresses; the same in each width.
    pub points: &'static [Point],
}

/// A named point in a behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name, without that of the behaviour.
    pub name: &'static str,
    /// Width of the code from here on, where it changes.
    pub bits: Option<u32>,
}

/// The behaviour of that name.
pub fn behaviour(name: &str) -> Option<&'static Behaviour> {
    BEHAVIOURS.iter().find(|b| b.name == name)
}
