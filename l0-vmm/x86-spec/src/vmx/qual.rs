//! Exit qualifications. SDM: "Basic VM-Exit Information" (the tables of exit qualifications).
//!
//! Each format is a transparent number with accessors; [`words`] puts any of them into words without losing a bit: what
//! has no name prints as `reserved bits`.

use super::exit::{Defined, Reason};
use core::fmt::{self, Display, Formatter};

/// Names of the general-purpose registers by their numbers.
pub const GPR: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// Control-register accesses. SDM: "Exit Qualification for Control-Register Accesses".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrAccess(pub u64);

impl CrAccess {
    /// MOV to CR.
    pub const TO: u64 = 0;
    /// MOV from CR.
    pub const FROM: u64 = 1;
    /// CLTS.
    pub const CLTS: u64 = 2;
    /// LMSW.
    pub const LMSW: u64 = 3;

    const DEFINED: u64 = 0xffff_0f7f;

    /// A MOV to or from control register `cr`.
    pub const fn mov(cr: u8, from: bool, gpr: u8) -> Self {
        Self(cr as u64 | (from as u64) << 4 | (gpr as u64) << 8)
    }

    /// CLTS.
    pub const fn clts() -> Self {
        Self(Self::CLTS << 4)
    }

    /// LMSW.
    pub const fn lmsw(source: u16, memory: bool) -> Self {
        Self(Self::LMSW << 4 | (memory as u64) << 6 | (source as u64) << 16)
    }

    /// Number of the control register.
    pub const fn cr(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// [`CrAccess::TO`], `FROM`, `CLTS` or `LMSW`.
    pub const fn kind(self) -> u64 {
        self.0 >> 4 & 3
    }

    /// LMSW has a memory operand.
    pub const fn lmsw_memory(self) -> bool {
        self.0 >> 6 & 1 != 0
    }

    /// Number of the general-purpose register.
    pub const fn gpr(self) -> u8 {
        (self.0 >> 8 & 0xf) as u8
    }

    /// LMSW's source data.
    pub const fn lmsw_source(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

impl Display for CrAccess {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let gpr = GPR[self.gpr() as usize];
        match self.kind() {
            Self::TO => write!(f, "mov to cr{} from {gpr}", self.cr())?,
            Self::FROM => write!(f, "mov from cr{} to {gpr}", self.cr())?,
            Self::CLTS => f.write_str("clts")?,
            _ => {
                let operand = if self.lmsw_memory() { "memory" } else { "register" };
                write!(f, "lmsw {:#x} from {operand}", self.lmsw_source())?;
            }
        }
        reserved(f, self.0 & !Self::DEFINED)
    }
}

/// MOV DR. SDM: "Exit Qualification for MOV DR".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovDr(pub u64);

impl MovDr {
    const DEFINED: u64 = 0xf17;

    /// A MOV to or from debug register `dr`.
    pub const fn new(dr: u8, from: bool, gpr: u8) -> Self {
        Self(dr as u64 | (from as u64) << 4 | (gpr as u64) << 8)
    }

    /// Number of the debug register.
    pub const fn dr(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// MOV from the debug register.
    pub const fn from_dr(self) -> bool {
        self.0 >> 4 & 1 != 0
    }

    /// Number of the general-purpose register.
    pub const fn gpr(self) -> u8 {
        (self.0 >> 8 & 0xf) as u8
    }
}

impl Display for MovDr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (to_from, from_to) = if self.from_dr() { ("from", "to") } else { ("to", "from") };
        write!(f, "mov {to_from} dr{} {from_to} {}", self.dr(), GPR[self.gpr() as usize])?;
        reserved(f, self.0 & !Self::DEFINED)
    }
}

/// I/O instructions. SDM: "Exit Qualification for I/O Instructions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io(pub u64);

impl Io {
    const DEFINED: u64 = 0xffff_007f;

    /// An access of `size` bytes.
    pub const fn new(port: u16, size: u8, input: bool, string: bool, rep: bool, immediate: bool) -> Self {
        Self(
            (size as u64 - 1)
                | (input as u64) << 3
                | (string as u64) << 4
                | (rep as u64) << 5
                | (immediate as u64) << 6
                | (port as u64) << 16,
        )
    }

    /// Size in bytes: 1, 2 or 4.
    pub const fn size(self) -> u8 {
        (self.0 & 7) as u8 + 1
    }

    /// IN or INS.
    pub const fn input(self) -> bool {
        self.0 >> 3 & 1 != 0
    }

    /// INS or OUTS.
    pub const fn string(self) -> bool {
        self.0 >> 4 & 1 != 0
    }

    /// With a REP prefix.
    pub const fn rep(self) -> bool {
        self.0 >> 5 & 1 != 0
    }

