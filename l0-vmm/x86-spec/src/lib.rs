//! The Intel SDM's VMX as tables: VMCS fields, control words, capabilities, exit reasons, qualifications,
//! instruction errors and every VM-entry check, each of them one row from which all its uses come.
//!
//! The manual is *Intel 64 and IA-32 Architectures Software Developer's Manual, Volumes 3A-3D, order number
//! 325384-084US, June 2024*. It is cited by section title, in quotes; titles last longer than numbers. What the
//! manual left to *Flexible Return and Event Delivery (FRED) Specification* is taken from there.
//!
//! Numbers that no row knows are values, not errors: they print as hex.
#![no_std]
#![forbid(unsafe_code)]

pub mod cr;
pub mod msr;
pub mod vector;
pub mod vmx;
