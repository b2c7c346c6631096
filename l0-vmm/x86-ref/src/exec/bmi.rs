//! BMI1, BMI2, ADX.

use super::{Handler, feature::Feature, flag};
use crate::{Cpu, cpu::gpr, exec::operand::mask, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Andn => andn,
        Mnemonic::Bextr => bextr,
        Mnemonic::Blsi => |cpu, insn| lowest(cpu, insn, |v| (v & v.wrapping_neg(), v != 0)),
        Mnemonic::Blsmsk => |cpu, insn| lowest(cpu, insn, |v| (v ^ v.wrapping_sub(1), v == 0)),
        Mnemonic::Blsr => |cpu, insn| lowest(cpu, insn, |v| (v & v.wrapping_sub(1), v == 0)),
        Mnemonic::Bzhi => bzhi,
        Mnemonic::Mulx => mulx,
        Mnemonic::Pdep => |cpu, insn| two(cpu, insn, pdep),
        Mnemonic::Pext => |cpu, insn| two(cpu, insn, pext),
        Mnemonic::Sarx => {
            |cpu, insn| shift(cpu, insn, |v, n, size| (flag::sign_extend(v, size) as i64 >> n) as u64)
        }
        Mnemonic::Shlx => |cpu, insn| shift(cpu, insn, |v, n, _| v << n),
        Mnemonic::Shrx => |cpu, insn| shift(cpu, insn, |v, n, _| v >> n),
        Mnemonic::Rorx => rorx,
        Mnemonic::Adcx => add_carry::<{ flag::CF }>,
        Mnemonic::Adox => add_carry::<{ flag::OF }>,
        _ => return None,
    })
}

impl Cpu {
    /// VEX-encoded instructions need protected mode and their feature.
    fn need_vex(&mut self, feature: Feature) -> Exec {
        if !self.protected() {
            return Err(self.ud());
        }
        self.need(feature)
    }
}

fn andn(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need_vex(Feature::Bmi1)?;
    let size = cpu.operand_size(insn, 0);
    let result = !cpu.read_operand(insn, 1)? & cpu.read_operand(insn, 2)?;
    cpu.set_reg(insn.op0_register(), result);
    set_zf_sf_cf(cpu, result, size, false);
    Ok(())
}

/// ZF and SF from the result, CF as given, the others 0.
fn set_zf_sf_cf(cpu: &mut Cpu, result: u64, size: usize, cf: bool) {
    cpu.flags = Flags::of_result(result, size, cf, false, false).with(flag::PF, 0);
}

fn bextr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need_vex(Feature::Bmi1)?;
    let size = cpu.operand_size(insn, 0);
    let value = cpu.read_operand(insn, 1)?;
    let control = cpu.read_operand(insn, 2)?;
    let (start, len) = (control as u32 & 0xff, (control >> 8) as u32 & 0xff);
    let shifted = value.checked_shr(start).unwrap_or(0);
    let result = if len < 64 { shifted & ((1 << len) - 1) } else { shifted };
    cpu.set_reg(insn.op0_register(), result);
    set_zf_sf_cf(cpu, result, size, false);
    Ok(())
}

fn lowest(cpu: &mut Cpu, insn: &Instruction, f: fn(u64) -> (u64, bool)) -> Exec {
    cpu.need_vex(Feature::Bmi1)?;
    let size = cpu.operand_size(insn, 0);
    let (result, cf) = f(cpu.read_operand(insn, 1)?);
    cpu.set_reg(insn.op0_register(), result);
    set_zf_sf_cf(cpu, result & mask(size), size, cf);
    Ok(())
}

fn bzhi(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need_vex(Feature::Bmi2)?;
    let size = cpu.operand_size(insn, 0);
    let value = cpu.read_operand(insn, 1)?;
    let from = cpu.read_operand(insn, 2)? & 0xff;
    let out = from >= 8 * size as u64;
    let result = if out { value } else { value & ((1 << from) - 1) };
    cpu.set_reg(insn.op0_register(), result);
    set_zf_sf_cf(cpu, result, size, out);
    Ok(())
}

/// MULX: the high half is written last.
fn mulx(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need_vex(Feature::Bmi2)?;
    let size = cpu.operand_size(insn, 0);
    let product = u128::from(cpu.read_operand(insn, 2)?) * u128::from(cpu.r[gpr::RDX] & mask(size));
    cpu.set_reg(insn.op1_register(), product as u64);
    cpu.set_reg(insn.op0_register(), (product >> (8 * size)) as u64);
    Ok(())
}

fn two(cpu: &mut Cpu, insn: &Instruction, f: fn(u64, u64) -> u64) -> Exec {
    cpu.need_vex(Feature::Bmi2)?;
    let result = f(cpu.read_operand(insn, 1)?, cpu.read_operand(insn, 2)?);
    cpu.set_reg(insn.op0_register(), result);
    Ok(())
}

fn pdep(mut value: u64, mut places: u64) -> u64 {
    let mut result = 0;
    while places != 0 {
        let place = places & places.wrapping_neg();
        if value & 1 != 0 {
            result |= place;
        }
        value >>= 1;
        places ^= place;
    }
    result
}

fn pext(value: u64, mut places: u64) -> u64 {
    let (mut result, mut to) = (0, 1u64);
    while places != 0 {
        let place = places & places.wrapping_neg();
        if value & place != 0 {
            result |= to;
        }
        to = to.wrapping_shl(1);
        places ^= place;
    }
    result
}

fn shift(cpu: &mut Cpu, insn: &Instruction, f: fn(u64, u32, usize) -> u64) -> Exec {
    cpu.need_vex(Feature::Bmi2)?;
    let size = cpu.operand_size(insn, 0);
    let value = cpu.read_operand(insn, 1)?;
    let count = cpu.read_operand(insn, 2)? as u32 & (8 * size as u32 - 1);
    cpu.set_reg(insn.op0_register(), f(value, count, size));
    Ok(())
}

fn rorx(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need_vex(Feature::Bmi2)?;
    let size = cpu.operand_size(insn, 0);
    let value = cpu.read_operand(insn, 1)?;
    let count = insn.immediate(2) as u32;
    let result =
        if size == 8 { value.rotate_right(count) } else { u64::from((value as u32).rotate_right(count)) };
    cpu.set_reg(insn.op0_register(), result);
    Ok(())
}

/// ADCX and ADOX: the carry goes in and out through one flag, the others stay.
fn add_carry<const FLAG: u64>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Adx)?;
    let size = cpu.operand_size(insn, 0);
    let carry = cpu.flags.bits() & FLAG != 0;
    let sum =
        u128::from(cpu.read_operand(insn, 0)?) + u128::from(cpu.read_operand(insn, 1)?) + u128::from(carry);
    cpu.set_reg(insn.op0_register(), sum as u64);
    cpu.flags = cpu.flags.with(FLAG, if sum >> (8 * size) != 0 { FLAG } else { 0 });
    Ok(())
}
