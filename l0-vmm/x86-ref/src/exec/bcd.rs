//! Decimal arithmetic: AAA, AAD, AAM, AAS, DAA, DAS; and SALC.
//!
//! None of them exists in 64-bit mode: there the decoder makes them invalid.

use super::{
    Handler,
    flag::{AF, CF, OF},
};
use crate::{Cpu, cpu::gpr, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Aaa => ascii_adjust::<true>,
        Mnemonic::Aas => ascii_adjust::<false>,
        Mnemonic::Aad => aad,
        Mnemonic::Aam => aam,
        Mnemonic::Daa => decimal_adjust::<true>,
        Mnemonic::Das => decimal_adjust::<false>,
        Mnemonic::Salc => salc,
        _ => return None,
    })
}

fn set_ax(cpu: &mut Cpu, value: u64) {
    cpu.r[gpr::RAX] = cpu.r[gpr::RAX] & !0xffff | value & 0xffff;
}

fn set_al(cpu: &mut Cpu, value: u64) {
    cpu.r[gpr::RAX] = cpu.r[gpr::RAX] & !0xff | value & 0xff;
}

/// AAA and AAS. Both work on AX as a whole (SDM 2A, "AAA", "AAS").
fn ascii_adjust<const ADD: bool>(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let ax = cpu.r[gpr::RAX] & 0xffff;
    let adjust = ax & 0xf > 9 || cpu.flags.af();
    let ax = match (adjust, ADD) {
        (false, _) => ax,
        (true, true) => ax.wrapping_add(0x106),
        (true, false) => ax.wrapping_sub(0x106),
    };
    set_ax(cpu, ax & 0xff0f);
    cpu.flags = cpu.flags.with(CF | AF | OF, if adjust { CF | AF } else { 0 });
    Ok(())
}

fn aad(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let ax = cpu.r[gpr::RAX] & 0xffff;
    let al = (ax & 0xff).wrapping_add((ax >> 8).wrapping_mul(insn.immediate(0) & 0xff)) & 0xff;
    set_ax(cpu, al);
    cpu.flags = Flags::of_result(al, 1, false, false, false);
    Ok(())
}

fn aam(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let by = insn.immediate(0) & 0xff;
    if by == 0 {
        return Err(cpu.de());
    }
    let al = cpu.r[gpr::RAX] & 0xff;
    set_ax(cpu, ((al / by) << 8) | (al % by));
    cpu.flags = Flags::of_result(al % by, 1, false, false, false);
    Ok(())
}

/// DAA and DAS.
fn decimal_adjust<const ADD: bool>(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let old = cpu.r[gpr::RAX] & 0xff;
    let old_cf = cpu.flags.cf();
    let step = |al: u64, by: u64| if ADD { al.wrapping_add(by) } else { al.wrapping_sub(by) };
    let (mut al, mut cf) = (old, false);
    let af = old & 0xf > 9 || cpu.flags.af();
    if af {
        al = step(al, 6);
        cf = old_cf || al > 0xff;
    }
    if old > 0x99 || old_cf {
        al = step(al, 0x60);
        cf = true;
    }
    set_al(cpu, al);
    cpu.flags = Flags::of_result(al & 0xff, 1, cf, false, af);
    Ok(())
}

/// SALC (not documented by Intel, on all its processors): AL becomes all ones or zeros by CF.
fn salc(cpu: &mut Cpu, _: &Instruction) -> Exec {
    let al = if cpu.flags.cf() { 0xff } else { 0 };
    set_al(cpu, al);
    Ok(())
}
