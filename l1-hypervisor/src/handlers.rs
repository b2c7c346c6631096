//! Exit handlers of the run loop, one for each basic exit reason that has one.
//!
//! They do what lets L2 go on, with answers that are the same on every machine. SDM: "VM Exits", "Exit Qualification".

use crate::{
    entry::registers,
    phys::{self, Phys},
    script::L1,
    vmx::{self, Raw},
};
use l1_hypervisor::{
    answer,
    ept::{RWX, WB},
};
use rig_abi::layout::{self, PAGE};
use x86_spec::{
    cr::{cr0, cr4, efer, rflags},
    vmx::{
        controls::{Entry, Proc2},
        exit::Reason,
        field::Field,
    },
};

/// How L2 goes on.
pub enum Next {
    /// Behind the instruction.
    Advance,
    /// Where it was.
    Again,
    /// Not at all.
    Stop,
}
type Handler = fn(&mut L1) -> Next;

/// State that L1 keeps for L2 during a case.
pub struct Answers {
    msrs: answer::Msrs,
    cr8: u64,
    debug: [u64; 8],
    tsc: u64,
}

impl Answers {
    /// As a case begins.
    pub const fn new() -> Self {
        Self { msrs: answer::Msrs::new(), cr8: 0, debug: [0; 8], tsc: 0 }
    }

    /// As a case begins.
    pub fn reset(&mut self) {
        self.msrs.clear();
        (self.cr8, self.tsc) = (0, 0);
        self.debug = [0; 8];
    }
}

const HANDLERS: &[(Reason, Handler)] = &[
    (Reason::EXCEPTION_NMI, exception),
    (Reason::CPUID, cpuid),
    (Reason::HLT, advance),
    (Reason::INVD, advance),
    (Reason::INVLPG, invlpg),
    (Reason::RDPMC, rdpmc),
    (Reason::RDTSC, rdtsc),
    (Reason::VMCALL, advance),
    (Reason::CR_ACCESS, cr_access),
    (Reason::DR_ACCESS, dr_access),
    (Reason::IO_INSTRUCTION, io),
    (Reason::MSR_READ, rdmsr),
    (Reason::MSR_WRITE, wrmsr),
    (Reason::MWAIT_INSTRUCTION, advance),
    (Reason::MONITOR_TRAP_FLAG, again),
    (Reason::MONITOR_INSTRUCTION, advance),
    (Reason::PAUSE_INSTRUCTION, advance),
    // L2's own descriptor tables are flat copies of each other: loads and stores of table registers are skipped.
    (Reason::GDTR_IDTR, advance),
    (Reason::LDTR_TR, advance),
    (Reason::EPT_VIOLATION, ept_violation),
    (Reason::RDTSCP, rdtscp),
    (Reason::WBINVD, advance),
    (Reason::XSETBV, advance),
];

/// The handler of a reason.
pub fn of(reason: Reason) -> Option<Handler> {
    HANDLERS.iter().find(|h| h.0 == reason).map(|h| h.1)
}

fn advance(_: &mut L1) -> Next {
    Next::Advance
}

fn again(_: &mut L1) -> Next {
    Next::Again
}

/// RAX, RCX, RDX, RBX of L2 by their numbers.
const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RSP: usize = 4;
const RSI: usize = 6;
const RDI: usize = 7;

fn cpuid(_: &mut L1) -> Next {
    let regs = registers();
    let answer = answer::cpuid(regs[RAX] as u32, regs[RCX] as u32);
    for (register, value) in [RAX, RBX, RCX, RDX].into_iter().zip(answer) {
        regs[register] = u64::from(value);
    }
    Next::Advance
}

/// EDX:EAX.
fn set_pair(value: u64) {
    let regs = registers();
    regs[RAX] = value & 0xffff_ffff;
    regs[RDX] = value >> 32;
}

fn rdmsr(l1: &mut L1) -> Next {
    set_pair(l1.answers.msrs.get(registers()[RCX] as u32));
    Next::Advance
}

