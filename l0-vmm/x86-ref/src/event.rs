//! Exceptions and interrupts: their delivery through the IDT, double and triple faults.

use crate::{
    Cpu,
    fault::{Exception, Exec},
};

/// What kind of event is delivered: the numbers of the interruption type in VMX's information fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EventKind {
    External = 0,
    Nmi = 2,
    HardwareException = 3,
    SoftwareInterrupt = 4,
    PrivilegedSoftwareException = 5,
    SoftwareException = 6,
}

/// An event that goes through the IDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub vector: u8,
    pub kind: EventKind,
    /// Error code to push.
    pub error: Option<u32>,
    /// Length of the instruction, for the software kinds: the return address is behind it.
    pub len: u8,
}

impl Cpu {
    /// Takes an exception that an instruction ended in: a VM exit where VMX says so, else delivery, with double and triple
    /// faults. After `Ok` the CPU goes on at [`Cpu::rip`]; an error is `Why::Unsupported` only.
    pub(crate) fn raise(&mut self, exception: Exception) -> Exec {
        let _ = exception;
        Err(self.unsupported("event delivery"))
    }

    /// Delivers an event through the IDT (or the real-mode IVT). On an error [`Cpu::why`] is the fault that happened on the
    /// way, and the state is as before.
    pub(crate) fn deliver(&mut self, event: Event) -> Exec {
        let _ = event;
        Err(self.unsupported("event delivery"))
    }
}
