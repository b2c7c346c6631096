//! Descriptor-table registers and the task register: LGDT, LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR.

use super::{
    Handler,
    descriptor::{Descriptor, null, rights, selector_error, system},
    segment::address_after,
};
use crate::{Cpu, Segment, fault::Exec, mem::Mode, state::DescTable, vmx::Intercept};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};
use x86_spec::cr::cr4;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Lgdt => |cpu, insn| {
            let table = load(cpu, insn)?;
            cpu.gdtr = table;
            Ok(())
        },
        Mnemonic::Lidt => |cpu, insn| {
            let table = load(cpu, insn)?;
            cpu.idtr = table;
            Ok(())
        },
        Mnemonic::Sgdt => |cpu, insn| store(cpu, insn, cpu.gdtr),
        Mnemonic::Sidt => |cpu, insn| store(cpu, insn, cpu.idtr),
        Mnemonic::Lldt => lldt,
        Mnemonic::Ltr => ltr,
        Mnemonic::Sldt => |cpu, insn| store_selector(cpu, insn, cpu.ldtr),
        Mnemonic::Str => |cpu, insn| store_selector(cpu, insn, cpu.tr),
        _ => return None,
    })
}

/// Size of the base in a memory operand.
fn base_size(cpu: &Cpu) -> usize {
    if cpu.long64() { 8 } else { 4 }
}

fn load(cpu: &mut Cpu, insn: &Instruction) -> Exec<DescTable> {
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::DescriptorTable)?;
    let (segment, at) = cpu.memory_operand(insn, 0);
    let size = base_size(cpu);
    let limit = cpu.read_segment(segment, at, 2)? as u16;
    let base = cpu.read_segment(segment, address_after(cpu, insn, at, 2), size)?;
    let short = matches!(insn.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16);
    let base = if short { base & 0xff_ffff } else { base };
    if !cpu.canonical(base) {
        return Err(cpu.gp(0));
    }
    Ok(DescTable { base, limit })
}

/// #GP(0) where user-mode instruction prevention forbids the instruction.
fn umip(cpu: &mut Cpu) -> Exec {
    if cpu.cpl > 0 && cpu.cr4 & cr4::UMIP != 0 { Err(cpu.gp(0)) } else { Ok(()) }
}

fn store(cpu: &mut Cpu, insn: &Instruction, table: DescTable) -> Exec {
    umip(cpu)?;
    cpu.intercept(insn, Intercept::DescriptorTable)?;
    let (segment, at) = cpu.memory_operand(insn, 0);
    let size = base_size(cpu);
    let after = address_after(cpu, insn, at, 2);
    let linear = cpu.linear(segment, after, size, true)?;
    cpu.probe_write(linear, size, Mode::Data)?;
    cpu.write_segment(segment, at, 2, u64::from(table.limit))?;
    cpu.write_segment(segment, after, size, table.base)
}

fn store_selector(cpu: &mut Cpu, insn: &Instruction, register: Segment) -> Exec {
    if !cpu.protected() {
        return Err(cpu.ud());
    }
    umip(cpu)?;
    cpu.intercept(insn, Intercept::DescriptorTable)?;
    cpu.write_operand(insn, 0, u64::from(register.selector))
}

/// The system descriptor in the GDT for LLDT or LTR, with the upper half of its base.
fn system_segment(cpu: &mut Cpu, selector: u16, kinds: &[u32]) -> Exec<(Descriptor, Segment)> {
    let error = selector_error(selector);
    let found = if selector & 4 == 0 { cpu.descriptor(selector)? } else { None };
    let Some(d) = found else {
        return Err(cpu.gp(error));
    };
    if !d.system() || !kinds.contains(&d.kind()) {
        return Err(cpu.gp(error));
    }
    let high = if cpu.ia32e() {
        match cpu.descriptor_high(selector)? {
            Some(high) if high >> 40 & 0x1f == 0 => high << 32,
            _ => return Err(cpu.gp(error)),
        }
    } else {
        0
    };
    if !d.present() {
        return Err(cpu.np(error));
    }
    let segment = d.segment(selector);
    let base = segment.base | high;
    if !cpu.canonical(base) {
        return Err(cpu.gp(error));
    }
    Ok((d, Segment { base, ..segment }))
}

/// The selector operand of LLDT and LTR, after what they have in common.
fn selector(cpu: &mut Cpu, insn: &Instruction) -> Exec<u16> {
    if !cpu.protected() {
        return Err(cpu.ud());
    }
    cpu.need_cpl0()?;
    cpu.intercept(insn, Intercept::DescriptorTable)?;
    if insn.op0_kind() == OpKind::Register {
        return Ok(cpu.reg(insn.op0_register()) as u16);
    }
    Ok(cpu.read_operand(insn, 0)? as u16)
}

fn lldt(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let selector = selector(cpu, insn)?;
    cpu.ldtr = if null(selector) {
        Segment::null(selector, 0)
    } else {
        system_segment(cpu, selector, &[system::LDT])?.1
    };
    Ok(())
}

fn ltr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let selector = selector(cpu, insn)?;
    if null(selector) {
        return Err(cpu.gp(0));
    }
    let kinds: &[u32] = if cpu.ia32e() { &[system::TSS] } else { &[system::TSS, system::TSS16] };
    let (d, segment) = system_segment(cpu, selector, kinds)?;
    let busy = d.rights() & 0xff | system::TSS16_BUSY & !system::TSS16;
    cpu.write_linear(d.at.wrapping_add(5), 1, u64::from(busy), Mode::System)?;
    cpu.tr = Segment { rights: segment.rights | busy & 0xf & !rights::UNUSABLE, ..segment };
    Ok(())
}

#[cfg(test)]
mod tests;