fn wrmsr(l1: &mut L1) -> Next {
    let regs = registers();
    l1.answers.msrs.set(regs[RCX] as u32, regs[RDX] << 32 | regs[RAX] & 0xffff_ffff);
    Next::Advance
}

fn rdpmc(_: &mut L1) -> Next {
    set_pair(0);
    Next::Advance
}

/// A clock that goes on by 1000 with every reading.
fn rdtsc(l1: &mut L1) -> Next {
    l1.answers.tsc += 1000;
    set_pair(l1.answers.tsc);
    Next::Advance
}

fn rdtscp(l1: &mut L1) -> Next {
    registers()[RCX] = 0;
    rdtsc(l1)
}

/// L2's linear addresses are tagged with VPID 1; all of them are dropped.
fn invlpg(l1: &mut L1) -> Next {
    const SINGLE_CONTEXT: u64 = 1;
    if l1.caps().is_some_and(|caps| caps.invvpid_single()) {
        let descriptor = [1_u64, 0];
        let _: Raw = vmx::invvpid(SINGLE_CONTEXT, descriptor.as_ptr() as u64);
    }
    Next::Advance
}

/// Gives the exception back to L2. SDM: "Information for VM Exits Due to Vectored Events".
fn exception(_: &mut L1) -> Next {
    /// Vector, type, "error code valid" and "valid".
    const EVENT: u64 = 0x8000_0fff;
    const ERROR_VALID: u64 = 1 << 11;
    const NMI: u64 = 2;
    const PAGE_FAULT: u64 = 0x30e;
    let info = vmx::read(Field::VM_EXIT_INTR_INFO);
    if info >> 8 & 7 == NMI {
        return Next::Stop;
    }
    if info & 0x7ff == PAGE_FAULT {
        vmx::set_cr2(vmx::read(Field::EXIT_QUALIFICATION));
    }
    if info & ERROR_VALID != 0 {
        vmx::write(Field::VM_ENTRY_EXCEPTION_ERROR_CODE, vmx::read(Field::VM_EXIT_INTR_ERROR_CODE));
    }
    inject(info & EVENT)
}

fn inject(event: u64) -> Next {
    vmx::write(Field::VM_ENTRY_INSTRUCTION_LEN, vmx::read(Field::VM_EXIT_INSTRUCTION_LEN));
    if vmx::write(Field::VM_ENTRY_INTR_INFO_FIELD, event).ok() { Next::Again } else { Next::Stop }
}

/// Maps the page to itself, and lets L2 try again. SDM: "Exit Qualification for EPT Violations",
/// "Information for VM Exits That Occur During Event Delivery".
fn ept_violation(l1: &mut L1) -> Next {
    const SINGLE_CONTEXT: u64 = 1;
    const ALL: u64 = 2;
    const EVENT: u64 = 0x8000_0fff;
    const VALID: u64 = 1 << 31;
    let page = vmx::read(Field::GUEST_PHYSICAL_ADDRESS) & !(PAGE - 1);
    l1.dirty.add(layout::EPT, PAGE);
    if page >= phys::size() || l1.ept.map(&mut Phys, PAGE, page, page, WB | RWX).is_err() {
        return Next::Stop;
    }
    let single = l1.caps().is_some_and(|caps| caps.invept_single());
    let descriptor = [vmx::read(Field::EPT_POINTER), 0];
    let _: Raw = vmx::invept(if single { SINGLE_CONTEXT } else { ALL }, descriptor.as_ptr() as u64);
    let event = vmx::read(Field::IDT_VECTORING_INFO_FIELD);
    if event & VALID == 0 {
        return Next::Again;
    }
    vmx::write(Field::VM_ENTRY_EXCEPTION_ERROR_CODE, vmx::read(Field::IDT_VECTORING_ERROR_CODE));
    inject(event & EVENT)
}

/// A general-purpose register of L2 as the operand of a MOV.
fn register(number: usize) -> u64 {
    let value = if number == RSP { vmx::read(Field::GUEST_RSP) } else { registers()[number & 15] };
    if long_mode() { value } else { value & 0xffff_ffff }
}

