//! Far transfers: JMP, CALL and RET between segments, call gates.

use super::{
    Handler,
    descriptor::{Descriptor, null, rights, rpl, selector_error, system},
    segment::address_after,
};
use crate::{
    Cpu, Segment,
    cpu::{gpr, seg},
    fault::Exec,
    mem::Mode,
    vmx::Intercept,
};
use iced_x86::{Code, Instruction, Mnemonic};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Jmp if insn.is_jmp_far() || insn.is_jmp_far_indirect() => jmp,
        Mnemonic::Call if insn.is_call_far() || insn.is_call_far_indirect() => call,
        Mnemonic::Retf => retf,
        _ => return None,
    })
}

/// Source of a task switch. SDM 3C: "Exit Qualification for Task Switches".
const SOURCE_CALL: u8 = 0;
const SOURCE_JMP: u8 = 2;

/// A far pointer and the operand size in bytes.
struct Pointer {
    selector: u16,
    offset: u64,
    size: usize,
}

fn pointer(cpu: &mut Cpu, insn: &Instruction) -> Exec<Pointer> {
    let direct = |selector, offset, size| Pointer { selector, offset, size };
    let size = match insn.code() {
        Code::Jmp_ptr1616 | Code::Call_ptr1616 => {
            return Ok(direct(insn.far_branch_selector(), u64::from(insn.far_branch16()), 2));
        }
        Code::Jmp_ptr1632 | Code::Call_ptr1632 => {
            return Ok(direct(insn.far_branch_selector(), u64::from(insn.far_branch32()), 4));
        }
        Code::Jmp_m1616 | Code::Call_m1616 => 2,
        Code::Jmp_m1632 | Code::Call_m1632 => 4,
        _ => 8,
    };
    let (segment, at) = cpu.memory_operand(insn, 0);
    let offset = cpu.read_segment(segment, at, size)?;
    let selector = cpu.read_segment(segment, address_after(cpu, insn, at, size), 2)? as u16;
    Ok(Pointer { selector, offset, size })
}

fn jmp(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let to = pointer(cpu, insn)?;
    if !cpu.protected() {
        return far_real(cpu, insn, &to, false);
    }
    let d = named(cpu, to.selector)?;
    if d.code() {
        return jump_to_code(cpu, d, &to);
    }
    let Gate { target, selector, offset, .. } = gate(cpu, insn, d, to.selector, SOURCE_JMP)?;
    // JMP through a gate stays at its privilege level.
    if !target.conforming() && target.dpl() != cpu.cpl {
        return Err(cpu.gp(selector_error(selector)));
    }
    present_code(cpu, target, selector)?;
    if !cpu.target_ok(target, offset) {
        return Err(cpu.gp(0));
    }
    go(cpu, target, selector, offset)
}

fn call(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let to = pointer(cpu, insn)?;
    if !cpu.protected() {
        return far_real(cpu, insn, &to, true);
    }
    let d = named(cpu, to.selector)?;
    if d.code() {
        check_code(cpu, d, to.selector)?;
        let offset = if to.size == 2 { to.offset & 0xffff } else { to.offset };
        let frame = [u64::from(cpu.seg[seg::CS].selector), insn.next_ip()];
        let rsp = push_return(cpu, to.size, &frame, cpu.is_code64(d))?;
        if !cpu.target_ok(d, offset) {
            return Err(cpu.gp(0));
        }
        go(cpu, d, to.selector, offset)?;
        cpu.r[gpr::RSP] = rsp;
        return Ok(());
    }
    let gate = gate(cpu, insn, d, to.selector, SOURCE_CALL)?;
    present_code(cpu, gate.target, gate.selector)?;
    if gate.target.conforming() || gate.target.dpl() == cpu.cpl {
        let frame = [u64::from(cpu.seg[seg::CS].selector), insn.next_ip()];
        let rsp = push_return(cpu, gate.size, &frame, cpu.is_code64(gate.target))?;
        if !cpu.target_ok(gate.target, gate.offset) {
            return Err(cpu.gp(0));
        }
        go(cpu, gate.target, gate.selector, gate.offset)?;
        cpu.r[gpr::RSP] = rsp;
        return Ok(());
    }
    call_inner(cpu, insn, &gate)
}

