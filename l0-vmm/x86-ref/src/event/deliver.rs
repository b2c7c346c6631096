//! The way of an event through the interrupt vector table or the interrupt descriptor table, and onto the stack.

use super::{Event, EventKind};
use crate::{
    Cpu, Segment,
    boundary::{BLOCKING_NMI, SHADOWS},
    cpu::{Activity, gpr, seg},
    exec::descriptor::{Descriptor, SELECTOR_INDEX, null, rights, rpl, selector_error, system},
    fault::{Exec, Halt},
    mem::Mode,
    vmx::Intercept,
};
use iced_x86::Instruction;
use x86_spec::{
    cr::{cr0, rflags},
    vector,
};

/// Flag in an error code: the fault happened while something external to the program was delivered.
const EXT: u32 = 1;
/// Flag in an error code: the index is of the IDT.
const ERROR_IDT: u32 = 2;
/// Source of a task switch: task gate in the IDT. SDM 3C: "Exit Qualification for Task Switches".
const SOURCE_IDT_GATE: u8 = 3;

/// Where an event goes on.
struct Handler {
    cs: Segment,
    cpl: u8,
    rip: u64,
    /// Interrupt gate: IF is cleared.
    masks: bool,
}

impl Cpu {
    /// Delivers an event through the IDT (or the real-mode IVT). On an error [`Cpu::why`] is the fault that happened on the
    /// way, and the state is as before.
    pub(crate) fn deliver(&mut self, event: Event) -> Exec {
        if self.cr0 & cr0::PE == 0 {
            self.deliver_real(event)?;
        } else if self.ia32e() {
            self.deliver_long(event)?;
        } else {
            self.deliver_protected(event)?;
        }
        self.blocking &= !SHADOWS;
        if event.kind == EventKind::Nmi {
            self.blocking |= BLOCKING_NMI;
        }
        self.activity = Activity::Active;
        self.attention_changed();
        Ok(())
    }

    /// SDM 3B: "Interrupt and Exception Handling" in real-address mode.
    fn deliver_real(&mut self, event: Event) -> Exec {
        let at = u64::from(event.vector) * 4;
        if at + 3 > u64::from(self.idtr.limit) {
            return Err(self.gp(0));
        }
        let target = self.read_linear(self.idtr.base.wrapping_add(at) & 0xffff_ffff, 4, Mode::System)?;
        let frame = [self.rflags(), self.seg[seg::CS].selector.into(), self.return_rip(event)];
        let rsp = self.r[gpr::RSP];
        for value in frame {
            if let Err(Halt) = self.push(2, value) {
                self.r[gpr::RSP] = rsp;
                return Err(Halt);
            }
        }
        self.seg[seg::CS] = self.real_segment(seg::CS, (target >> 16) as u16);
        self.rip = target & 0xffff;
        self.sysflags &= !(rflags::IF | rflags::TF | rflags::AC | rflags::RF);
        self.mode_changed();
        Ok(())
    }

