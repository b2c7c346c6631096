//! The script: what L1 is told to do, step by step.
//!
//! A script is an array of [`Step`]s followed by bytes that steps refer to by offset (from the end of the steps).

use crate::open_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One step. What `arg` and `a` to `d` mean is said at each [`Op`]; what an operation does not use is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Step {
    /// An [`Op`].
    pub op: u16,
    /// Flags of the operation.
    pub flags: u16,
    /// First argument.
    pub arg: u32,
    /// Second argument.
    pub a: u64,
    /// Third argument.
    pub b: u64,
    /// Fourth argument.
    pub c: u64,
    /// Fifth argument.
    pub d: u64,
}

open_enum! {
    /// What a [`Step`] does. The name is the word in scenario files.
    ///
    /// Every step leaves one [`crate::record::StepRecord`] with its outcome, unless it says otherwise; steps with
    /// [`QUIET`] leave one only when they did not succeed. Steps that leave a record of another kind leave that one instead.
    /// Memory that a script may read and write is all but L1's own (`L1_IMAGE` up to `VMXON_REGION`).
    pub struct Op(u16) {
        /// Starts case `arg`. Leaves VMX operation, restores CR0, CR4 and changed MSRs, and gives L2 a fresh image and
        /// zeroed memory. `a`: linear address of the L2 entry point (for real mode too; CS is its segment);
        /// `b`: a [`Mode`]; `c`: a [`Start`], up to which the prologue is done, quietly. Leaves a record of kind
        /// [`crate::record::Kind::CASE`].
        CASE = 1, "case";
        /// VMXON. `a`: physical address of the region; `b`: revision identifier to write there first, or
        /// [`KEEP`] for the processor's own (flag [`RAW`]: leave the region alone). [`KEEP`] also leaves alone what is no
        /// memory that a script may write; a region in L1's own memory is a bad step.
        /// Sets CR4.VMXE first, unless the flag [`RAW`] is given.
        VMXON = 2, "vmxon";
        /// VMXOFF.
        VMXOFF = 3, "vmxoff";
        /// VMCLEAR. `a`: physical address; `b`: as of VMXON.
        VMCLEAR = 4, "vmclear";
        /// VMPTRLD. `a`: physical address; `b`: as of VMXON, but [`KEEP`] leaves the region alone.
        VMPTRLD = 5, "vmptrld";
        /// VMPTRST. The record's value is the pointer stored.
        VMPTRST = 6, "vmptrst";
        /// VMREAD. `arg`: the field's encoding. The record's value is the field.
        VMREAD = 7, "vmread";
        /// VMWRITE. `arg`: the field's encoding; `a`: the value.
        VMWRITE = 8, "vmwrite";
        /// VMREAD, then VMWRITE of `(value & !b) | a`. `arg`: the field's encoding. The record's value is what was written.
        VMMODIFY = 9, "vmmodify";
        /// INVEPT. `a`: type; `b`, `c`: the descriptor (EPTP, reserved quadword).
        INVEPT = 10, "invept";
        /// INVVPID. `a`: type; `b`, `c`: the descriptor (VPID and reserved bits, linear address).
        INVVPID = 11, "invvpid";
        /// RDMSR. `arg`: index. The record's value is the MSR.
        RDMSR = 12, "rdmsr";
        /// WRMSR. `arg`: index; `a`: value. The old value comes back at the next case.
        WRMSR = 13, "wrmsr";
        /// Reads a control register. `arg`: 0, 2, 3 or 4. The record's value is the register.
        READ_CR = 14, "read_cr";
        /// Writes a control register. `arg`: 0 or 4; `a`: value.
        WRITE_CR = 15, "write_cr";
        /// Reads memory. `arg`: size 1, 2, 4 or 8; `a`: physical address. The record's value is what was there.
        PEEK = 16, "peek";
        /// Writes memory. `arg`: length; `a`: physical address; `b`: offset of the bytes behind the steps.
        POKE = 17, "poke";
        /// Fills memory. `arg`: the byte; `a`: physical address; `b`: length.
        FILL = 18, "fill";
        /// Maps guest-physical memory in the EPT. `arg`: page size in bytes (4 KiB, 2 MiB, 1 GiB); `a`: guest-physical
        /// address; `b`: machine address; `c`: low bits of the entry (permissions, memory type, ignore PAT, A, D).
        /// Splits a larger mapping that is there. No INVEPT is done.
        EPT_MAP = 19, "ept_map";
        /// Makes the EPT entry that maps `a` not present.
        EPT_UNMAP = 20, "ept_unmap";
        /// Splits to 4 KiB and replaces the low three (permission) bits of the entry that maps `a` by `b`.
        EPT_PROTECT = 21, "ept_protect";
        /// Replaces the EPT entry at level `arg` (1 = 4 KiB page table ... 4 = PML4) that translates `a` by the raw value `b`.
        EPT_ENTRY = 22, "ept_entry";
        /// Reads the EPT entry at level `arg` that translates `a`. The record's value is the entry.
        EPT_READ = 23, "ept_read";
        /// Sets a general-purpose register of L2. `arg`: its number (0 RAX, 1 RCX, ... 15 R15; 4, RSP, goes to GUEST_RSP); `a`: value.
        SET_REG = 24, "set_reg";
        /// Leaves a record of kind [`crate::record::Kind::REGS`] with L2's general-purpose registers.
        GET_REGS = 25, "get_regs";
        /// Writes into the current VMCS a sane default state for a [`Mode`] `b` and entry point `a`. If a VMWRITE fails, the
        /// record's value is the field's encoding.
        SETUP = 26, "setup";
        /// VMLAUNCH. An exit leaves a record of kind [`crate::record::Kind::EXIT`] (none with [`QUIET`]).
        LAUNCH = 27, "launch";
        /// VMRESUME.
        RESUME = 28, "resume";
        /// Adds the VM-exit instruction length to GUEST_RIP. The record's value is the new RIP.
        ADVANCE = 29, "advance";
        /// Writes the VM-entry interruption information `a`, the error code `b` and the instruction length `c`.
        INJECT = 30, "inject";
        /// Enters L2 and handles its exits until one that `b` (a bit for each of the basic exit reasons 0 to 63) says
        /// ends the loop, one that has no handler, a failed entry, or `a` exits. Flag [`COUNT_ONLY`]: leave no record
        /// of the exits that were handled. Leaves a record of kind [`crate::record::Kind::RUN`] at the end.
        /// `a` = 0 is a bad step.
        RUN = 31, "run";
        /// Does the next `a` steps `arg` times. Not nested, and no case among them. Leaves a record only as a bad step.
        REPEAT = 32, "repeat";
        /// CPUID in L1. `arg`: EAX; `a`: ECX. The record's values are EBX:EAX and EDX:ECX.
        CPUID = 33, "cpuid";
        /// Executes an instruction of the VMX extension with a memory operand at the linear address `a`, chosen by
        /// `arg`, the [`Op`] (vmxon, vmclear, vmptrld, vmptrst, invept, invvpid with `b` the type).
        WITH_OPERAND_AT = 34, "with_operand_at";
        /// Executes VMCALL in L1 (VMX root operation).
        VMCALL = 35, "vmcall";
        /// Executes VMFUNC in L1. `arg`: EAX.
        VMFUNC = 36, "vmfunc";
    }
}

