//! The ops.

use super::{
    cache::Code,
    op::{Op, chain},
};
use crate::Cpu;

/// The end of a block that no instruction ends: goes on behind it.
pub(super) fn fall_through<'a>(cpu: &mut Cpu, code: &'a Code, op: &'a Op, rest: &'a [Op]) {
    cpu.rip = cpu.rip.wrapping_add(op.disp as u64);
    chain::<0>(cpu, code, op, rest)
}
