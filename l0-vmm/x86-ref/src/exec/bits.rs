//! Bits and counts: BT family, BSF and BSR, POPCNT, LZCNT, TZCNT, BSWAP, MOVBE, CRC32.

use super::{Handler, feature::Feature, flag::ZF};
use crate::{
    Cpu,
    exec::operand::{address_mask, mask, seg_number},
    fault::Exec,
    flags::Flags,
    mem::Mode,
};
use iced_x86::{Instruction, Mnemonic, OpKind};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Bt => |cpu, insn| bit_test(cpu, insn, None),
        Mnemonic::Bts => |cpu, insn| bit_test(cpu, insn, Some(|value, bit| value | bit)),
        Mnemonic::Btr => |cpu, insn| bit_test(cpu, insn, Some(|value, bit| value & !bit)),
        Mnemonic::Btc => |cpu, insn| bit_test(cpu, insn, Some(|value, bit| value ^ bit)),
        Mnemonic::Bsf => bit_scan::<false>,
        Mnemonic::Bsr => bit_scan::<true>,
        Mnemonic::Tzcnt => tzcnt,
        Mnemonic::Lzcnt => lzcnt,
        Mnemonic::Popcnt => popcnt,
        Mnemonic::Bswap => bswap,
        Mnemonic::Movbe => movbe,
        Mnemonic::Crc32 => crc32,
        _ => return None,
    })
}

/// BT and, with what to make of the value and the bit's mask, BTS, BTR, BTC.
///
/// With a bit number in a register a memory operand is a string of bits: the number is signed and not cut to the size of
/// the operand (SDM 2A, "BT").
fn bit_test(cpu: &mut Cpu, insn: &Instruction, change: Option<fn(u64, u64) -> u64>) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let bits = 8 * size as u64;
    let number = cpu.read_operand(insn, 1)?;
    let bit = 1u64 << (number & (bits - 1));
    if insn.op0_kind() == OpKind::Register {
        let value = cpu.reg(insn.op0_register());
        cpu.flags = cpu.flags.with_cf(value & bit != 0);
        if let Some(change) = change {
            cpu.set_reg(insn.op0_register(), change(value, bit));
        }
        return Ok(());
    }
    let mut offset = cpu.effective_address(insn);
    if insn.op1_kind() == OpKind::Register {
        let units = super::flag::sign_extend(number, size) as i64 >> bits.trailing_zeros();
        offset = offset.wrapping_add(units.wrapping_mul(size as i64) as u64) & address_mask(insn);
    }
    let segment = seg_number(insn.memory_segment());
    let linear = cpu.linear(segment, offset, size, change.is_some())?;
    if change.is_some() {
        cpu.probe_write(linear, size, Mode::Data)?;
    }
    let value = cpu.read_linear(linear, size, Mode::Data)?;
    if let Some(change) = change {
        cpu.write_linear(linear, size, change(value, bit), Mode::Data)?;
    }
    cpu.flags = cpu.flags.with_cf(value & bit != 0);
    Ok(())
}

fn bit_scan<const REVERSE: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.read_operand(insn, 1)?;
    if value != 0 {
        let at = if REVERSE { 63 - value.leading_zeros() } else { value.trailing_zeros() };
        cpu.set_reg(insn.op0_register(), u64::from(at));
    }
    cpu.flags = cpu.flags.with(ZF, if value == 0 { ZF } else { 0 });
    Ok(())
}

fn set_count(cpu: &mut Cpu, insn: &Instruction, count: u32, all: bool) {
    use super::flag::CF;
    cpu.set_reg(insn.op0_register(), u64::from(count));
    let bits = if all { CF } else { 0 } | if count == 0 { ZF } else { 0 };
    cpu.flags = cpu.flags.with(CF | ZF, bits);
}

/// TZCNT; a processor without it ignores the prefix: BSF.
fn tzcnt(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if !cpu.features.has(Feature::Bmi1) {
        return bit_scan::<false>(cpu, insn);
    }
    let value = cpu.read_operand(insn, 1)?;
    let bits = 8 * cpu.operand_size(insn, 0) as u32;
    set_count(cpu, insn, value.trailing_zeros().min(bits), value == 0);
    Ok(())
}

/// LZCNT; a processor without it ignores the prefix: BSR.
fn lzcnt(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if !cpu.features.has(Feature::Lzcnt) {
        return bit_scan::<true>(cpu, insn);
    }
    let value = cpu.read_operand(insn, 1)?;
    let bits = 8 * cpu.operand_size(insn, 0) as u32;
    set_count(cpu, insn, value.leading_zeros() - (64 - bits), value == 0);
    Ok(())
}

fn popcnt(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Popcnt)?;
    let value = cpu.read_operand(insn, 1)?;
    cpu.set_reg(insn.op0_register(), u64::from(value.count_ones()));
    cpu.flags = Flags::from_bits(if value == 0 { ZF } else { 0 });
    Ok(())
}

/// BSWAP; of a 16-bit register, undefined by the manual, it makes zero.
fn bswap(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let register = insn.op0_register();
    let value = cpu.reg(register);
    let swapped = match register.size() {
        8 => value.swap_bytes(),
        4 => u64::from((value as u32).swap_bytes()),
        _ => 0,
    };
    cpu.set_reg(register, swapped);
    Ok(())
}

fn movbe(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Movbe)?;
    let size = cpu.operand_size(insn, 0);
    let value = cpu.read_operand(insn, 1)?;
    cpu.write_operand(insn, 0, value.swap_bytes() >> (64 - 8 * size))
}

/// CRC32: polynomial 0x11EDC6F41, bits reflected (SDM 2A, "CRC32").
fn crc32(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    cpu.need(Feature::Sse42)?;
    let size = cpu.operand_size(insn, 1);
    let data = cpu.read_operand(insn, 1)? & mask(size);
    let mut crc = cpu.reg(insn.op0_register()) as u32;
    for byte in &data.to_le_bytes()[..size.min(8)] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { POLYNOMIAL } else { 0 };
        }
    }
    cpu.set_reg(insn.op0_register(), u64::from(crc));
    Ok(())
}