    /// SDM 3A: "Exception- or Interrupt-Handler Procedures"; SDM 2: "INT n/INTO/INT3/INT1".
    fn deliver_protected(&mut self, event: Event) -> Exec {
        let ext = self.ext(event);
        let at = u64::from(event.vector) * 8;
        let error = at as u32 | ERROR_IDT;
        if at + 7 > u64::from(self.idtr.limit) {
            return Err(self.gp(error | ext));
        }
        let linear = self.idtr.base.wrapping_add(at) & 0xffff_ffff;
        let gate = Descriptor { raw: self.read_linear(linear, 8, Mode::System)?, at: linear };
        let known = matches!(
            gate.kind(),
            system::TASK_GATE
                | system::INTERRUPT_GATE16
                | system::TRAP_GATE16
                | system::INTERRUPT_GATE
                | system::TRAP_GATE
        );
        if !gate.system() || !known {
            return Err(self.gp(error | ext));
        }
        if event.by_software() && gate.dpl() < self.cpl {
            return Err(self.gp(error));
        }
        if !gate.present() {
            return Err(self.np(error | ext));
        }
        if gate.kind() == system::TASK_GATE {
            let selector = gate.gate_selector();
            self.intercept(
                &Instruction::default(),
                Intercept::TaskSwitch { selector, source: SOURCE_IDT_GATE },
            )?;
            return Err(self.unsupported("task switch through a task gate of the IDT"));
        }
        let wide = gate.kind() & 8 != 0;
        let size = if wide { 4 } else { 2 };
        let rip = if wide { gate.gate_offset() } else { gate.gate_offset() & 0xffff };
        let (cs, cpl) = self.handler_segment(gate.gate_selector(), ext)?;
        let handler = Handler {
            cs: self.code_segment(cs, gate.gate_selector(), cpl),
            cpl,
            rip,
            masks: gate.kind() & 1 == 0,
        };

        let mut frame = Vec::with_capacity(10);
        let vm86 = self.vm86();
        if vm86 {
            frame.extend([seg::GS, seg::FS, seg::DS, seg::ES].map(|s| u64::from(self.seg[s].selector)));
        }
        let inner = cpl < self.cpl;
        let (ss, rsp) = if inner {
            let (selector, rsp) = self.tss_stack(cpl, ext)?;
            let ss = self.inner_stack_segment(selector, cpl, ext)?;
            frame.extend([self.seg[seg::SS].selector.into(), self.r[gpr::RSP]]);
            (ss, rsp)
        } else {
            (self.seg[seg::SS], self.r[gpr::RSP])
        };
        frame.extend([self.saved_flags(event), self.seg[seg::CS].selector.into(), self.return_rip(event)]);
        frame.extend(event.error.map(u64::from));

        if rip > u64::from(handler.cs.limit) {
            return Err(self.gp(ext));
        }
        let error = if inner { selector_error(ss.selector) | ext } else { ext };
        let rsp = self.push_frame(&ss, rsp, size, &frame, inner, error)?;
        self.mark_accessed(cs)?;
        if vm86 {
            for s in [seg::GS, seg::FS, seg::DS, seg::ES] {
                self.seg[s] = Segment::null(0, 0);
            }
        }
        self.seg[seg::SS] = ss;
        self.set_stack_pointer(&ss, rsp);
        self.enter(handler);
        Ok(())
    }

    /// SDM 3A: "Exception and Interrupt Handling in 64-bit Mode".
    fn deliver_long(&mut self, event: Event) -> Exec {
        let ext = self.ext(event);
        let at = u64::from(event.vector) * 16;
        let error = u32::from(event.vector) << 3 | ERROR_IDT;
        if at + 15 > u64::from(self.idtr.limit) {
            return Err(self.gp(error | ext));
        }
        let linear = self.idtr.base.wrapping_add(at);
        let gate = Descriptor { raw: self.read_linear(linear, 8, Mode::System)?, at: linear };
        let high = self.read_linear(linear.wrapping_add(8), 8, Mode::System)?;
        if !gate.system() || !matches!(gate.kind(), system::INTERRUPT_GATE | system::TRAP_GATE) {
            return Err(self.gp(error | ext));
        }
        if event.by_software() && gate.dpl() < self.cpl {
            return Err(self.gp(error));
        }
        if !gate.present() {
            return Err(self.np(error | ext));
        }
        let selector = gate.gate_selector();
        let (cs, cpl) = self.handler_segment(selector, ext)?;
        if !cs.has(rights::L) || cs.has(rights::DB) {
            return Err(self.gp(selector_error(selector) | ext));
        }
        let rip = gate.gate_offset() | high << 32;
        let inner = cpl < self.cpl;
        let ist = gate.raw >> 32 & 7;
        let rsp = match ist {
            0 if inner => self.tss_rsp(4 + 8 * u64::from(cpl), ext)?,
            0 => self.r[gpr::RSP],
            n => self.tss_rsp(0x24 + 8 * (n - 1), ext)?,
        };
        if !self.canonical(rip) {
            return Err(self.gp(ext));
        }
        let mut frame = Vec::with_capacity(6);
        frame.extend([
            self.seg[seg::SS].selector.into(),
            self.r[gpr::RSP],
            self.saved_flags(event),
            self.seg[seg::CS].selector.into(),
            self.return_rip(event),
        ]);
        frame.extend(event.error.map(u64::from));
        let rsp = self.push_frame64(rsp & !0xf, &frame, inner, ext)?;
        self.mark_accessed(cs)?;
        if inner {
            self.seg[seg::SS] = Segment::null(u16::from(cpl), cpl);
        }
        self.r[gpr::RSP] = rsp;
        let cs = self.code_segment(cs, selector, cpl);
        self.enter(Handler { cs, cpl, rip, masks: gate.kind() & 1 == 0 });
        Ok(())
    }

