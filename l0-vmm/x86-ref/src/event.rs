//! Exceptions and interrupts: their delivery through the IDT, double and triple faults.

use crate::{
    Cpu,
    cpu::Activity,
    exec::msr::{DEBUGCTL_BTF, DEBUGCTL_LBR},
    fault::{Exception, Exec, Halt, Why},
};
use x86_spec::{
    cr::{cr0, dr6, dr7},
    vector::{self, Class},
};

mod deliver;

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

impl Event {
    /// An exception as an event.
    pub fn of(exception: &Exception) -> Self {
        let kind = match (exception.software_len, exception.vector) {
            (0, _) => EventKind::HardwareException,
            (_, vector::DB) => EventKind::PrivilegedSoftwareException,
            _ => EventKind::SoftwareException,
        };
        Self { vector: exception.vector, kind, error: exception.error, len: exception.software_len }
    }

    /// Whether the gate's DPL is compared with CPL: INT n, INT3, INTO, not INT1.
    fn by_software(self) -> bool {
        matches!(self.kind, EventKind::SoftwareInterrupt | EventKind::SoftwareException)
    }

    /// Its class for double faults. Only exceptions of the hardware count.
    fn class(self) -> Class {
        match self.kind {
            EventKind::HardwareException => vector::class(self.vector),
            _ => Class::Benign,
        }
    }
}

/// What a second exception makes of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combined {
    /// The second is delivered.
    Serial,
    /// #DF.
    Double,
    /// Shutdown.
    Triple,
}

/// SDM 3A: "Interrupt 8—Double Fault Exception (#DF)", the conditions for generating it.
fn combine(first: Class, second: Class) -> Combined {
    match (first, second) {
        (Class::DoubleFault, Class::Contributory | Class::PageFault) => Combined::Triple,
        (Class::Contributory, Class::Contributory)
        | (Class::PageFault, Class::Contributory | Class::PageFault) => Combined::Double,
        _ => Combined::Serial,
    }
}

impl Cpu {
    /// Takes an exception that an instruction ended in: a VM exit where VMX says so, else delivery, with double and triple
    /// faults. After `Ok` the CPU goes on at [`Cpu::rip`]; an error is `Why::Unsupported` only.
    pub(crate) fn raise(&mut self, exception: Exception) -> Exec {
        let exception = self.in_this_mode(exception);
        let done = match self.exception_exits(&exception) {
            Ok(false) => {
                self.record(&exception);
                self.take(Event::of(&exception))
            }
            Ok(true) | Err(Halt) => self.switched(),
        };
        self.iret_unblocked_nmi = false;
        done
    }

    /// Delivers an event with everything that comes of it: VM exits for faults on the way, double and triple faults. After
    /// `Ok` the CPU goes on at [`Cpu::rip`]; an error is `Why::Unsupported` only.
    ///
    /// VMX has been asked about the event itself (or has injected it).
    pub(crate) fn take(&mut self, event: Event) -> Exec {
        self.step_tf = false;
        let mut event = event;
        loop {
            self.why = Why::None;
            self.delivering = Some(event);
            if self.deliver(event).is_ok() {
                self.delivering = None;
                return Ok(());
            }
            match self.why {
                Why::Exception(second) => match self.second(event, second)? {
                    Some(next) => event = next,
                    None => return Ok(()),
                },
                Why::Ept(fault) => {
                    self.why = Why::None;
                    let exit = self.ept_exit(fault);
                    self.delivering = None;
                    return if exit.is_ok() { Ok(()) } else { self.switched() };
                }
                Why::CodeWrite(physical) => self.forget_code(physical),
                _ => {
                    self.delivering = None;
                    return self.switched();
                }
            }
        }
    }

    /// `Ok` unless [`Cpu::why`] is something that nobody has dealt with.
    fn switched(&mut self) -> Exec {
        match self.why {
            Why::None | Why::Switched => Ok(()),
            _ => Err(Halt),
        }
    }

    /// A fault during the delivery of an event: what is to be delivered instead, or `None` after a VM exit or shutdown.
    fn second(&mut self, first: Event, second: Exception) -> Exec<Option<Event>> {
        self.why = Why::None;
        let second = self.in_this_mode(second);
        let exits = self.exception_exits(&second);
        self.delivering = None;
        if self.exit_done(exits)? {
            return Ok(None);
        }
        self.record(&second);
        match combine(first.class(), vector::class(second.vector)) {
            Combined::Serial => Ok(Some(Event::of(&second))),
            Combined::Double => {
                let double = self.in_this_mode(Exception {
                    vector: vector::DF,
                    error: Some(0),
                    info: 0,
                    software_len: 0,
                });
                let exits = self.exception_exits(&double);
                Ok(if self.exit_done(exits)? { None } else { Some(Event::of(&double)) })
            }
            Combined::Triple => {
                let exits = self.triple_fault_exits();
                if !self.exit_done(exits)? {
                    self.activity = Activity::Shutdown;
                    self.attention_changed();
                }
                Ok(None)
            }
        }
    }

    /// Whether VMX has done an exit, told either way.
    fn exit_done(&mut self, exits: Exec<bool>) -> Exec<bool> {
        match exits {
            Ok(done) => Ok(done),
            Err(Halt) => self.switched().map(|()| true),
        }
    }

    /// In real mode exceptions have no error codes.
    fn in_this_mode(&self, exception: Exception) -> Exception {
        let error = if self.cr0 & cr0::PE == 0 { None } else { exception.error };
        Exception { error, ..exception }
    }

    /// CR2, DR6 and IA32_DEBUGCTL, which an exception changes when it does not exit.
    fn record(&mut self, exception: &Exception) {
        if exception.vector == vector::DB {
            // SDM 3B: "Single-Stepping on Branches", "Monitoring Branches, Exceptions, and Interrupts".
            self.msr.debugctl &= !(DEBUGCTL_BTF | DEBUGCTL_LBR);
        }
        match exception.vector {
            vector::PF => self.cr2 = exception.info,
            vector::DB if exception.software_len == 0 => {
                self.dr[6] = self.dr[6] & !0xf | exception.info & (0xf | dr6::BD | dr6::BS | dr6::BT);
                // SDM 3B: "Debug Control Register (DR7)": so that the handler can use the debug registers.
                self.dr[7] &= !dr7::GD;
            }
            _ => {}
        }
    }

    /// A write on the way hits decoded code: it is dropped before the next block, and the write may go on.
    fn forget_code(&mut self, physical: u64) {
        self.mem.written(physical, 1);
        self.mem.unmark_code(physical);
    }
}

#[cfg(test)]
mod tests;
