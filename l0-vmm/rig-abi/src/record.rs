//! The records that L1 writes: what it saw.
//!
//! A stream is a sequence of records, each a [`Header`] and the body that its [`Kind`] says. Every length is a
//! multiple of 8.

use crate::open_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First field of every [`Header`].
pub const MAGIC: u16 = 0x524e;

/// What every record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u16,
    /// A [`Kind`].
    pub kind: u16,
    /// Length of the record with this header, in bytes.
    pub len: u32,
    /// Number of the record in the stream, from 0.
    pub seq: u32,
    /// Index of the step that L1 was at.
    pub step: u32,
}

open_enum! {
    /// What a record's body is.
    pub struct Kind(u16) {
        /// [`CaseRecord`].
        CASE = 1, "case";
        /// [`StepRecord`].
        STEP = 2, "step";
        /// [`ExitRecord`].
        EXIT = 3, "exit";
        /// [`RegsRecord`].
        REGS = 4, "regs";
        /// [`RunRecord`].
        RUN = 5, "run";
        /// [`TrapRecord`]: an exception in L1 that no step asked for. The run ends.
        TRAP = 6, "trap";
        /// [`PanicRecord`]: L1 panicked. The run ends.
        PANIC = 7, "panic";
        /// [`EndRecord`]: the script is done.
        END = 8, "end";
    }
}

/// A case begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CaseRecord {
    /// Number of the case in its script.
    pub case: u32,
    /// The [`Outcome`] of the first step of the prologue that did not succeed, else [`Outcome::OK`]. The steps of a case whose
    /// prologue failed are skipped up to the next case.
    pub outcome: u32,
    /// VM-instruction error; of an exception, its vector in bits 7:0 and its error code above.
    pub error: u32,
    /// The [`crate::script::Op`] of the prologue that failed, [`crate::script::Op::CASE`] if mode or start are unknown, or 0.
    pub op: u32,
}

open_enum! {
    /// How a step ended.
    pub struct Outcome(u32) {
        /// It was done (an instruction that reports nothing, or no instruction at all).
        OK = 0, "ok";
        /// VMsucceed: all six arithmetic flags clear.
        VM_SUCCEED = 1, "VMsucceed";
        /// VMfailInvalid: CF set.
        VM_FAIL_INVALID = 2, "VMfailInvalid";
        /// VMfailValid: ZF set; `error` is the VM-instruction error.
        VM_FAIL_VALID = 3, "VMfailValid";
        /// An exception; `vector` and, where it has one, `error` as its error code.
        EXCEPTION = 4, "exception";
        /// The arguments of the step make no sense to L1.
        BAD_STEP = 5, "bad step";
        /// L1 has no such operation.
        UNKNOWN_STEP = 6, "unknown step";
        /// The flags are none of the combinations that VMX instructions leave; `value` is RFLAGS.
        BAD_FLAGS = 7, "flags that no VMX instruction leaves";
        /// L1 has no room (EPT structures).
        NO_ROOM = 8, "no room";
    }
}

/// A step was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StepRecord {
    /// An [`Outcome`].
    pub outcome: u32,
    /// VM-instruction error, or error code of the exception.
    pub error: u32,
    /// Vector of the exception.
    pub vector: u32,
    /// The [`crate::script::Op`].
    pub op: u32,
    /// Result of the step, or CR2 with a page fault.
    pub value: u64,
    /// Second half of the result, where there is one.
    pub value2: u64,
}

/// A VM exit (or a VM entry that failed as one), as L1 read it from the VMCS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExitRecord {
    /// VM_EXIT_REASON.
    pub reason: u32,
    /// VM_EXIT_INTR_INFO.
    pub intr_info: u32,
    /// VM_EXIT_INTR_ERROR_CODE.
    pub intr_error: u32,
    /// IDT_VECTORING_INFO_FIELD.
    pub idt_info: u32,
    /// IDT_VECTORING_ERROR_CODE.
    pub idt_error: u32,
    /// VM_EXIT_INSTRUCTION_LEN.
    pub insn_len: u32,
    /// VMX_INSTRUCTION_INFO.
    pub insn_info: u32,
    /// VM_ENTRY_INTR_INFO_FIELD, as it is after the exit.
    pub entry_intr_info: u32,
    /// GUEST_INTERRUPTIBILITY_INFO.
    pub interruptibility: u32,
    /// GUEST_ACTIVITY_STATE.
    pub activity: u32,
    /// GUEST_CS_SELECTOR.
    pub cs: u32,
    /// 1 when the exit came from VMLAUNCH, 0 from VMRESUME.
    pub launched: u32,
    /// EXIT_QUALIFICATION.
    pub qualification: u64,
    /// GUEST_LINEAR_ADDRESS.
    pub linear: u64,
    /// GUEST_PHYSICAL_ADDRESS.
    pub physical: u64,
    /// GUEST_RIP.
    pub rip: u64,
    /// GUEST_CS_BASE.
    pub cs_base: u64,
    /// GUEST_RSP.
    pub rsp: u64,
    /// GUEST_RFLAGS.
    pub rflags: u64,
    /// GUEST_CR0.
    pub cr0: u64,
    /// GUEST_CR3.
    pub cr3: u64,
    /// GUEST_CR4.
    pub cr4: u64,
    /// GUEST_PENDING_DBG_EXCEPTIONS.
    pub pending_dbg: u64,
    /// GUEST_IA32_EFER where the VMCS has it, else 0.
    pub efer: u64,
    /// General-purpose registers in the order of their encodings; number 4 repeats `rsp`.
    pub regs: [u64; 16],
}

/// L2's general-purpose registers, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegsRecord {
    /// In the order of their encodings; number 4 is GUEST_RSP.
    pub regs: [u64; 16],
}

/// How a run loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RunRecord {
    /// Number of exits seen, the last one included.
    pub exits: u64,
    /// A [`RunEnd`].
    pub end: u32,
    /// The [`Outcome`] of the last launch or resume.
    pub outcome: u32,
    /// VM-instruction error of that outcome.
    pub error: u32,
    /// Number of basic exit reasons in `counts`.
    pub reasons: u32,
    /// How many exits each basic exit reason had.
    pub counts: [u32; 80],
}

open_enum! {
    /// Why a run loop ended.
    pub struct RunEnd(u32) {
        /// An exit that the step said ends it.
        STOP = 0, "stop";
        /// An exit that has no handler.
        UNHANDLED = 1, "unhandled exit";
        /// The bound was reached.
        BOUND = 2, "bound reached";
        /// VMLAUNCH or VMRESUME did not enter; `outcome` and `error` say how.
        NO_ENTRY = 3, "no entry";
    }
}

/// An exception in L1 that no step asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrapRecord {
    /// Vector.
    pub vector: u64,
    /// Error code, or 0.
    pub error: u64,
    /// RIP in L1.
    pub rip: u64,
    /// RSP in L1.
    pub rsp: u64,
    /// RFLAGS in L1.
    pub rflags: u64,
    /// CR2.
    pub cr2: u64,
}

/// L1 panicked. The strings lie in L1's memory, at physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PanicRecord {
    /// Address of the file name.
    pub file: u64,
    /// Its length, in bytes.
    pub file_len: u64,
    /// Line number.
    pub line: u64,
}

/// The script is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EndRecord {
    /// Number of steps done.
    pub steps: u64,
    /// Number of records before this one.
    pub records: u64,
}