    /// The last steps, which cannot fail.
    fn enter(&mut self, handler: Handler) {
        self.set_cs(handler.cs, handler.cpl);
        self.rip = handler.rip;
        self.sysflags &= !(rflags::TF | rflags::NT | rflags::RF | rflags::VM);
        if handler.masks {
            self.sysflags &= !rflags::IF;
        }
        self.mode_changed();
    }

    /// The code segment of a gate, and the privilege level that the handler runs at.
    fn handler_segment(&mut self, selector: u16, ext: u32) -> Exec<(Descriptor, u8)> {
        if null(selector) {
            return Err(self.gp(ext));
        }
        let error = selector_error(selector) | ext;
        let Some(cs) = self.descriptor(selector)? else {
            return Err(self.gp(error));
        };
        if !cs.code() || cs.dpl() > self.cpl {
            return Err(self.gp(error));
        }
        if !cs.present() {
            return Err(self.np(error));
        }
        // Out of virtual-8086 mode the way is to level 0 only.
        if self.vm86() && (cs.conforming() || cs.dpl() != 0) {
            return Err(self.gp(error));
        }
        Ok((cs, if cs.conforming() { self.cpl } else { cs.dpl() }))
    }

    /// The stack that a 16-bit or 32-bit TSS gives for a privilege level: SS and ESP.
    pub(crate) fn tss_stack(&mut self, cpl: u8, ext: u32) -> Exec<(u16, u64)> {
        let wide = matches!(self.tr.rights & 0xf, system::TSS | system::TSS_BUSY);
        let (at, size) = if wide { (4 + 8 * u64::from(cpl), 4) } else { (2 + 4 * u64::from(cpl), 2) };
        if at + size + 1 > u64::from(self.tr.limit) {
            return Err(self.ts(selector_error(self.tr.selector) | ext));
        }
        let linear = |base: u64, offset| base.wrapping_add(offset) & 0xffff_ffff;
        let rsp = self.read_linear(linear(self.tr.base, at), size as usize, Mode::System)?;
        let ss = self.read_linear(linear(self.tr.base, at + size), 2, Mode::System)?;
        Ok((ss as u16, rsp))
    }

    /// A stack pointer at that offset in the 64-bit TSS.
    pub(crate) fn tss_rsp(&mut self, at: u64, ext: u32) -> Exec<u64> {
        if at + 7 > u64::from(self.tr.limit) {
            return Err(self.ts(selector_error(self.tr.selector) | ext));
        }
        let rsp = self.read_linear(self.tr.base.wrapping_add(at), 8, Mode::System)?;
        if !self.canonical(rsp) {
            return Err(self.ss(ext));
        }
        Ok(rsp)
    }

