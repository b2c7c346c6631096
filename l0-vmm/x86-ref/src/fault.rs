//! Why an instruction did not complete.
//!
//! Fallible functions of the CPU return [`Halt`], which has no size, so that the hot path carries no payload; what happened
//! is in [`crate::Cpu::why`].

use crate::Cpu;
use x86_spec::vector;

/// Something stopped the instruction; [`crate::Cpu::why`] says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt;

/// Result of everything that an instruction may fail in.
pub(crate) type Exec<T = ()> = Result<T, Halt>;

/// An exception to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Vector.
    pub vector: u8,
    /// Error code, for the vectors that push one.
    pub error: Option<u32>,
    /// What goes into CR2 (a page fault), or into DR6 (a debug exception: the bits to set).
    pub info: u64,
    /// INT1, INT3 and INTO: how long the instruction is, and that its kind is "software exception" (INT1: privileged).
    pub software_len: u8,
}

/// What makes an access to memory exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EptKind {
    /// EPT violation; `convertible`: no entry suppresses that it becomes a virtualization exception.
    Violation { convertible: bool },
    /// EPT misconfiguration.
    Misconfiguration,
    /// The page-modification log is full.
    LogFull,
    /// The sub-page-permission table misses an entry or has a reserved bit set.
    SubPage,
    /// The APIC-access page was accessed.
    ApicAccess,
}

/// An access to memory that VMX did not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EptFault {
    /// Guest-physical address.
    pub physical: u64,
    /// Linear address, where the access had one.
    pub linear: Option<u64>,
    /// The exit qualification but for "NMI unblocking due to IRET"; 0 where there is none.
    pub qualification: u64,
    /// What it was.
    pub kind: EptKind,
}

/// What stopped an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing did.
    None,
    /// An exception; RIP is (still) that of the instruction.
    Exception(Exception),
    /// EPT violation or misconfiguration.
    Ept(EptFault),
    /// A VM exit or VM entry replaced the state; RIP is where the CPU goes on.
    Switched,
    /// A store hit a page with decoded code, at this physical address. Nothing was changed: execute the instruction again.
    CodeWrite(u64),
    /// The instruction (REP) is not finished; RIP stays on it.
    Again,
    /// We cannot do this.
    Unsupported(&'static str),
}

impl Cpu {
    /// Notes why the instruction stops.
    #[cold]
    #[inline(never)]
    pub(crate) fn stop(&mut self, why: Why) -> Halt {
        self.why = why;
        Halt
    }

    /// An exception without (`None`) or with an error code.
    #[cold]
    pub(crate) fn fault(&mut self, vector: u8, error: Option<u32>) -> Halt {
        self.stop(Why::Exception(Exception { vector, error, info: 0, software_len: 0 }))
    }

    /// #UD.
    #[cold]
    pub(crate) fn ud(&mut self) -> Halt {
        self.fault(vector::UD, None)
    }

    /// #NM.
    #[cold]
    pub(crate) fn nm(&mut self) -> Halt {
        self.fault(vector::NM, None)
    }

    /// #DE.
    #[cold]
    pub(crate) fn de(&mut self) -> Halt {
        self.fault(vector::DE, None)
    }

    /// #GP.
    #[cold]
    pub(crate) fn gp(&mut self, error: u32) -> Halt {
        self.fault(vector::GP, Some(error))
    }

    /// #SS.
    #[cold]
    pub(crate) fn ss(&mut self, error: u32) -> Halt {
        self.fault(vector::SS, Some(error))
    }

    /// #NP.
    #[cold]
    pub(crate) fn np(&mut self, error: u32) -> Halt {
        self.fault(vector::NP, Some(error))
    }

    /// #TS.
    #[cold]
    pub(crate) fn ts(&mut self, error: u32) -> Halt {
        self.fault(vector::TS, Some(error))
    }

    /// #PF.
    #[cold]
    pub(crate) fn pf(&mut self, linear: u64, error: u32) -> Halt {
        self.stop(Why::Exception(Exception {
            vector: vector::PF,
            error: Some(error),
            info: linear,
            software_len: 0,
        }))
    }

    /// The end of what we can do.
    #[cold]
    pub(crate) fn unsupported(&mut self, what: &'static str) -> Halt {
        self.stop(Why::Unsupported(what))
    }
}
