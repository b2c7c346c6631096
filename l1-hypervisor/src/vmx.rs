//! The instructions, one function each, and how they end.

use core::arch::asm;
use l1_hypervisor::outcome::{self, Fault};
use rig_abi::record::{Outcome, StepRecord};
use x86_64::registers::control::Cr2;
use x86_spec::vmx::field::Field;

/// How one instruction ended: an exception, or the flags that it left.
#[derive(Clone, Copy)]
pub struct Raw {
    /// The exception, if there was one.
    pub fault: Fault,
    /// RFLAGS.
    pub flags: u64,
}

/// How a step ended, in the words of its record.
#[derive(Clone, Copy)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// VM-instruction error, or error code of the exception.
    pub error: u32,
    /// Vector of the exception.
    pub vector: u32,
    /// Results.
    pub values: [u64; 2],
}

impl Report {
    /// An outcome with nothing to add.
    pub const fn new(outcome: Outcome) -> Self {
        Self { outcome, error: 0, vector: 0, values: [0; 2] }
    }

    /// Done, with a result.
    pub const fn value(value: u64) -> Self {
        Self { values: [value, 0], ..Self::new(Outcome::OK) }
    }

    /// The same, with a result if it was a success.
    pub const fn with(mut self, value: u64) -> Self {
        if outcome::succeeded(self.outcome) {
            self.values[0] = value;
        }
        self
    }

    /// Whether the step did what it was to do.
    pub const fn ok(&self) -> bool {
        outcome::succeeded(self.outcome)
    }

    fn exception(fault: Fault) -> Self {
        const PAGE_FAULT: u32 = 14;
        let vector = fault.vector();
        let address = if vector == PAGE_FAULT { Cr2::read_raw() } else { 0 };
        Self { outcome: Outcome::EXCEPTION, error: fault.error(), vector, values: [address, 0] }
    }

    /// As the body of a record.
    pub const fn record(self, op: u16) -> StepRecord {
        let [value, value2] = self.values;
        StepRecord {
            outcome: self.outcome.0,
            error: self.error,
            vector: self.vector,
            op: op as u32,
            value,
            value2,
        }
    }
}

impl Raw {
    /// The report of an instruction that says nothing by flags.
    pub fn plain(self) -> Report {
        if self.fault.is_some() { Report::exception(self.fault) } else { Report::new(Outcome::OK) }
    }

    /// The report of a VMX instruction.
    pub fn vmx(self) -> Report {
        if self.fault.is_some() {
            return Report::exception(self.fault);
        }
        let outcome = outcome::of_flags(self.flags);
        let mut report = Report::new(outcome);
        if outcome == Outcome::VM_FAIL_VALID {
            report.error = read(Field::VM_INSTRUCTION_ERROR) as u32;
        } else if outcome == Outcome::BAD_FLAGS {
            report.values[0] = self.flags;
        }
        report
    }
}

/// Defines functions for the VMX instructions with one operand in memory, at a linear address.
macro_rules! with_memory {
    ($($name:ident = $text:literal;)*) => {$(
        pub fn $name(at: u64) -> Raw {
            // SAFETY: an exception is a result; the caller has checked what the processor may do to memory.
            unsafe { execute!($text, at = in(reg) at) }
        }
    )*};
}

with_memory! {
    vmxon = "vmxon [{at}]";
    vmclear = "vmclear [{at}]";
    vmptrld = "vmptrld [{at}]";
    vmptrst = "vmptrst [{at}]";
}

/// INVEPT, with its descriptor at a linear address.
pub fn invept(kind: u64, at: u64) -> Raw {
    // SAFETY: it drops cached translations and nothing else.
    unsafe { execute!("invept {kind}, [{at}]", kind = in(reg) kind, at = in(reg) at) }
}

/// INVVPID, with its descriptor at a linear address.
pub fn invvpid(kind: u64, at: u64) -> Raw {
    // SAFETY: as above.
    unsafe { execute!("invvpid {kind}, [{at}]", kind = in(reg) kind, at = in(reg) at) }
}

/// VMXOFF.
pub fn vmxoff() -> Raw {
    // SAFETY: an exception is a result.
    unsafe { execute!("vmxoff") }
}

/// VMCALL in VMX root operation.
pub fn vmcall() -> Raw {
    // SAFETY: an exception is a result; without an SMM monitor it fails.
    unsafe { execute!("vmcall") }
}

