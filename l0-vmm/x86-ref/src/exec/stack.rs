//! PUSHA, POPA, ENTER, PUSHF, POPF, LAHF, SAHF.

use super::{Handler, feature::Feature};
use crate::{
    Cpu,
    cpu::{gpr, seg},
    exec::operand::mask,
    fault::Exec,
    flags::{ARITH, Flags},
    mem::Mode,
};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::cr::{
    IOPL, cr4,
    rflags::{AC, DF, ID, IF, NT, RF, TF, VIF, VIP, VM},
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Pusha => pusha::<2>,
        Mnemonic::Pushad => pusha::<4>,
        Mnemonic::Popa => popa::<2>,
        Mnemonic::Popad => popa::<4>,
        Mnemonic::Pushf => pushf::<2>,
        Mnemonic::Pushfd => pushf::<4>,
        Mnemonic::Pushfq => pushf::<8>,
        Mnemonic::Popf => popf::<2>,
        Mnemonic::Popfd => popf::<4>,
        Mnemonic::Popfq => popf::<8>,
        Mnemonic::Enter => enter,
        Mnemonic::Lahf => lahf,
        Mnemonic::Sahf => sahf,
        _ => return None,
    })
}

/// PUSHA, PUSHAD: everything is checked before anything is written.
fn pusha<const SIZE: usize>(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let stack = cpu.stack_mask();
    let old = cpu.r[gpr::RSP];
    let mut slots = [0; 8];
    for (n, slot) in slots.iter_mut().enumerate() {
        let offset = old.wrapping_sub(SIZE as u64 * (n as u64 + 1)) & stack;
        *slot = cpu.linear(seg::SS, offset, SIZE, true)?;
        cpu.probe_write(*slot, SIZE, Mode::Data)?;
    }
    for (n, slot) in slots.into_iter().enumerate() {
        cpu.write_linear(slot, SIZE, cpu.r[n] & mask(SIZE), Mode::Data)?;
    }
    cpu.set_rsp(old.wrapping_sub(8 * SIZE as u64));
    Ok(())
}

fn popa<const SIZE: usize>(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let stack = cpu.stack_mask();
    let old = cpu.r[gpr::RSP];
    let mut values = [0; 8];
    for (n, value) in values.iter_mut().enumerate() {
        *value = cpu.read_segment(seg::SS, old.wrapping_add(SIZE as u64 * n as u64) & stack, SIZE)?;
    }
    // The image's (E)SP is read and dropped.
    for (n, value) in values.into_iter().rev().enumerate() {
        if n != gpr::RSP {
            cpu.r[n] = if SIZE == 2 { cpu.r[n] & !0xffff | value } else { value };
        }
    }
    cpu.set_rsp(old.wrapping_add(8 * SIZE as u64));
    Ok(())
}

impl Cpu {
    /// PUSHF and POPF in virtual-8086 mode with IOPL below 3: whether the virtual interrupt flag stands in for IF, else #GP.
    fn virtual_if<const SIZE: usize>(&mut self) -> Exec<bool> {
        if self.sysflags & VM == 0 || self.iopl() == 3 {
            return Ok(false);
        }
        if self.cr4 & cr4::VME == 0 || SIZE != 2 { Err(self.gp(0)) } else { Ok(true) }
    }
}

fn pushf<const SIZE: usize>(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let mut image = cpu.rflags() & !(VM | RF);
    if cpu.virtual_if::<SIZE>()? {
        image = image & !IF | IOPL | if image & VIF != 0 { IF } else { 0 };
    }
    cpu.push(SIZE, image & mask(SIZE))
}

/// POPF, POPFD, POPFQ (SDM 2B, "POPF/POPFD/POPFQ", table "Effect of POPF/POPFD on the EFLAGS Register").
fn popf<const SIZE: usize>(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let stack_virtual = cpu.virtual_if::<SIZE>()?;
    let old_rsp = cpu.r[gpr::RSP];
    let image = cpu.pop(SIZE)?;
    let mut change = TF | DF | NT;
    let mut extra = 0;
    if SIZE > 2 {
        change |= AC | ID | RF;
    }
    if stack_virtual {
        if image & TF != 0 || image & IF != 0 && cpu.sysflags & VIP != 0 {
            cpu.r[gpr::RSP] = old_rsp;
            return Err(cpu.gp(0));
        }
        change |= VIF;
        extra = if image & IF != 0 { VIF } else { 0 };
    } else {
        if cpu.cpl == 0 {
            change |= IOPL;
        }
        if cpu.cpl <= cpu.iopl() {
            change |= IF;
        }
    }
    let image = image & !(RF | VIF) | extra;
    let all = change | ARITH;
    cpu.set_rflags(cpu.rflags() & !all | image & all);
    Ok(())
}

fn enter(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let frame = insn.immediate(0) & 0xffff;
    let level = insn.immediate(1) & 31;
    let size: usize = match insn.code() {
        iced_x86::Code::Enterw_imm16_imm8 => 2,
        iced_x86::Code::Enterd_imm16_imm8 => 4,
        _ => 8,
    };
    let step = size as u64;
    let stack = cpu.stack_mask();
    let old_rsp = cpu.r[gpr::RSP];
    let old_rbp = cpu.r[gpr::RBP];
    let mut rsp = old_rsp.wrapping_sub(step) & stack;
    cpu.write_segment(seg::SS, rsp, size, old_rbp)?;
    let frame_pointer = rsp;
    let mut rbp = old_rbp;
    for n in 1..=level {
        let value = if n < level {
            rbp = rbp.wrapping_sub(step) & stack;
            cpu.read_segment(seg::SS, rbp, size)?
        } else {
            frame_pointer
        };
        rsp = rsp.wrapping_sub(step) & stack;
        cpu.write_segment(seg::SS, rsp, size, value)?;
    }
    rsp = rsp.wrapping_sub(frame) & stack;
    // A write at the new stack pointer must be possible (SDM 2A, "ENTER").
    let linear = cpu.linear(seg::SS, rsp, size, true)?;
    cpu.probe_write(linear, size, Mode::Data)?;
    match size {
        2 => cpu.r[gpr::RBP] = old_rbp & !0xffff | frame_pointer & 0xffff,
        4 => cpu.r[gpr::RBP] = frame_pointer & 0xffff_ffff,
        _ => cpu.r[gpr::RBP] = frame_pointer,
    }
    cpu.set_rsp(rsp);
    Ok(())
}

/// SF, ZF, AF, PF, CF: what AH holds.
const IN_AH: u64 = ARITH & 0xff;

fn lahf(cpu: &mut Cpu, _: &Instruction) -> Exec {
    if cpu.long64() {
        cpu.need(Feature::LahfLm)?;
    }
    let ah = cpu.flags.bits() & IN_AH | 2;
    cpu.r[gpr::RAX] = cpu.r[gpr::RAX] & !0xff00 | ah << 8;
    Ok(())
}

fn sahf(cpu: &mut Cpu, _: &Instruction) -> Exec {
    if cpu.long64() {
        cpu.need(Feature::LahfLm)?;
    }
    let ah = cpu.r[gpr::RAX] >> 8;
    cpu.flags = Flags::from_bits(cpu.flags.bits() & !IN_AH | ah & IN_AH);
    Ok(())
}