    /// The port number is an immediate, not DX.
    pub const fn immediate(self) -> bool {
        self.0 >> 6 & 1 != 0
    }

    /// Port number.
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

impl Display for Io {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rep = if self.rep() { "rep " } else { "" };
        let name = if self.input() { "in" } else { "out" };
        let string = if self.string() { "s" } else { "" };
        let port = if self.immediate() { "immediate" } else { "dx" };
        write!(f, "{rep}{name}{string} port {:#x} ({port}) size {}", self.port(), self.size())?;
        reserved(f, self.0 & !Self::DEFINED)
    }
}

/// Task switches. SDM: "Exit Qualification for Task Switches".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSwitch(pub u64);

impl TaskSwitch {
    const DEFINED: u64 = 0xc000_ffff;

    const SOURCES: [&str; 4] = ["CALL", "IRET", "JMP", "task gate"];

    /// `source`: 0 CALL, 1 IRET, 2 JMP, 3 task gate in the IDT.
    pub const fn new(selector: u16, source: u8) -> Self {
        Self(selector as u64 | (source as u64) << 30)
    }

    /// The switch goes through a task gate in the IDT, not through an instruction.
    pub const fn by_gate(self) -> bool {
        self.0 >> 30 & 3 == 3
    }
}

impl Display for TaskSwitch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "to selector {:#x} by {}", self.0 as u16, Self::SOURCES[(self.0 >> 30 & 3) as usize])?;
        reserved(f, self.0 & !Self::DEFINED)
    }
}

/// A list of bits with names.
fn bits(f: &mut Formatter<'_>, value: u64, names: &[(u8, &str)]) -> fmt::Result {
    let mut rest = value;
    let mut first = true;
    for (bit, name) in names {
        if value >> bit & 1 != 0 {
            if !first {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
            first = false;
            rest &= !(1 << bit);
        }
    }
    if first && rest == 0 { f.write_str("nothing") } else { reserved(f, rest) }
}

/// Says what no format has a name for.
fn reserved(f: &mut Formatter<'_>, bits: u64) -> fmt::Result {
    if bits == 0 { Ok(()) } else { write!(f, " reserved bits {bits:#x}") }
}

/// Debug exceptions. SDM: "Exit Qualification for Debug Exceptions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debug(pub u64);

impl Debug {
    const NAMES: &[(u8, &str)] =
        &[(0, "B0"), (1, "B1"), (2, "B2"), (3, "B3"), (11, "BLD"), (13, "BD"), (14, "BS"), (16, "RTM")];
}

impl Display for Debug {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bits(f, self.0, Self::NAMES)
    }
}

/// EPT violations. SDM: "Exit Qualification for EPT Violations".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EptViolation(pub u64);

impl EptViolation {
    /// The access was a data read.
    pub const READ: u64 = 1 << 0;
    /// The access was a data write.
    pub const WRITE: u64 = 1 << 1;
    /// The access was an instruction fetch.
    pub const FETCH: u64 = 1 << 2;
    /// Position of the permissions (read, write, execute) of the guest-physical address.
    pub const PERMISSIONS_SHIFT: u32 = 3;
    /// User-mode execution would be allowed (mode-based execute control).
    pub const USER_EXECUTABLE: u64 = 1 << 6;
    /// GUEST_LINEAR_ADDRESS is valid.
    pub const LINEAR_VALID: u64 = 1 << 7;
    /// The access was to what the linear address translates to, not to a paging structure on the way there.
    pub const TRANSLATED: u64 = 1 << 8;
    /// NMI unblocking due to IRET.
    pub const NMI_UNBLOCKING: u64 = 1 << 12;

    const NAMES: &[(u8, &str)] = &[
        (0, "read"),
        (1, "write"),
        (2, "fetch"),
        (3, "readable"),
        (4, "writable"),
        (5, "executable"),
        (6, "user-executable"),
        (7, "linear"),
        (8, "translated"),
        (9, "user-mode"),
        (10, "read-write-page"),
        (11, "execute-disable-page"),
        (12, "NMI-unblocking-due-to-IRET"),
        (13, "shadow-stack"),
        (14, "supervisor-shadow-stack"),
        (15, "guest-paging-verification"),
        (16, "asynchronous"),
    ];
}

impl Display for EptViolation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bits(f, self.0, Self::NAMES)
    }
}

/// APIC accesses. SDM: "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicAccess(pub u64);

impl ApicAccess {
    const DEFINED: u64 = 0x1_ffff;

    /// `kind`: 0 linear read, 1 linear write, 2 linear fetch, 3 linear while delivering an event, 10 guest-physical while
    /// delivering an event, 15 other guest-physical.
    pub const fn new(offset: u16, kind: u8) -> Self {
        Self(offset as u64 & 0xfff | (kind as u64) << 12)
    }
}

