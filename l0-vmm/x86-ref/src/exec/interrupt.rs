//! Software interrupts and the return from interrupts: INT n, INT3, INT1, INTO, IRET.

use super::{
    Handler,
    descriptor::{rights, rpl},
    far::{finish_return, return_stack, return_target, slot},
};
use crate::{
    Cpu, Segment,
    boundary::BLOCKING_NMI,
    cpu::{gpr, seg},
    event::{Event, EventKind},
    fault::{Exception, Exec, Halt, Why},
    mem::Mode,
    vmx::Intercept,
};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{
    cr::{self, cr4, rflags},
    vector,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Int => int,
        Mnemonic::Int3 => |cpu, insn| Err(software_exception(cpu, insn, vector::BP)),
        Mnemonic::Int1 => |cpu, insn| Err(software_exception(cpu, insn, vector::DB)),
        Mnemonic::Into => into,
        Mnemonic::Iret => |cpu, insn| iret(cpu, insn, 2),
        Mnemonic::Iretd => |cpu, insn| iret(cpu, insn, 4),
        Mnemonic::Iretq => |cpu, insn| iret(cpu, insn, 8),
        _ => return None,
    })
}

/// Source of a task switch. SDM 3C: "Exit Qualification for Task Switches".
const SOURCE_IRET: u8 = 1;
/// Offset in the TSS of the offset of the I/O permission bitmap, below which the interrupt redirection bitmap ends.
const TSS_IO_MAP: u64 = 0x66;
/// Bytes of the interrupt redirection bitmap.
const REDIRECTION_BYTES: u64 = 32;

fn software_exception(cpu: &mut Cpu, insn: &Instruction, vector: u8) -> Halt {
    cpu.stop(Why::Exception(Exception { vector, error: None, info: 0, software_len: insn.len() as u8 }))
}

fn into(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.flags.of() {
        return Err(software_exception(cpu, insn, vector::OF));
    }
    cpu.rip = cpu.behind(insn);
    cpu.step_branch = false;
    Ok(())
}

/// SDM 2: "INT n/INTO/INT3/INT1"; SDM 3B: "Software Interrupt Handling Methods While in Virtual-8086 Mode".
fn int(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let vector = insn.immediate8();
    if cpu.vm86() {
        if cpu.cr4 & cr4::VME != 0 && !redirected_to_protected_mode(cpu, vector)? {
            return Err(cpu.unsupported("interrupt redirection in virtual-8086 mode"));
        }
        if cpu.iopl() < 3 {
            return Err(cpu.gp(0));
        }
    }
    cpu.take(Event { vector, kind: EventKind::SoftwareInterrupt, error: None, len: insn.len() as u8 })?;
    // A VM exit on the way is not the end of this instruction.
    if cpu.why == Why::Switched { Err(Halt) } else { Ok(()) }
}

/// The bit of a vector in the software interrupt redirection bitmap.
fn redirected_to_protected_mode(cpu: &mut Cpu, vector: u8) -> Exec<bool> {
    let limit = u64::from(cpu.tr.limit);
    let linear = |base: u64, offset| base.wrapping_add(offset) & 0xffff_ffff;
    if TSS_IO_MAP + 1 > limit {
        return Err(cpu.gp(0));
    }
    let map = cpu.read_linear(linear(cpu.tr.base, TSS_IO_MAP), 2, Mode::System)?;
    let at = map.wrapping_sub(REDIRECTION_BYTES).wrapping_add(u64::from(vector / 8));
    if at > limit {
        return Err(cpu.gp(0));
    }
    let byte = cpu.read_linear(linear(cpu.tr.base, at), 1, Mode::System)?;
    Ok(byte >> (vector % 8) & 1 != 0)
}

/// SDM 2: "IRET/IRETD/IRETQ".
fn iret(cpu: &mut Cpu, insn: &Instruction, size: usize) -> Exec {
    if cpu.vm86() && cpu.iopl() < 3 {
        if cpu.cr4 & cr4::VME != 0 {
            return Err(cpu.unsupported("IRET in virtual-8086 mode with virtual interrupts"));
        }
        return Err(cpu.gp(0));
    }
    // SDM 3A: "Handling Multiple NMIs": even an IRET that faults unblocks NMIs.
    if cpu.blocking & BLOCKING_NMI != 0 && !cpu.vmx_iret_keeps_nmi_blocking() {
        cpu.blocking &= !BLOCKING_NMI;
        cpu.iret_unblocked_nmi = true;
        cpu.attention_changed();
    }
    if !cpu.protected() {
        iret_real(cpu, size)?;
    } else if cpu.sysflags & rflags::NT != 0 {
        if cpu.ia32e() {
            return Err(cpu.gp(0));
        }
        let selector = cpu.read_linear(cpu.tr.base & 0xffff_ffff, 2, Mode::System)? as u16;
        cpu.intercept(insn, Intercept::TaskSwitch { selector, source: SOURCE_IRET })?;
        return Err(cpu.unsupported("return from a nested task"));
    } else {
        iret_protected(cpu, size)?;
    }
    cpu.iret_unblocked_nmi = false;
    // RF as it was loaded holds for the next instruction.
    cpu.step_rf = false;
    Ok(())
}