fn set_register(number: usize, value: u64) {
    let value = if long_mode() { value } else { value & 0xffff_ffff };
    if number == RSP {
        vmx::write(Field::GUEST_RSP, value);
    } else {
        registers()[number & 15] = value;
    }
}

fn long_mode() -> bool {
    vmx::read(Field::VM_ENTRY_CONTROLS) & Entry::IA32E_MODE != 0
}

/// SDM: "Exit Qualification for Control-Register Accesses".
fn cr_access(l1: &mut L1) -> Next {
    const MOV_TO: u64 = 0;
    const MOV_FROM: u64 = 1;
    const CLTS: u64 = 2;
    let access = vmx::read(Field::EXIT_QUALIFICATION);
    let number = (access >> 8 & 15) as usize;
    match (access >> 4 & 3, access & 15) {
        (MOV_TO, 0) => set_cr0(register(number) & 0xffff_ffff),
        (MOV_TO, 3) => {
            vmx::write(Field::GUEST_CR3, register(number) & !(1 << 63));
            load_pdptes();
        }
        (MOV_TO, 4) => {
            let value = register(number);
            let mask = vmx::read(Field::CR4_GUEST_HOST_MASK);
            vmx::write(Field::GUEST_CR4, value & !mask | vmx::read(Field::GUEST_CR4) & mask);
            vmx::write(Field::CR4_READ_SHADOW, value);
        }
        (MOV_TO, 8) => l1.answers.cr8 = register(number) & 15,
        (MOV_FROM, 3) => set_register(number, vmx::read(Field::GUEST_CR3)),
        (MOV_FROM, 8) => set_register(number, l1.answers.cr8),
        (CLTS, _) => set_cr0(seen_cr0() & !cr0::TS),
        (3, _) => {
            // LMSW changes PE, MP, EM and TS, and cannot clear PE.
            let old = seen_cr0();
            set_cr0(old & !0xe | access >> 16 & 0xf | old & cr0::PE);
        }
        _ => return Next::Stop,
    }
    Next::Advance
}

/// CR0 as L2 sees it.
fn seen_cr0() -> u64 {
    let mask = vmx::read(Field::CR0_GUEST_HOST_MASK);
    vmx::read(Field::CR0_READ_SHADOW) & mask | vmx::read(Field::GUEST_CR0) & !mask
}

/// Gives L2 a new CR0: its own bits for real, L1's in the read shadow; and IA-32e mode as paging goes on or off.
fn set_cr0(value: u64) {
    let mask = vmx::read(Field::CR0_GUEST_HOST_MASK);
    let old = vmx::read(Field::GUEST_CR0);
    let new = value & !mask | old & mask;
    vmx::write(Field::GUEST_CR0, new);
    vmx::write(Field::CR0_READ_SHADOW, value);
    if (old ^ new) & cr0::PG == 0 {
        return;
    }
    let old_efer = vmx::read(Field::GUEST_IA32_EFER);
    if old_efer & efer::LME != 0 {
        let controls = vmx::read(Field::VM_ENTRY_CONTROLS);
        let on = new & cr0::PG != 0;
        let with = |value: u64, bit: u64| if on { value | bit } else { value & !bit };
        vmx::write(Field::GUEST_IA32_EFER, with(old_efer, efer::LMA));
        vmx::write(Field::VM_ENTRY_CONTROLS, with(controls, Entry::IA32E_MODE));
    }
    load_pdptes();
}

/// Under EPT, L1 loads the page-directory pointers of PAE paging. SDM: "PAE Paging".
fn load_pdptes() {
    let pae = vmx::read(Field::GUEST_CR0) & cr0::PG != 0
        && vmx::read(Field::GUEST_CR4) & cr4::PAE != 0
        && !long_mode();
    if !pae || vmx::read(Field::SECONDARY_VM_EXEC_CONTROL) & Proc2::ENABLE_EPT == 0 {
        return;
    }
    let table = vmx::read(Field::GUEST_CR3) & 0xffff_ffe0;
    let fields = [Field::GUEST_PDPTR0, Field::GUEST_PDPTR1, Field::GUEST_PDPTR2, Field::GUEST_PDPTR3];
    for (at, field) in (table..).step_by(8).zip(fields) {
        vmx::write(field, phys::peek(at, 8).unwrap_or(0));
    }
}

