//! SHLD, SHRD, RCL, RCR.

use super::{Handler, flag};
use crate::{Cpu, exec::operand::mask, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Shld => double::<true>,
        Mnemonic::Shrd => double::<false>,
        Mnemonic::Rcl => rotate_carry::<true>,
        Mnemonic::Rcr => rotate_carry::<false>,
        _ => return None,
    })
}

/// Count as the processor masks it: 5 bits, 6 for 64-bit operands.
fn masked_count(count: u64, size: usize) -> u32 {
    count as u32 & if size == 8 { 63 } else { 31 }
}

fn double<const LEFT: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let bits = 8 * size as u32;
    let count = masked_count(cpu.read_operand(insn, 2)?, size);
    let source = u128::from(cpu.read_operand(insn, 1)?);
    let old = cpu.read_operand_for_write(insn, 0)?;
    if count == 0 {
        return cpu.write_operand(insn, 0, old);
    }
    let dest = u128::from(old);
    // 16-bit operands with counts over 16 are undefined: what comes in behind the source is the destination again.
    let (result, out) = if LEFT {
        let both = if bits == 16 { dest << 32 | source << 16 | dest } else { dest << bits | source };
        let total = if bits == 16 { 48 } else { 2 * bits };
        (both >> (total - bits - count), both >> (total - count))
    } else {
        let both = if bits == 16 { dest << 32 | source << 16 | dest } else { source << bits | dest };
        (both >> count, both >> (count - 1))
    };
    let result = result as u64 & mask(size);
    let cf = out & 1 != 0;
    let top = result >> (bits - 1) & 1 != 0;
    let of = if LEFT { cf ^ top } else { top ^ (result >> (bits - 2) & 1 != 0) };
    cpu.write_operand(insn, 0, result)?;
    cpu.flags = Flags::of_result(result, size, cf, of, false);
    Ok(())
}

fn rotate_carry<const LEFT: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let bits = 8 * size as u32;
    let around = bits + 1;
    let count = masked_count(cpu.read_operand(insn, 1)?, size) % around;
    let old = cpu.read_operand_for_write(insn, 0)?;
    if count == 0 {
        // All the way round is no rotation: no flag changes.
        return cpu.write_operand(insn, 0, old);
    }
    let wide = u128::from(cpu.flags.cf()) << bits | u128::from(old);
    let left = if LEFT { count } else { around - count };
    let all = (1u128 << around) - 1;
    let wide = (wide << left | wide >> (around - left)) & all;
    let result = wide as u64 & mask(size);
    let cf = wide >> bits & 1 != 0;
    let top = result >> (bits - 1) & 1 != 0;
    let of = if LEFT { cf ^ top } else { top ^ (result >> (bits - 2) & 1 != 0) };
    cpu.write_operand(insn, 0, result)?;
    let set = |on: bool, bit: u64| if on { bit } else { 0 };
    cpu.flags = cpu.flags.with(flag::CF | flag::OF, set(cf, flag::CF) | set(of, flag::OF));
    Ok(())
}