/// Real mode, and virtual-8086 mode with IOPL 3.
fn iret_real(cpu: &mut Cpu, size: usize) -> Exec {
    let rip = slot(cpu, 0, size, 0)?;
    let selector = slot(cpu, 1, size, 0)? as u16;
    let popped = slot(cpu, 2, size, 0)?;
    if rip > u64::from(cpu.seg[seg::CS].limit) {
        return Err(cpu.gp(0));
    }
    let rsp = cpu.r[gpr::RSP].wrapping_add(3 * size as u64);
    cpu.set_rsp(rsp);
    cpu.seg[seg::CS] = cpu.real_segment(seg::CS, selector);
    cpu.rip = rip;
    let mut keep = rflags::VM | rflags::VIF | rflags::VIP;
    if size == 2 {
        keep |= !0xffff;
    }
    if cpu.vm86() {
        keep |= cr::IOPL;
    }
    let flags = cpu.rflags() & keep | popped & !keep;
    cpu.set_rflags(flags);
    cpu.mode_changed();
    Ok(())
}

fn iret_protected(cpu: &mut Cpu, size: usize) -> Exec {
    let rip = slot(cpu, 0, size, 0)?;
    let selector = slot(cpu, 1, size, 0)? as u16;
    let popped = slot(cpu, 2, size, 0)?;
    let long64 = cpu.long64();
    if size == 4 && popped & rflags::VM != 0 && cpu.cpl == 0 && !cpu.ia32e() {
        return iret_to_vm86(cpu, rip, selector, popped);
    }
    let to = return_target(cpu, selector, rip)?;
    let was = cpu.cpl;
    // 64-bit code always pops a stack pointer.
    if long64 || rpl(selector) != was {
        let rsp = slot(cpu, 3, size, 0)?;
        let ss = slot(cpu, 4, size, 0)? as u16;
        let ss = return_stack(cpu, &to, ss)?;
        finish_return(cpu, &to, Some((ss, rsp)), 0)?;
    } else {
        finish_return(cpu, &to, None, 3 * size as u64)?;
    }
    load_flags(cpu, popped, size, was);
    Ok(())
}

/// The flags that IRET loads, by operand size and the level that it comes from.
fn load_flags(cpu: &mut Cpu, popped: u64, size: usize, cpl: u8) {
    let mut load = cr::ARITHMETIC | rflags::TF | rflags::DF | rflags::NT;
    if size > 2 {
        load |= rflags::RF | rflags::AC | rflags::ID;
    }
    if cpl <= cpu.iopl() {
        load |= rflags::IF;
    }
    if cpl == 0 {
        load |= cr::IOPL;
        if size > 2 {
            load |= rflags::VIF | rflags::VIP;
        }
    }
    let flags = cpu.rflags() & !load | popped & load;
    let access_changed = (flags ^ cpu.sysflags) & rflags::AC != 0;
    cpu.set_rflags(flags);
    if access_changed {
        cpu.mode_changed();
    }
}

/// IRET from level 0 to virtual-8086 mode.
fn iret_to_vm86(cpu: &mut Cpu, rip: u64, selector: u16, popped: u64) -> Exec {
    let mut more = [0; 6];
    for (n, value) in (3..).zip(&mut more) {
        *value = slot(cpu, n, 4, 0)?;
    }
    let [rsp, ss, es, ds, fs, gs] = more;
    if rip > 0xffff {
        return Err(cpu.gp(0));
    }
    let segments = [
        (seg::CS, selector.into()),
        (seg::SS, ss),
        (seg::ES, es),
        (seg::DS, ds),
        (seg::FS, fs),
        (seg::GS, gs),
    ];
    for (register, value) in segments {
        let selector = value as u16;
        cpu.seg[register] =
            Segment { selector, base: u64::from(selector) << 4, limit: 0xffff, rights: rights::VM86 };
    }
    cpu.r[gpr::RSP] = rsp;
    cpu.cpl = 3;
    cpu.rip = rip;
    cpu.set_rflags(popped & 0xffff_ffff);
    cpu.mode_changed();
    Ok(())
}