/// SDM: "Exit Qualification for MOV DR".
fn dr_access(l1: &mut L1) -> Next {
    const FROM: u64 = 1 << 4;
    let access = vmx::read(Field::EXIT_QUALIFICATION);
    let (dr, number) = ((access & 7) as usize, (access >> 8 & 15) as usize);
    if access & FROM != 0 {
        set_register(number, if dr == 7 { vmx::read(Field::GUEST_DR7) } else { l1.answers.debug[dr] });
    } else if dr == 7 {
        vmx::write(Field::GUEST_DR7, register(number) & 0xffff_ffff | 0x400);
    } else {
        l1.answers.debug[dr] = register(number);
    }
    Next::Advance
}

/// SDM: "Exit Qualification for I/O Instructions".
fn io(l1: &mut L1) -> Next {
    const IN: u64 = 1 << 3;
    const STRING: u64 = 1 << 4;
    let access = vmx::read(Field::EXIT_QUALIFICATION);
    let size = (access & 7) + 1;
    let port = (access >> 16) as u16;
    if access & STRING != 0 {
        return string_io(l1, access, size, port);
    }
    if access & IN != 0 {
        let rax = &mut registers()[RAX];
        let value = u64::from(answer::port(port));
        *rax = match size {
            1 => *rax & !0xff | value & 0xff,
            2 => *rax & !0xffff | value & 0xffff,
            _ => value,
        };
    }
    Next::Advance
}

/// INS and OUTS, with or without REP, on memory whose linear addresses are the physical ones. At most a page of elements
/// at a time; then L2 executes the rest.
fn string_io(l1: &mut L1, access: u64, size: u64, port: u16) -> Next {
    const IN: u64 = 1 << 3;
    const REP: u64 = 1 << 5;
    const MOST: u64 = 4096;
    const CODE_64: u64 = 1 << 13;
    const CODE_32: u64 = 1 << 14;
    let rights = vmx::read(Field::GUEST_CS_AR_BYTES);
    // The address size: 0 is 16 bits, 1 is 32, 2 is 64.
    let address_size = if l1.caps().is_some_and(|caps| caps.ins_outs_info()) {
        vmx::read(Field::VMX_INSTRUCTION_INFO) >> 7 & 7
    } else if long_mode() && rights & CODE_64 != 0 {
        2
    } else {
        u64::from(rights & CODE_32 != 0)
    };
    let mask = match address_size {
        0 => 0xffff,
        1 => 0xffff_ffff,
        _ => u64::MAX,
    };
    let regs = registers();
    let (input, rep) = (access & IN != 0, access & REP != 0);
    let left = if rep { regs[RCX] & mask } else { 1 };
    let count = left.min(MOST);
    let step = if vmx::read(Field::GUEST_RFLAGS) & rflags::DF != 0 { size.wrapping_neg() } else { size };
    let mut at = vmx::read(Field::GUEST_LINEAR_ADDRESS);
    if input {
        for _ in 0..count {
            if phys::poke(at, u64::from(answer::port(port)), size) {
                l1.dirty.add(at, size);
            }
            at = at.wrapping_add(step);
        }
    }
    // A 16-bit address size leaves the upper bits alone; a 32-bit one clears bits 63:32.
    let set = |register: &mut u64, value: u64| {
        *register = if address_size == 0 { *register & !mask | value & mask } else { value & mask };
    };
    let index = if input { RDI } else { RSI };
    let moved = regs[index].wrapping_add(step.wrapping_mul(count));
    set(&mut regs[index], moved);
    if rep {
        set(&mut regs[RCX], left - count);
    }
    if left > count { Next::Again } else { Next::Advance }
}
