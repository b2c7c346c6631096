//! Exceptions in L1. One in an instruction of the exception table is that instruction's result; any other ends the run.

use crate::{record, start};
use core::arch::global_asm;
use l1_hypervisor::{code, outcome::Fault};
use rig_abi::record::{Kind, TrapRecord};
use x86_64::{
    VirtAddr,
    instructions::tables,
    registers::control::Cr2,
    structures::{DescriptorTablePointer, idt::Entry},
};

/// What the stubs push, lowest address first.
#[repr(C)]
struct Frame {
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
}

const VECTORS: usize = 32;
const STUB: u64 = 16;

// One stub of 16 bytes for each vector; those without an error code push a zero. Rust's code keeps the other registers.
global_asm!(
    ".text",
    ".macro trap_stub vector",
    ".balign 16",
    // Vectors 8, 10 to 14, 17, 21, 29 and 30 have an error code.
    ".if ((0x60227d00 >> \\vector) & 1) == 0",
    "push 0",
    ".endif",
    "push \\vector",
    "jmp trap_common",
    ".endm",
    ".balign 16",
    "trap_stubs:",
    ".set trap_vector, 0",
    ".rept 32",
    "trap_stub trap_vector",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    "trap_common:",
    "push rax; push rcx; push rdx; push rsi; push rdi; push r8; push r9; push r10; push r11",
    "cld",
    "mov rdi, rsp",
    "call {handler}",
    "pop r11; pop r10; pop r9; pop r8; pop rdi; pop rsi; pop rdx; pop rcx; pop rax",
    "add rsp, 16",
    "iretq",
    handler = sym handler,
);

unsafe extern "C" {
    static trap_stubs: u8;
    static __extable_start: [u64; 2];
    static __extable_end: [u64; 2];
}

static mut IDT: [Entry<extern "C" fn()>; VECTORS] = [const { Entry::missing() }; VECTORS];

/// Base of the IDT, for the host-state area.
pub fn idt() -> u64 {
    &raw const IDT as u64
}

/// Points every exception at its stub, each with a stack of the interrupt-stack table: code that was compiled with a red
/// zone is safe from them.
pub fn install() {
    const NMI: u64 = 2;
    const DOUBLE_FAULT: u64 = 8;
    let gates = &raw mut IDT;
    // SAFETY: the IDT is used by nobody else before it is loaded; the stubs are 16 bytes apart.
    unsafe {
        let stubs = &raw const trap_stubs as u64;
        for (vector, gate) in (0..).zip(&mut *gates) {
            let inner = matches!(vector, NMI | DOUBLE_FAULT);
            gate.set_handler_addr(VirtAddr::new(stubs + STUB * vector)).set_stack_index(u16::from(inner));
        }
        let limit = (size_of::<[Entry<extern "C" fn()>; VECTORS]>() - 1) as u16;
        tables::lidt(&DescriptorTablePointer { limit, base: VirtAddr::new(idt()) });
    }
}

extern "C" fn handler(frame: &mut Frame) {
    let mut entry = &raw const __extable_start;
    while entry < &raw const __extable_end {
        // SAFETY: the linker script puts the pairs between these two symbols.
        let [instruction, fixup] = unsafe { entry.read() };
        if instruction == frame.rip {
            frame.r10 = Fault::new(frame.vector, frame.error).0;
            frame.rip = fixup;
            return;
        }
        entry = entry.wrapping_add(1);
    }
    let &mut Frame { vector, error, rip, rsp, rflags, .. } = frame;
    record::append(Kind::TRAP, &TrapRecord { vector, error, rip, rsp, rflags, cr2: Cr2::read_raw() });
    record::flush();
    start::exit(code::TRAP)
}