/// CALL through a gate to a more privileged level. SDM 2: "CALL", MORE-PRIVILEGE.
fn call_inner(cpu: &mut Cpu, insn: &Instruction, gate: &Gate) -> Exec {
    let cpl = gate.target.dpl();
    let outer = [u64::from(cpu.seg[seg::SS].selector), cpu.r[gpr::RSP]];
    let back = [u64::from(cpu.seg[seg::CS].selector), insn.next_ip()];
    if cpu.ia32e() {
        let rsp = cpu.tss_rsp(4 + 8 * u64::from(cpl), 0)?;
        if !cpu.canonical(gate.offset) {
            return Err(cpu.gp(0));
        }
        let rsp = cpu.push_frame64(rsp, &[outer[0], outer[1], back[0], back[1]], true, 0)?;
        cpu.mark_accessed(gate.target)?;
        cpu.seg[seg::SS] = Segment::null(u16::from(cpl), cpl);
        cpu.r[gpr::RSP] = rsp;
    } else {
        let (selector, rsp) = cpu.tss_stack(cpl, 0)?;
        let ss = cpu.inner_stack_segment(selector, cpl, 0)?;
        let mut frame = outer.to_vec();
        // The parameters keep their order: the last one pushed, at the top, is pushed last again.
        for n in (0..gate.parameters).rev() {
            let at = cpu.r[gpr::RSP].wrapping_add((n * gate.size) as u64) & cpu.stack_mask();
            frame.push(cpu.read_segment(seg::SS, at, gate.size)?);
        }
        frame.extend(back);
        if gate.offset > u64::from(gate.target.limit()) {
            return Err(cpu.gp(0));
        }
        let rsp = cpu.push_frame(&ss, rsp, gate.size as u64, &frame, true, selector_error(ss.selector))?;
        cpu.mark_accessed(gate.target)?;
        cpu.seg[seg::SS] = ss;
        cpu.set_stack_pointer(&ss, rsp);
    }
    let cs = cpu.code_segment(gate.target, gate.selector, cpl);
    cpu.set_cs(cs, cpl);
    cpu.rip = gate.offset;
    cpu.mode_changed();
    Ok(())
}

/// JMP and CALL in real mode and virtual-8086 mode.
fn far_real(cpu: &mut Cpu, insn: &Instruction, to: &Pointer, call: bool) -> Exec {
    if to.offset > u64::from(cpu.seg[seg::CS].limit) {
        return Err(cpu.gp(0));
    }
    if call {
        let frame = [u64::from(cpu.seg[seg::CS].selector), insn.next_ip()];
        let rsp = push_return(cpu, to.size, &frame, false)?;
        cpu.r[gpr::RSP] = rsp;
    }
    cpu.seg[seg::CS] = cpu.real_segment(seg::CS, to.selector);
    cpu.rip = to.offset;
    cpu.mode_changed();
    Ok(())
}

/// Pushes a return address without moving RSP: its new value.
fn push_return(cpu: &mut Cpu, size: usize, frame: &[u64; 2], target64: bool) -> Exec<u64> {
    let old = cpu.r[gpr::RSP];
    // Into 64-bit code the stack is not segmented any more. SDM 2: "CALL".
    if target64 && !cpu.long64() {
        return cpu.push_frame64(old, frame, false, 0);
    }
    let pushed = cpu.push(size, frame[0]).and_then(|()| cpu.push(size, frame[1]));
    let new = std::mem::replace(&mut cpu.r[gpr::RSP], old);
    pushed.map(|()| new)
}

/// The descriptor of a far target.
fn named(cpu: &mut Cpu, selector: u16) -> Exec<Descriptor> {
    if null(selector) {
        return Err(cpu.gp(0));
    }
    match cpu.descriptor(selector)? {
        Some(d) => Ok(d),
        None => Err(cpu.gp(selector_error(selector))),
    }
}

/// The rules for a direct transfer to a code segment.
fn check_code(cpu: &mut Cpu, d: Descriptor, selector: u16) -> Exec {
    let error = selector_error(selector);
    let allowed =
        if d.conforming() { d.dpl() <= cpu.cpl } else { rpl(selector) <= cpu.cpl && d.dpl() == cpu.cpl };
    if !allowed || cpu.bad_code_size(d) {
        return Err(cpu.gp(error));
    }
    if !d.present() {
        return Err(cpu.np(error));
    }
    Ok(())
}

