//! VM exits because of exceptions, interrupts and EPT. SDM: "Exceptions", "Interrupts" and others of "Other Causes of VM Exits".

use super::exit::{Exit, Rf};
use crate::{
    Cpu,
    event::{Event, EventKind},
    fault::{EptFault, EptKind, Exception, Exec},
};
use x86_spec::{
    cr::{cr0, dr6},
    vector,
    vmx::{
        controls::{Exit as ExitControls, Pin},
        exit::Reason,
        field::Field,
        intr_info::{IntrInfo, Kind},
        qual::{EptViolation, TaskSwitch},
    },
};

/// Debug conditions in the exit qualification of a debug exception.
const DEBUG_CONDITIONS: u64 = dr6::B0 | dr6::B1 | dr6::B2 | dr6::B3 | dr6::BLD | dr6::BD | dr6::BS | dr6::RTM;

impl Cpu {
    /// Whether the exception bitmap, and for page faults mask and match of the error code, ask for an exit.
    fn exception_bit(&self, exception: &Exception) -> bool {
        let v = &self.vmx.vmcs.v;
        let bit = v[Field::EXCEPTION_BITMAP] >> (exception.vector & 31) & 1 != 0;
        if exception.vector != vector::PF {
            return bit;
        }
        let error = u64::from(exception.error.unwrap_or(0));
        let equal = error & v[Field::PAGE_FAULT_ERROR_CODE_MASK] == v[Field::PAGE_FAULT_ERROR_CODE_MATCH];
        equal == bit
    }

    /// Whether an exception exits; if so the exit has been done (`Ok(true)`).
    pub(crate) fn exception_exits(&mut self, exception: &Exception) -> Exec<bool> {
        if !self.vmx.non_root {
            return Ok(false);
        }
        if !self.exception_bit(exception) {
            return Ok(false);
        }
        let kind = match (exception.software_len, exception.vector) {
            (0, _) => Kind::HARDWARE_EXCEPTION,
            (_, vector::DB) => Kind::PRIVILEGED_SOFTWARE_EXCEPTION,
            _ => Kind::SOFTWARE_EXCEPTION,
        };
        let error = exception.error.filter(|_| self.cr0 & cr0::PE != 0);
        let mut intr = IntrInfo::new(kind, exception.vector, error.is_some());
        // A double fault is an exit of its own, not one during the delivery of what led to it.
        let vectoring = self.delivering.filter(|_| exception.vector != vector::DF);
        if self.iret_unblocked_nmi && vectoring.is_none() && exception.vector != vector::DF {
            intr.0 |= IntrInfo::NMI_UNBLOCKING;
        }
        let qualification = match exception.vector {
            vector::PF => exception.info,
            vector::DB => exception.info & DEBUG_CONDITIONS,
            _ => 0,
        };
        if exception.vector == vector::DB {
            // They are in the qualification now.
            self.pending_dbg = 0;
        }
        let fault = kind == Kind::HARDWARE_EXCEPTION && exception.vector != vector::DB;
        self.vm_exit(&Exit {
            qualification,
            length: u32::from(exception.software_len),
            intr,
            intr_error: error.unwrap_or(0),
            vectoring,
            rf: if fault { Rf::Set } else { Rf::Keep },
            ..Exit::new(Reason::EXCEPTION_NMI)
        })?;
        Ok(true)
    }

    /// A fault in non-root operation that shuts the CPU down (third in a row): VM exit "triple fault". False in root operation.
    pub(crate) fn triple_fault_exits(&mut self) -> Exec<bool> {
        if !self.vmx.non_root {
            return Ok(false);
        }
        self.vm_exit(&Exit::new(Reason::TRIPLE_FAULT))?;
        Ok(true)
    }

