//! VM exits. SDM: "VM Exits".

use super::{Controls, NO_POINTER, bits, info};
use crate::{
    Cpu,
    cpu::Activity,
    event::{Event, EventKind},
    fault::{Exec, Why},
};
use iced_x86::Instruction;
use x86_spec::{
    cr,
    vmx::{
        controls::Pin,
        exit::{ENTRY_FAILURE_BIT, Reason},
        field::Field,
        intr_info::{IntrInfo, Kind},
    },
};

/// What becomes of RFLAGS.RF in the guest-state area. SDM: "Saving RIP, RSP, RFLAGS, and SSP".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rf {
    /// It is clear: an instruction exited.
    #[default]
    Clear,
    /// It is set: a fault exited.
    Set,
    /// It is as it is.
    Keep,
}

/// What a VM exit reports. What is not defined for its reason is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    pub reason: Reason,
    pub qualification: u64,
    /// VM-exit instruction length.
    pub length: u32,
    /// VM-exit instruction information.
    pub info: u32,
    pub linear: u64,
    pub physical: u64,
    /// VM-exit interruption information and error code.
    pub intr: IntrInfo,
    pub intr_error: u32,
    /// The event whose delivery the exit interrupted.
    pub vectoring: Option<Event>,
    pub rf: Rf,
}

impl Exit {
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            qualification: 0,
            length: 0,
            info: 0,
            linear: 0,
            physical: 0,
            intr: IntrInfo(0),
            intr_error: 0,
            vectoring: None,
            rf: Rf::Keep,
        }
    }
}

/// VMX-abort indicators. SDM: "VMX Aborts".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Abort {
    SaveMsrs = 1,
    HostPdptes = 2,
    LoadMsrs = 4,
    /// The VM exit was to a 32-bit host while the processor was in IA-32e mode.
    LongToLegacy = 6,
}

impl Cpu {
    /// Interruption information of an event. Real-address mode knows no error codes.
    pub(super) fn event_info(&self, event: &Event) -> (IntrInfo, u32) {
        let error = event.error.filter(|_| self.cr0 & cr::cr0::PE != 0);
        (IntrInfo::new(Kind(event.kind as u8), event.vector, error.is_some()), error.unwrap_or(0))
    }

    /// The VM exit of an instruction, with the displacement of its memory operand as qualification.
    pub(super) fn insn_exit_info(&mut self, insn: &Instruction, reason: Reason) -> Exec {
        let exit = Exit {
            length: insn.len() as u32,
            info: info::information(insn, reason),
            qualification: info::displacement(insn),
            rf: Rf::Clear,
            ..Exit::new(reason)
        };
        self.vm_exit(&exit)?;
        self.vmx_switched()
    }

    /// The VM exit of an instruction.
    pub(super) fn insn_exit(&mut self, insn: &Instruction, reason: Reason, qualification: u64) -> Exec {
        let exit = Exit { length: insn.len() as u32, qualification, rf: Rf::Clear, ..Exit::new(reason) };
        self.vm_exit(&exit)?;
        self.vmx_switched()
    }

    /// A VM exit. `Ok`: it is done, and the CPU goes on in the host (or it was a VMX abort, and the CPU is in the shutdown
    /// state).
    pub(super) fn vm_exit(&mut self, exit: &Exit) -> Exec {
        self.record_exit(exit);
        // An NMI whose delivery was interrupted blocks NMIs already.
        if exit.vectoring.is_some_and(|e| e.kind == EventKind::Nmi) {
            self.blocking |= bits::BLOCKED_BY_NMI;
        }
        self.save_guest(exit.rf);
        let nmi_exit = exit.reason == Reason::EXCEPTION_NMI && exit.intr.kind() == Kind::NMI;
        if !self.store_msr_list() {
            return self.vmx_abort(Abort::SaveMsrs);
        }
        self.leave_guest(nmi_exit)
    }

