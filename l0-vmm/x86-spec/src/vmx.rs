//! Virtual-machine extensions (VMX).

pub mod caps;
pub mod controls;
pub mod ept;
pub mod error;
pub mod exit;
pub mod field;
pub mod insn_info;
pub mod intr_info;
pub mod qual;
pub mod rules;
pub mod segment;
