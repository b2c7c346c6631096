//! VM entries. SDM: "VM Entries".

use super::{Controls, NO_POINTER, bits};
use crate::{
    Cpu, boundary,
    cpu::Activity,
    event::{Event, EventKind},
    fault::Exec,
};
use iced_x86::Instruction;
use x86_spec::{
    cr,
    vmx::{
        controls::{Entry, Exit, Pin, Proc, Proc2, Proc3},
        error::InstructionError,
        exit::Reason,
        field::Field,
        intr_info::{IntrInfo, Kind},
        rules::Stage,
    },
};

/// Whether a VM entry under these controls is beyond this model: then what the run's end says.
fn not_modelled(c: &Controls) -> Option<&'static str> {
    const OTHER: u64 = Proc2::PASID_TRANSLATION | Proc2::BUS_LOCK_DETECTION | Proc2::NOTIFY_VM_EXITING;
    const EXIT: u64 = Exit::CLEAR_UINV | Exit::ACTIVATE_SECONDARY_CONTROLS;
    const ENTRY: u64 = Entry::LOAD_UINV | Entry::LOAD_IA32_FRED;
    let rows = [
        (c.proc2 & OTHER, "PASID translation, bus-lock detection or instruction timeout"),
        (c.proc3 & !Proc3::IPI_VIRT, "tertiary VM-execution controls but for IPI virtualization"),
        (c.exit & EXIT, "UINV or secondary VM-exit controls"),
        (c.entry & ENTRY, "UINV or FRED state"),
        (c.entry & (Entry::SMM | Entry::DEACT_DUAL_MONITOR), "the dual-monitor treatment of SMIs and SMM"),
    ];
    rows.into_iter().find(|row| row.0 != 0).map(|row| row.1)
}

impl Cpu {
    pub(super) fn vmlaunch(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn(insn, Reason::VMLAUNCH)?;
        self.vm_entry(true)
    }

    pub(super) fn vmresume(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn(insn, Reason::VMRESUME)?;
        self.vm_entry(false)
    }

    /// VMLAUNCH (`launch`) and VMRESUME after the checks that all VMX instructions have in common.
    fn vm_entry(&mut self, launch: bool) -> Exec {
        let vmcs = &self.vmx.vmcs;
        if vmcs.pointer == NO_POINTER || vmcs.is_shadow() {
            return self.vm_fail_invalid();
        }
        if self.blocking & bits::BLOCKED_BY_MOV_SS != 0 {
            return self.vm_fail(InstructionError::ENTRY_EVENTS_BLOCKED_BY_MOV_SS);
        }
        if launch == vmcs.launched {
            return self.vm_fail(if launch {
                InstructionError::VMLAUNCH_NONCLEAR_VMCS
            } else {
                InstructionError::VMRESUME_NONLAUNCHED_VMCS
            });
        }
        self.entry_checks_begin();
        if self.entry_rule_broken(Stage::Controls).is_some() {
            return self.vm_fail(InstructionError::ENTRY_INVALID_CONTROL_FIELD);
        }
        if self.entry_rule_broken(Stage::Host).is_some() {
            return self.vm_fail(InstructionError::ENTRY_INVALID_HOST_STATE_FIELD);
        }
        let controls = Controls::of(&self.vmx.vmcs.v);
        if let Some(what) = not_modelled(&controls) {
            return Err(self.unsupported(what));
        }
        if let Some(rule) = self.entry_rule_broken(Stage::Guest) {
            return self.entry_failure(Reason::INVALID_STATE, rule.qualification);
        }
        if let Some(what) = self.protection_not_modelled(&controls) {
            return Err(self.unsupported(what));
        }
        let nmis_blocked = self.blocking & bits::BLOCKED_BY_NMI;
        self.vmx.ctl = controls;
        self.vmx.keeps_translations = controls.proc2 & Proc2::ENABLE_VPID != 0;
        self.vmx.non_root = true;
        self.monitor_armed = false;
        self.note_space();
        self.load_guest();
        self.enter_context();
        self.mode_changed();
        if let Err(entry) = self.load_msr_list(Field::VM_ENTRY_MSR_LOAD_ADDR, Field::VM_ENTRY_MSR_LOAD_COUNT)
        {
            // Blocking by NMI is what it was before VM entry.
            self.blocking = nmis_blocked;
            self.vmx.ctl.pin &= !Pin::VIRTUAL_NMIS;
            return self.entry_failure(Reason::MSR_LOAD_FAIL, entry);
        }
        self.vmx.vmcs.launched = true;
        self.open_windows();
        self.enter_apic();
        self.inject_event()?;
        self.attention_changed();
        self.vmx_switched()
    }

    /// Event injection. SDM: "Event Injection", "Vectored-Event Injection". A delivery that ends in a VM exit is `Ok` too.
    fn inject_event(&mut self) -> Exec {
        let info = IntrInfo(self.vmx.vmcs.v[Field::VM_ENTRY_INTR_INFO_FIELD] as u32);
        self.drop_pending_debug_exceptions(info);
        if !info.valid() {
            return Ok(());
        }
        let kind = match info.kind() {
            Kind::EXTERNAL => EventKind::External,
            Kind::NMI => EventKind::Nmi,
            Kind::HARDWARE_EXCEPTION => EventKind::HardwareException,
            Kind::SOFTWARE_INTERRUPT => EventKind::SoftwareInterrupt,
            Kind::PRIVILEGED_SOFTWARE_EXCEPTION => EventKind::PrivilegedSoftwareException,
            Kind::SOFTWARE_EXCEPTION => EventKind::SoftwareException,
            // "Other event" with vector 0: a pending MTF VM exit.
            _ => {
                self.vmx.windows.mtf_is_due();
                return Ok(());
            }
        };
        let v = &self.vmx.vmcs.v;
        let error = v[Field::VM_ENTRY_EXCEPTION_ERROR_CODE] as u32;
        let len = if info.is_software() { v[Field::VM_ENTRY_INSTRUCTION_LEN] as u8 } else { 0 };
        let event = Event { vector: info.vector(), kind, error: info.error_valid().then_some(error), len };
        self.activity = Activity::Active;
        if kind == EventKind::Nmi {
            self.blocking |= bits::BLOCKED_BY_NMI;
        }
        if self.vmx.ctl.proc & Proc::MONITOR_TRAP_FLAG != 0 {
            self.vmx.windows.mtf_is_due();
        }
        self.vmx.injecting = Some(event);
        let done = self.take(event);
        self.vmx.injecting = None;
        done
    }

    /// Whether this event is being injected: then RFLAGS.RF is saved as the guest-state area has it.
    pub(crate) fn vmx_injects(&self, event: &Event) -> bool {
        self.vmx.injecting.as_ref() == Some(event)
    }

    /// SDM: "Delivery of Pending Debug Exceptions after VM Entry": which are not delivered.
    fn drop_pending_debug_exceptions(&mut self, info: IntrInfo) {
        /// Bits of the pending debug exceptions that make them valid: enabled breakpoint, and single step.
        const VALID: u64 = boundary::PENDING_ENABLED_BREAKPOINT | cr::dr6::BS;
        let dropped = if info.valid() && info.kind() != Kind::OTHER {
            let held = matches!(info.kind(), Kind::SOFTWARE_INTERRUPT | Kind::SOFTWARE_EXCEPTION)
                && self.blocking & bits::BLOCKED_BY_MOV_SS != 0;
            !held
        } else {
            matches!(self.activity, Activity::Shutdown | Activity::WaitForSipi)
        };
        if dropped || self.pending_dbg & VALID == 0 {
            self.pending_dbg = 0;
        }
    }
}