/// VMFUNC.
pub fn vmfunc(eax: u32) -> Raw {
    // SAFETY: an exception is a result.
    unsafe { execute!("vmfunc", in("eax") eax, in("ecx") 0) }
}

/// VMREAD of an encoding.
#[inline(never)]
pub fn vmread(encoding: u64) -> (Raw, u64) {
    let mut value = 0_u64;
    // SAFETY: an exception is a result.
    let raw =
        unsafe { execute!("vmread {value}, {field}", value = inout(reg) value, field = in(reg) encoding) };
    (raw, value)
}

/// VMWRITE of an encoding.
#[inline(never)]
pub fn vmwrite(encoding: u64, value: u64) -> Raw {
    // SAFETY: it changes the current VMCS. What the next VM entry and exit make of it is the script's business.
    unsafe { execute!("vmwrite {field}, {value}", value = in(reg) value, field = in(reg) encoding) }
}

/// A field of the current VMCS; 0 where VMREAD fails.
pub fn read(field: Field) -> u64 {
    vmread(u64::from(field.encoding())).1
}

/// Writes a field of the current VMCS.
pub fn write(field: Field, value: u64) -> Report {
    vmwrite(u64::from(field.encoding()), value).vmx()
}

/// RDMSR.
#[inline(never)]
pub fn rdmsr(index: u32) -> (Raw, u64) {
    let (mut low, mut high) = (0_u32, 0_u32);
    // SAFETY: an exception is a result.
    let raw = unsafe { execute!("rdmsr", in("ecx") index, inout("eax") low, inout("edx") high) };
    (raw, u64::from(high) << 32 | u64::from(low))
}

/// WRMSR.
#[inline(never)]
pub fn wrmsr(index: u32, value: u64) -> Raw {
    // SAFETY: an exception is a result. L1 uses no MSR but EFER, whose bits in use the processor protects.
    unsafe { execute!("wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32) }
}

/// Defines readers of control registers.
macro_rules! control_registers {
    ($($name:ident = $text:literal;)*) => {$(
        #[inline(never)]
        pub fn $name() -> u64 {
            let mut value = 0_u64;
            // SAFETY: it only reads.
            let _: Raw = unsafe { execute!($text, value = inout(reg) value) };
            value
        }
    )*};
}

control_registers! {
    cr0 = "mov {value}, cr0";
    cr4 = "mov {value}, cr4";
}

/// MOV to CR0.
pub fn set_cr0(value: u64) -> Raw {
    // SAFETY: the processor refuses to leave paging in 64-bit mode; L1 depends on no other bit.
    unsafe { execute!("mov cr0, {value}", value = in(reg) value) }
}

/// MOV to CR4.
pub fn set_cr4(value: u64) -> Raw {
    // SAFETY: as above, of PAE.
    unsafe { execute!("mov cr4, {value}", value = in(reg) value) }
}

/// CR3.
pub fn cr3() -> u64 {
    let value;
    // SAFETY: it only reads.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// MOV to CR3, of the value that L1 began with.
pub fn set_cr3(value: u64) {
    // SAFETY: the paging structures of L0, which map all memory to itself.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// MOV to CR2, for a page fault that is injected.
pub fn set_cr2(value: u64) {
    // SAFETY: only the page-fault handler of L2 reads it.
    unsafe { asm!("mov cr2, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// CPUID: EAX, EBX, ECX, EDX.
pub fn cpuid(leaf: u32, subleaf: u32) -> (Raw, [u32; 4]) {
    let (mut eax, ebx, mut ecx, edx) = (leaf, 0_u64, subleaf, 0_u32);
    let (fault, flags): (u64, u64);
    let (mut ebx, mut edx) = (ebx, edx);
    // SAFETY: it only reads. RBX is the compiler's own and is given back.
    unsafe {
        asm!(
            "xchg rbx, {rbx}",
            "xor r10d, r10d",
            sensitive!("cpuid", "772f"),
            "772: pushfq",
            "pop r11",
            "xchg rbx, {rbx}",
            rbx = inout(reg) ebx,
            inout("eax") eax,
            inout("ecx") ecx,
            inout("edx") edx,
            out("r10") fault,
            out("r11") flags,
        );
    }
    (Raw { fault: Fault(fault), flags }, [eax, ebx as u32, ecx, edx])
}
