//! The freestanding images, built by this crate's build script.

/// L1: the hypervisor under the script's control, linked to run at [`rig_abi::layout::L1_IMAGE`]. An ELF file with
/// debug information; its section `.nestrig.sensitive` lists, as little-endian quadwords, the addresses of the
/// instructions that a machine without nested VMX cannot run.
pub static L1: &[u8] = include_bytes!(env!("NESTRIG_L1"));

/// L2: the guests, linked to run at [`rig_abi::layout::L2_IMAGE`]. An ELF file; its symbols name the behaviours.
pub static L2: &[u8] = include_bytes!(env!("NESTRIG_L2"));
