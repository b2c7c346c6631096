//! Virtual-machine extensions (VMX).

pub mod caps;
pub mod controls;
pub mod error;
pub mod exit;
pub mod field;
pub mod intr_info;