fn jump_to_code(cpu: &mut Cpu, d: Descriptor, to: &Pointer) -> Exec {
    check_code(cpu, d, to.selector)?;
    if !cpu.target_ok(d, to.offset) {
        return Err(cpu.gp(0));
    }
    go(cpu, d, to.selector, to.offset)
}

/// Goes to code at the current privilege level.
fn go(cpu: &mut Cpu, d: Descriptor, selector: u16, offset: u64) -> Exec {
    cpu.mark_accessed(d)?;
    let cpl = cpu.cpl;
    let cs = cpu.code_segment(d, selector, cpl);
    cpu.set_cs(cs, cpl);
    cpu.rip = offset;
    cpu.mode_changed();
    Ok(())
}

/// A call gate, opened.
struct Gate {
    target: Descriptor,
    selector: u16,
    offset: u64,
    /// Size of what CALL pushes.
    size: usize,
    /// Parameters that CALL copies.
    parameters: usize,
}

/// What a system descriptor leads to: a call gate's target, with the checks of SDM 3A: "Accessing a Code Segment Through a
/// Call Gate"; task gates and TSSs exit or are not modelled.
fn gate(cpu: &mut Cpu, insn: &Instruction, d: Descriptor, named: u16, source: u8) -> Exec<Gate> {
    let error = selector_error(named);
    let known = d.system()
        && match d.kind() {
            system::CALL_GATE => true,
            system::CALL_GATE16 | system::TASK_GATE | system::TSS16 | system::TSS => !cpu.ia32e(),
            _ => false,
        };
    if !known || d.dpl() < cpu.cpl || d.dpl() < rpl(named) {
        return Err(cpu.gp(error));
    }
    if !d.present() {
        return Err(cpu.np(error));
    }
    if matches!(d.kind(), system::TASK_GATE | system::TSS16 | system::TSS) {
        let selector = if d.kind() == system::TASK_GATE { d.gate_selector() } else { named };
        cpu.intercept(insn, Intercept::TaskSwitch { selector, source })?;
        return Err(cpu.unsupported("task switch"));
    }
    let high = if cpu.ia32e() {
        match cpu.descriptor_high(named)? {
            // The type of the second half must be 0.
            Some(high) if high >> 40 & 0x1f == 0 => high,
            _ => return Err(cpu.gp(error)),
        }
    } else {
        0
    };
    let selector = d.gate_selector();
    if null(selector) {
        return Err(cpu.gp(0));
    }
    let Some(target) = cpu.descriptor(selector)? else {
        return Err(cpu.gp(selector_error(selector)));
    };
    let wrong_size = cpu.ia32e() && (!target.has(rights::L) || target.has(rights::DB));
    if !target.code() || target.dpl() > cpu.cpl || wrong_size {
        return Err(cpu.gp(selector_error(selector)));
    }
    let (offset, size) = match d.kind() {
        system::CALL_GATE16 => (d.gate_offset() & 0xffff, 2),
        _ if cpu.ia32e() => (d.gate_offset() | high << 32, 8),
        _ => (d.gate_offset(), 4),
    };
    Ok(Gate { target, selector, offset, size, parameters: (d.raw >> 32 & 0x1f) as usize })
}

fn present_code(cpu: &mut Cpu, target: Descriptor, selector: u16) -> Exec {
    if target.present() { Ok(()) } else { Err(cpu.np(selector_error(selector))) }
}

/// What a far return goes back to, checked.
pub(super) struct Return {
    cs: Descriptor,
    selector: u16,
    rip: u64,
}

/// The rules for the code segment of RET and IRET. SDM 2: "RET", "IRET".
pub(super) fn return_target(cpu: &mut Cpu, selector: u16, rip: u64) -> Exec<Return> {
    if null(selector) {
        return Err(cpu.gp(0));
    }
    let error = selector_error(selector);
    let Some(cs) = cpu.descriptor(selector)? else {
        return Err(cpu.gp(error));
    };
    let level = if cs.conforming() { cs.dpl() <= rpl(selector) } else { cs.dpl() == rpl(selector) };
    if !cs.code() || rpl(selector) < cpu.cpl || !level || cpu.bad_code_size(cs) {
        return Err(cpu.gp(error));
    }
    if !cs.present() {
        return Err(cpu.np(error));
    }
    Ok(Return { cs, selector, rip })
}