    /// Writes the VM-exit information fields and the changes of VM-entry control fields. SDM: "Recording VM-Exit
    /// Information and Updating VM-Entry Control Fields".
    fn record_exit(&mut self, exit: &Exit) {
        let (vectoring, vectoring_error) = match &exit.vectoring {
            Some(event) => {
                let (info, error) = self.event_info(event);
                (info.0, error)
            }
            None => (0, 0),
        };
        // A software event has its instruction's length whatever the exit is.
        let length = match &exit.vectoring {
            Some(event) if exit.length == 0 => u32::from(event.len),
            _ => exit.length,
        };
        let v = &mut self.vmx.vmcs.v;
        v[Field::VM_EXIT_REASON] = u64::from(exit.reason.number());
        v[Field::EXIT_QUALIFICATION] = exit.qualification;
        v[Field::GUEST_LINEAR_ADDRESS] = exit.linear;
        v[Field::GUEST_PHYSICAL_ADDRESS] = exit.physical;
        v[Field::VM_EXIT_INTR_INFO] = u64::from(exit.intr.0);
        v[Field::VM_EXIT_INTR_ERROR_CODE] = u64::from(exit.intr_error);
        v[Field::IDT_VECTORING_INFO_FIELD] = u64::from(vectoring);
        v[Field::IDT_VECTORING_ERROR_CODE] = u64::from(vectoring_error);
        v[Field::VM_EXIT_INSTRUCTION_LEN] = u64::from(length);
        v[Field::VMX_INSTRUCTION_INFO] = u64::from(exit.info);
        let entry_info = v[Field::VM_ENTRY_INTR_INFO_FIELD];
        if entry_info & u64::from(IntrInfo::VALID) != 0 {
            self.vmx_put(Field::VM_ENTRY_INTR_INFO_FIELD, entry_info & !u64::from(IntrInfo::VALID));
        }
    }

    /// A VM entry that fails after the host-state checks: no guest state is saved, and of the information fields only exit
    /// reason and qualification are written. SDM: "VM-Entry Failures During or After Loading Guest State".
    pub(super) fn entry_failure(&mut self, reason: Reason, qualification: u64) -> Exec {
        let v = &mut self.vmx.vmcs.v;
        v[Field::VM_EXIT_REASON] = u64::from(u32::from(reason.number()) | ENTRY_FAILURE_BIT);
        v[Field::EXIT_QUALIFICATION] = qualification;
        self.leave_guest(false)?;
        self.vmx_switched()
    }

    /// Everything of a VM exit that comes after the guest state.
    fn leave_guest(&mut self, nmi_exit: bool) -> Exec {
        self.note_space();
        let was_long = self.msr.efer & cr::efer::LMA != 0;
        // With virtual NMIs the bit was that of virtual NMIs; NMIs themselves are not blocked then.
        let virtual_nmis = self.vmx.ctl.pin & Pin::VIRTUAL_NMIS != 0;
        let nmi_blocked = nmi_exit || (!virtual_nmis && self.blocking & bits::BLOCKED_BY_NMI != 0);
        self.blocking = if nmi_blocked { bits::BLOCKED_BY_NMI } else { 0 };
        self.activity = Activity::Active;
        self.pending_dbg = 0;
        self.delivering = None;
        self.vmx.non_root = false;
        self.vmx.ctl = Controls::default();
        self.iret_unblocked_nmi = false;
        self.monitor_armed = false;
        self.vmx.windows.close();
        if let Err(abort) = self.load_host(was_long) {
            return self.vmx_abort(abort);
        }
        self.leave_context();
        if self.load_msr_list(Field::VM_EXIT_MSR_LOAD_ADDR, Field::VM_EXIT_MSR_LOAD_COUNT).is_err() {
            return self.vmx_abort(Abort::LoadMsrs);
        }
        self.mode_changed();
        self.attention_changed();
        // Whatever led here has been dealt with.
        self.why = Why::Switched;
        Ok(())
    }

    /// A VMX abort: the indicator goes into the VMCS region and the processor into the shutdown state.
    #[cold]
    fn vmx_abort(&mut self, abort: Abort) -> Exec {
        if self.vmx.vmcs.pointer != NO_POINTER {
            self.write_abort_indicator(abort as u32);
        }
        self.vmx.non_root = false;
        self.vmx.ctl = Controls::default();
        self.activity = Activity::Shutdown;
        self.attention_changed();
        self.why = Why::Switched;
        Ok(())
    }

    /// Sets a field of the current VMCS on the processor's own account.
    #[inline]
    pub(super) fn vmx_put(&mut self, field: Field, value: u64) {
        if self.vmx.vmcs.v[field] != value {
            self.vmx.vmcs.v[field] = value;
            self.vmx.checks.changed(field);
        }
    }
}
