//! FNSTENV, FLDENV, FNSAVE, FRSTOR. SDM 1: "x87 FPU State Image in Memory", in its four formats.
//!
//! The selectors of the last instruction and operand are 0, as on processors that say that they are deprecated.

use super::{load::short_form, soft::F80};
use crate::{Cpu, exec::Handler, fault::Exec, mem::Mode};
use iced_x86::{Instruction, Mnemonic};

/// Bytes of the eight registers.
const REGISTERS: usize = 80;
/// Most bytes of an environment.
const LONGEST: usize = 28;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Fnstenv => fnstenv,
        Mnemonic::Fldenv => fldenv,
        Mnemonic::Fnsave => fnsave,
        Mnemonic::Frstor => frstor,
        _ => return None,
    })
}

impl Cpu {
    /// The tag word as the 8087 had it, two bits each.
    fn full_tags(&self) -> u16 {
        (0..8).fold(0, |tags, n| {
            let v = F80::from_bits(self.fpu.st[n]);
            let tag = match () {
                () if self.fpu.ftw >> n & 1 == 0 => 3,
                () if v.is_zero() => 1,
                () if v.exponent == 0 || v.exponent == 0x7fff || v.is_unsupported() => 2,
                () => 0,
            };
            tags | tag << (2 * n)
        })
    }

    /// The environment, in words of the format's size.
    fn environment(&self, short: bool) -> ([u8; LONGEST], usize) {
        let f = &self.fpu;
        let (fip, fdp, fop) = (f.fip as u32, f.fdp as u32, u32::from(f.fop));
        let (fcw, fsw, tags) = (u32::from(f.fcw), u32::from(f.fsw), u32::from(self.full_tags()));
        let protected = self.protected();
        let words = match (short, protected) {
            (true, true) => [fcw, fsw, tags, fip, 0, fdp, 0],
            (true, false) => [fcw, fsw, tags, fip, fip >> 4 & 0xf000 | fop, fdp, fdp >> 4 & 0xf000],
            (false, true) => [fcw, fsw, tags, fip, fop << 16, fdp, 0],
            (false, false) => {
                let high = |pointer: u32| pointer >> 16 << 12;
                [fcw, fsw, tags, fip & 0xffff, high(fip) | fop, fdp & 0xffff, high(fdp)]
            }
        };
        let mut bytes = [0; LONGEST];
        if short {
            for (to, word) in bytes.chunks_exact_mut(2).zip(words) {
                to.copy_from_slice(&(word as u16).to_le_bytes());
            }
            return (bytes, 14);
        }
        // The upper halves of what has 16 bits read as ones.
        let reserved: [u32; 7] = match protected {
            true => [!0xffff, !0xffff, !0xffff, 0, 0, 0, !0xffff],
            false => [!0xffff, !0xffff, !0xffff, !0xffff, 0, !0xffff, 0],
        };
        for ((to, word), reserved) in bytes.chunks_exact_mut(4).zip(words).zip(reserved) {
            to.copy_from_slice(&(word | reserved).to_le_bytes());
        }
        (bytes, LONGEST)
    }

    fn set_environment(&mut self, bytes: &[u8; LONGEST], short: bool) {
        let word = |n: usize| -> u32 {
            if short {
                u32::from(u16::from_le_bytes([bytes[2 * n], bytes[2 * n + 1]]))
            } else {
                u32::from_le_bytes([bytes[4 * n], bytes[4 * n + 1], bytes[4 * n + 2], bytes[4 * n + 3]])
            }
        };
        let (fip, fdp, fop) = match (short, self.protected()) {
            (true, true) => (word(3), word(5), u32::from(self.fpu.fop)),
            (true, false) => (word(3) | word(4) << 4 & 0xf_0000, word(5) | word(6) << 4 & 0xf_0000, word(4)),
            (false, true) => (word(3), word(5), word(4) >> 16),
            (false, false) => {
                let pointer = |low: u32, high: u32| low & 0xffff | high >> 12 << 16;
                (pointer(word(3), word(4)), pointer(word(5), word(6)), word(4))
            }
        };
        let tags = word(2);
        let f = &mut self.fpu;
        f.fcw = word(0) as u16 & 0x1f7f | 0x40;
        f.fsw = word(1) as u16;
        f.ftw = (0..8).fold(0, |set, n| if tags >> (2 * n) & 3 == 3 { set } else { set | 1 << n });
        (f.fip, f.fdp, f.fop) = (fip.into(), fdp.into(), fop as u16 & 0x7ff);
        f.summarise();
    }

    /// Reads an environment and, where there is room in `rest`, the registers.
    fn read_environment(&mut self, insn: &Instruction, rest: &mut [u8]) -> Exec<[u8; LONGEST]> {
        let len = if short_form(insn) { 14 } else { LONGEST };
        let (segment, offset) = self.memory_operand(insn, 0);
        let linear = self.linear(segment, offset, len + rest.len(), false)?;
        let mut bytes = [0; LONGEST];
        self.read_linear_bytes(linear, &mut bytes[..len], Mode::Data)?;
        if !rest.is_empty() {
            let behind = linear.wrapping_add(len as u64) & self.linear_mask;
            self.read_linear_bytes(behind, rest, Mode::Data)?;
        }
        Ok(bytes)
    }
}

/// FNSTENV masks all exceptions when it is done.
fn fnstenv(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87()?;
    let (bytes, len) = cpu.environment(short_form(insn));
    cpu.write_image_of(insn, &bytes[..len])?;
    cpu.fpu.fcw |= 0x3f;
    cpu.fpu.summarise();
    Ok(())
}

fn fldenv(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    let bytes = cpu.read_environment(insn, &mut [])?;
    cpu.set_environment(&bytes, short_form(insn));
    Ok(())
}

fn fnsave(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87()?;
    let (bytes, len) = cpu.environment(short_form(insn));
    let mut image = bytes[..len].to_vec();
    let top = usize::from(cpu.fpu.fsw >> 11 & 7);
    for n in 0..8 {
        image.extend(&cpu.fpu.st[(top + n) & 7].to_le_bytes()[..10]);
    }
    cpu.write_image_of(insn, &image)?;
    cpu.fpu.init_x87();
    Ok(())
}

fn frstor(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.x87_waiting()?;
    let mut registers = [0; REGISTERS];
    let bytes = cpu.read_environment(insn, &mut registers)?;
    cpu.set_environment(&bytes, short_form(insn));
    let top = usize::from(cpu.fpu.fsw >> 11 & 7);
    for (n, register) in registers.chunks_exact(10).enumerate() {
        let mut bits = [0; 16];
        bits[..10].copy_from_slice(register);
        cpu.fpu.st[(top + n) & 7] = u128::from_le_bytes(bits);
    }
    Ok(())
}