/// The stack segment that a return loads with this code segment.
pub(super) fn return_stack(cpu: &mut Cpu, to: &Return, selector: u16) -> Exec<Segment> {
    let cpl = rpl(to.selector);
    if null(selector) {
        // SDM 3A: "Stack Switching in IA-32e Mode".
        if cpu.is_code64(to.cs) && cpl != 3 && rpl(selector) == cpl {
            return Ok(Segment::null(selector, cpl));
        }
        return Err(cpu.gp(0));
    }
    let error = selector_error(selector);
    let Some(ss) = cpu.descriptor(selector)? else {
        return Err(cpu.gp(error));
    };
    if rpl(selector) != cpl || !ss.writable_data() || ss.dpl() != cpl {
        return Err(cpu.gp(error));
    }
    if !ss.present() {
        return Err(cpu.ss(error));
    }
    cpu.mark_accessed(ss)?;
    Ok(ss.segment(selector))
}

/// Completes a return: the new stack, if it has one, and RSP; CS, RIP; segments that are out of reach.
pub(super) fn finish_return(
    cpu: &mut Cpu,
    to: &Return,
    stack: Option<(Segment, u64)>,
    released: u64,
) -> Exec {
    if !cpu.target_ok(to.cs, to.rip) {
        return Err(cpu.gp(0));
    }
    cpu.mark_accessed(to.cs)?;
    let (was, cpl) = (cpu.cpl, rpl(to.selector));
    if let Some((ss, rsp)) = stack {
        cpu.seg[seg::SS] = ss;
        if cpu.is_code64(to.cs) {
            cpu.r[gpr::RSP] = rsp.wrapping_add(released);
        } else {
            cpu.set_stack_pointer(&ss, rsp.wrapping_add(released));
        }
    } else {
        let rsp = cpu.r[gpr::RSP].wrapping_add(released);
        cpu.set_rsp(rsp);
    }
    let cs = cpu.code_segment(to.cs, to.selector, cpl);
    cpu.set_cs(cs, cpl);
    cpu.rip = to.rip;
    if cpl > was {
        cpu.drop_inner_segments();
    }
    cpu.mode_changed();
    Ok(())
}

/// Reads slot `n` of the stack without popping it.
pub(super) fn slot(cpu: &mut Cpu, n: u64, size: usize, skip: u64) -> Exec<u64> {
    let at = cpu.r[gpr::RSP].wrapping_add(n * size as u64 + skip) & cpu.stack_mask();
    let linear = cpu.linear(seg::SS, at, size, false)?;
    cpu.read_linear(linear, size, Mode::Data)
}

fn retf(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = match insn.code() {
        Code::Retfw | Code::Retfw_imm16 => 2,
        Code::Retfd | Code::Retfd_imm16 => 4,
        _ => 8,
    };
    let release = if insn.op_count() == 0 { 0 } else { u64::from(insn.immediate16()) };
    let rip = slot(cpu, 0, size, 0)?;
    let selector = slot(cpu, 1, size, 0)? as u16;
    let popped = 2 * size as u64;
    if !cpu.protected() {
        if rip > u64::from(cpu.seg[seg::CS].limit) {
            return Err(cpu.gp(0));
        }
        let rsp = cpu.r[gpr::RSP].wrapping_add(popped + release);
        cpu.set_rsp(rsp);
        cpu.seg[seg::CS] = cpu.real_segment(seg::CS, selector);
        cpu.rip = rip;
        cpu.mode_changed();
        return Ok(());
    }
    let to = return_target(cpu, selector, rip)?;
    if rpl(selector) == cpu.cpl {
        return finish_return(cpu, &to, None, popped + release);
    }
    let rsp = slot(cpu, 2, size, release)?;
    let ss = slot(cpu, 3, size, release)? as u16;
    let ss = return_stack(cpu, &to, ss)?;
    finish_return(cpu, &to, Some((ss, rsp)), release)
}

#[cfg(test)]
mod tests;