/// Flag of every step: record only what does not succeed.
pub const QUIET: u16 = 1;
/// Flag of VMXON, VMCLEAR, VMPTRLD: touch neither CR4 nor the region.
pub const RAW: u16 = 2;
/// Flag of [`Op::RUN`]: count exits, do not record them.
pub const COUNT_ONLY: u16 = 4;
/// Value of an argument that says "as it is".
pub const KEEP: u64 = u64::MAX;

open_enum! {
    /// CPU mode that L2 starts in.
    pub struct Mode(u16) {
        /// Real-address mode (needs unrestricted guest).
        REAL = 0, "real";
        /// 32-bit protected mode without paging (needs unrestricted guest).
        PROTECTED = 1, "protected";
        /// 32-bit protected mode with 32-bit paging.
        PAGED32 = 2, "paged32";
        /// 32-bit protected mode with PAE paging.
        PAE = 3, "pae";
        /// 64-bit mode.
        LONG64 = 4, "long64";
    }
}

impl Mode {
    /// Width of the code that runs in this mode: 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Self::REAL => 16,
            Self::LONG64 => 64,
            _ => 32,
        }
    }
}

open_enum! {
    /// How far the prologue of a case goes.
    pub struct Start(u16) {
        /// Nothing is done: L1 is not in VMX operation and CR4.VMXE is clear.
        BARE = 0, "bare";
        /// VMXON has been done.
        VMXON = 1, "vmxon";
        /// A VMCS (`VMCS_0`) is clear and current, all of its fields as VMCLEAR left them.
        VMCS = 2, "vmcs";
        /// Its fields are those of [`Op::SETUP`]: L2 can be launched.
        L2 = 3, "l2";
    }
}