impl Display for ApicAccess {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.0 >> 12 & 0xf {
            0 => "read",
            1 => "write",
            2 => "fetch",
            3 => "access while delivering an event",
            10 => "guest-physical access while delivering an event",
            15 => "guest-physical access",
            _ => "access of a reserved kind",
        };
        write!(f, "{kind} at offset {:#x}", self.0 & 0xfff)?;
        reserved(f, self.0 & !Self::DEFINED)
    }
}

/// Bits of a qualification that the manual says are 0 with this reason, and are not.
pub fn reserved_bits(reason: Reason, qualification: u64) -> u64 {
    let named = |names: &[(u8, &str)]| names.iter().fold(0, |all, (bit, _)| all | 1 << bit);
    let defined = match reason {
        Reason::CR_ACCESS => CrAccess::DEFINED,
        Reason::DR_ACCESS => MovDr::DEFINED,
        Reason::IO_INSTRUCTION => Io::DEFINED,
        Reason::TASK_SWITCH => TaskSwitch::DEFINED,
        Reason::EPT_VIOLATION => named(EptViolation::NAMES),
        Reason::APIC_ACCESS => ApicAccess::DEFINED,
        _ if reason.defines().qualification == Defined::Never => 0,
        _ => u64::MAX,
    };
    qualification & !defined
}

/// A qualification in words.
pub fn words(reason: Reason, qualification: u64) -> impl Display {
    Words { reason, q: qualification }
}

struct Words {
    reason: Reason,
    q: u64,
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let q = self.q;
        match self.reason {
            Reason::CR_ACCESS => CrAccess(q).fmt(f),
            Reason::DR_ACCESS => MovDr(q).fmt(f),
            Reason::IO_INSTRUCTION => Io(q).fmt(f),
            Reason::TASK_SWITCH => TaskSwitch(q).fmt(f),
            Reason::EPT_VIOLATION => EptViolation(q).fmt(f),
            Reason::APIC_ACCESS => ApicAccess(q).fmt(f),
            Reason::SIPI | Reason::EOI_INDUCED => write!(f, "vector {q:#x}"),
            Reason::APIC_WRITE => write!(f, "offset {q:#x}"),
            Reason::INVLPG => write!(f, "address {q:#x}"),
            Reason::MWAIT_INSTRUCTION => {
                f.write_str(if q & 1 != 0 { "monitor armed" } else { "monitor not armed" })
            }
            Reason::INVEPT
            | Reason::INVVPID
            | Reason::INVPCID
            | Reason::VMCLEAR
            | Reason::VMPTRLD
            | Reason::VMPTRST
            | Reason::VMREAD
            | Reason::VMWRITE
            | Reason::VMXON
            | Reason::XSAVES
            | Reason::XRSTORS
            | Reason::GDTR_IDTR
            | Reason::LDTR_TR => write!(f, "displacement {q:#x}"),
            _ => f.write_str("qualification"),
        }
    }
}

/// Whether GUEST_LINEAR_ADDRESS means something with this exit.
pub fn linear_valid(reason: Reason, qualification: u64) -> bool {
    match reason {
        Reason::EPT_VIOLATION => qualification & EptViolation::LINEAR_VALID != 0,
        Reason::IO_INSTRUCTION => Io(qualification).string(),
        Reason::CR_ACCESS => {
            CrAccess(qualification).kind() == CrAccess::LMSW && CrAccess(qualification).lmsw_memory()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn in_words() {
        let say = |reason, q| words(reason, q).to_string();
        assert_eq!(say(Reason::CR_ACCESS, CrAccess::mov(4, false, 1).0), "mov to cr4 from rcx");
        assert_eq!(say(Reason::CR_ACCESS, CrAccess::lmsw(7, true).0), "lmsw 0x7 from memory");
        assert_eq!(say(Reason::DR_ACCESS, MovDr::new(7, true, 0).0), "mov from dr7 to rax");
        assert_eq!(
            say(Reason::IO_INSTRUCTION, Io::new(0x60, 2, true, true, true, false).0),
            "rep ins port 0x60 (dx) size 2"
        );
        assert_eq!(say(Reason::TASK_SWITCH, TaskSwitch::new(0x28, 2).0), "to selector 0x28 by JMP");
        assert_eq!(say(Reason::EPT_VIOLATION, 0x182), "write linear translated");
        assert_eq!(Debug(1 << 14 | 1).to_string(), "B0 BS");
        assert_eq!(Debug(1 << 20).to_string(), " reserved bits 0x100000");
    }

    #[test]
    fn no_bit_is_lost() {
        for reason in [Reason::CR_ACCESS, Reason::DR_ACCESS, Reason::IO_INSTRUCTION, Reason::TASK_SWITCH] {
            assert!(words(reason, 1 << 40).to_string().contains("reserved bits 0x10000000000"));
        }
    }
}