    /// VM exit because of EPT or of the APIC-access page, or the virtualization exception that comes instead.
    pub(crate) fn ept_exit(&mut self, fault: EptFault) -> Exec {
        let vectoring = self.delivering;
        let (reason, unblocking) = match fault.kind {
            EptKind::Violation { .. } => (Reason::EPT_VIOLATION, true),
            EptKind::Misconfiguration => (Reason::EPT_MISCONFIG, false),
            EptKind::LogFull => (Reason::PML_FULL, true),
            EptKind::SubPage => (Reason::SPP, true),
            EptKind::ApicAccess => (Reason::APIC_ACCESS, false),
        };
        let mut qualification = fault.qualification;
        if self.iret_unblocked_nmi && vectoring.is_none() && unblocking {
            qualification |= EptViolation::NMI_UNBLOCKING;
        }
        if fault.kind == (EptKind::Violation { convertible: true })
            && vectoring.is_none()
            && self.cr0 & cr0::PE != 0
            && self.save_virtualization_exception(&fault, qualification)
        {
            return self.raise(Exception { vector: vector::VE, error: None, info: 0, software_len: 0 });
        }
        // The log-full event has no address.
        let address = fault.kind != EptKind::LogFull;
        self.vm_exit(&Exit {
            qualification,
            linear: fault.linear.filter(|_| address).unwrap_or(0),
            physical: if address { fault.physical } else { 0 },
            vectoring,
            rf: if vectoring.is_some() { Rf::Keep } else { Rf::Set },
            ..Exit::new(reason)
        })
    }

    /// A task switch in non-root operation exits, always. `length`: of the instruction, 0 without one; a task gate is met
    /// while an event is delivered. SDM: "Exit Qualification for Task Switches".
    pub(super) fn task_switch_exit(&mut self, selector: u16, source: u8, length: u32) -> Exec {
        self.vm_exit(&Exit {
            qualification: TaskSwitch::new(selector, source).0,
            length,
            vectoring: self.delivering,
            ..Exit::new(Reason::TASK_SWITCH)
        })
    }

    /// Whether an NMI or external interrupt exits instead of being delivered; if so the exit has been done. An external
    /// interrupt stays in [`Cpu::intr_pending`] unless the exit acknowledges it; an NMI is taken off by the caller.
    pub(crate) fn interrupt_exits(&mut self, event: Event) -> Exec<bool> {
        let mut exit = match event.kind {
            _ if !self.vmx.non_root => return Ok(false),
            EventKind::Nmi if self.pin(Pin::NMI_EXITING) => Exit {
                intr: IntrInfo::new(Kind::NMI, vector::NMI, false),
                ..Exit::new(Reason::EXCEPTION_NMI)
            },
            EventKind::External if self.pin(Pin::EXT_INTR_EXITING) => {
                let mut exit = Exit::new(Reason::EXTERNAL_INTERRUPT);
                if self.vmx.ctl.exit & ExitControls::ACK_INTR_ON_EXIT != 0 {
                    self.acknowledge(event.vector);
                    exit.intr = IntrInfo::new(Kind::EXTERNAL, event.vector, false);
                }
                exit
            }
            _ => {
                self.event_in_guest();
                return Ok(false);
            }
        };
        exit.rf = Rf::Keep;
        self.vm_exit(&exit)?;
        Ok(true)
    }

    /// Whether an external interrupt is looked at whatever RFLAGS.IF says ("external-interrupt exiting" in non-root
    /// operation).
    pub(crate) fn vmx_takes_interrupts(&self) -> bool {
        self.pin(Pin::EXT_INTR_EXITING)
    }

    /// Whether blocking by NMI does not hold up NMIs ("virtual NMIs" in non-root operation).
    pub(crate) fn vmx_virtual_nmis(&self) -> bool {
        self.pin(Pin::VIRTUAL_NMIS)
    }

    /// Whether IRET leaves blocking by NMI as it is ("NMI exiting" without "virtual NMIs" in non-root operation).
    pub(crate) fn vmx_iret_keeps_nmi_blocking(&self) -> bool {
        self.pin(Pin::NMI_EXITING) && !self.pin(Pin::VIRTUAL_NMIS)
    }
}
