//! MUL, IMUL with one operand, DIV, IDIV.

use super::{Handler, flag::sign_extend};
use crate::{Cpu, cpu::gpr, exec::operand::mask, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Mul => multiply::<false>,
        Mnemonic::Imul => match insn.op_count() {
            1 => multiply::<true>,
            _ => imul,
        },
        Mnemonic::Div => div,
        Mnemonic::Idiv => idiv,
        _ => return None,
    })
}

impl Cpu {
    /// Writes a double-width result: AX for bytes, else xDX:xAX.
    fn set_pair(&mut self, size: usize, low: u64, high: u64) {
        match size {
            1 => self.r[gpr::RAX] = self.r[gpr::RAX] & !0xffff | (high & 0xff) << 8 | low & 0xff,
            2 => {
                self.r[gpr::RAX] = self.r[gpr::RAX] & !0xffff | low & 0xffff;
                self.r[gpr::RDX] = self.r[gpr::RDX] & !0xffff | high & 0xffff;
            }
            _ => {
                self.r[gpr::RAX] = low & mask(size);
                self.r[gpr::RDX] = high & mask(size);
            }
        }
    }

    /// The double-width dividend: AX for bytes, else xDX:xAX.
    fn pair(&self, size: usize) -> u128 {
        if size == 1 {
            return u128::from(self.r[gpr::RAX] & 0xffff);
        }
        let half = |n: usize| u128::from(self.r[n] & mask(size));
        half(gpr::RDX) << (8 * size) | half(gpr::RAX)
    }
}

fn multiply<const SIGNED: bool>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let source = cpu.read_operand(insn, 0)?;
    let with = cpu.r[gpr::RAX] & mask(size);
    let (low, high, carry);
    if SIGNED {
        let product =
            i128::from(sign_extend(source, size) as i64) * i128::from(sign_extend(with, size) as i64);
        (low, high) = (product as u64, (product >> (8 * size)) as u64);
        carry = i128::from(sign_extend(low, size) as i64) != product;
    } else {
        let product = u128::from(source) * u128::from(with);
        (low, high) = (product as u64, (product >> (8 * size)) as u64);
        carry = high & mask(size) != 0;
    }
    cpu.set_pair(size, low, high);
    cpu.flags = Flags::of_result(low, size, carry, carry, false);
    Ok(())
}

/// IMUL with two or three operands, for forms that the hot path does not take.
fn imul(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let a = cpu.read_operand(insn, insn.op_count() - 2)?;
    let b = cpu.read_operand(insn, insn.op_count() - 1)?;
    let product = i128::from(sign_extend(a, size) as i64) * i128::from(sign_extend(b, size) as i64);
    let low = product as u64;
    let carry = i128::from(sign_extend(low, size) as i64) != product;
    cpu.set_reg(insn.op0_register(), low);
    cpu.flags = Flags::of_result(low, size, carry, carry, false);
    Ok(())
}

fn div(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let by = u128::from(cpu.read_operand(insn, 0)?);
    let dividend = cpu.pair(size);
    if by == 0 || dividend / by > u128::from(mask(size)) {
        return Err(cpu.de());
    }
    cpu.set_pair(size, (dividend / by) as u64, (dividend % by) as u64);
    Ok(())
}

fn idiv(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let by = i128::from(sign_extend(cpu.read_operand(insn, 0)?, size) as i64);
    let unused = 128 - 16 * size as u32;
    let dividend = (cpu.pair(size) << unused) as i128 >> unused;
    let (Some(quotient), Some(rest)) = (dividend.checked_div(by), dividend.checked_rem(by)) else {
        return Err(cpu.de());
    };
    if i128::from(sign_extend(quotient as u64, size) as i64) != quotient {
        return Err(cpu.de());
    }
    cpu.set_pair(size, quotient as u64, rest as u64);
    Ok(())
}