    /// The stack segment of an inner privilege level, outside IA-32e mode.
    pub(crate) fn inner_stack_segment(&mut self, selector: u16, cpl: u8, ext: u32) -> Exec<Segment> {
        if null(selector) {
            return Err(self.ts(ext));
        }
        let error = selector_error(selector) | ext;
        let Some(ss) = self.descriptor(selector)? else {
            return Err(self.ts(error));
        };
        if rpl(selector) != cpl || ss.dpl() != cpl || !ss.writable_data() {
            return Err(self.ts(error));
        }
        if !ss.present() {
            return Err(self.ss(error));
        }
        self.mark_accessed(ss)?;
        Ok(ss.segment(selector & SELECTOR_INDEX | u16::from(cpl)))
    }

    /// Writes a frame downwards from `rsp` in a stack segment (not 64-bit); the new stack pointer. `inner`: the stack is that
    /// of a more privileged level. A limit violation is #SS(`error`).
    pub(crate) fn push_frame(
        &mut self,
        ss: &Segment,
        rsp: u64,
        size: u64,
        frame: &[u64],
        inner: bool,
        error: u32,
    ) -> Exec<u64> {
        let mask = if ss.rights & rights::DB != 0 { 0xffff_ffff } else { 0xffff };
        let mode = self.stack_mode(inner);
        let mut at = rsp & mask;
        for value in frame {
            at = at.wrapping_sub(size) & mask;
            if !stack_holds(ss, at, size) {
                return Err(self.ss(error));
            }
            self.write_linear(ss.base.wrapping_add(at) & 0xffff_ffff, size as usize, *value, mode)?;
        }
        Ok(at)
    }

    /// Writes a frame of 8-byte values downwards from `rsp`; the new stack pointer.
    pub(crate) fn push_frame64(&mut self, rsp: u64, frame: &[u64], inner: bool, error: u32) -> Exec<u64> {
        let mode = self.stack_mode(inner);
        let mut at = rsp;
        for value in frame {
            at = at.wrapping_sub(8);
            if !self.canonical(at) || !self.canonical(at.wrapping_add(7)) {
                return Err(self.ss(error));
            }
            self.write_linear(at, 8, *value, mode)?;
        }
        Ok(at)
    }

    fn stack_mode(&self, inner: bool) -> Mode {
        if inner { Mode::System } else { Mode::Data }
    }

    /// Sets RSP, ESP or SP as a stack segment says; the rest of the register stays with SP.
    pub(crate) fn set_stack_pointer(&mut self, ss: &Segment, value: u64) {
        let rsp = &mut self.r[gpr::RSP];
        *rsp =
            if ss.rights & rights::DB != 0 { value & 0xffff_ffff } else { *rsp & !0xffff | value & 0xffff };
    }

    /// EXT for the error code of a fault during the delivery of this event.
    fn ext(&self, event: Event) -> u32 {
        if event.by_software() { 0 } else { EXT }
    }

    /// The return address that an event saves.
    fn return_rip(&self, event: Event) -> u64 {
        let rip = self.rip.wrapping_add(u64::from(event.len));
        if self.long64() { rip } else { rip & 0xffff_ffff }
    }

    /// RFLAGS as an event saves them: with RF for faults, so that an instruction breakpoint does not hit twice. SDM 3B:
    /// "Instruction-Breakpoint Exception Condition".
    fn saved_flags(&self, event: Event) -> u64 {
        let fault = event.kind == EventKind::HardwareException
            && !matches!(event.vector, vector::DB | vector::DF | vector::MC)
            && !self.vmx_injects(&event);
        self.rflags() | if fault { rflags::RF } else { 0 }
    }
}

/// Whether `size` bytes at an offset lie within a stack segment.
fn stack_holds(ss: &Segment, at: u64, size: u64) -> bool {
    let last = at + size - 1;
    if ss.rights & rights::CONFORMING != 0 {
        let top = if ss.rights & rights::DB != 0 { 0xffff_ffff } else { 0xffff };
        at > u64::from(ss.limit) && last <= top
    } else {
        last <= u64::from(ss.limit)
    }
}
