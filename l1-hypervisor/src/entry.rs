//! VM entry and VM exit.
//!
//! A VM exit comes back at `vm_exit` and needs nothing of the host state but CS and paging: L2's registers go to a
//! static, and L1's stack pointer comes from one.

use crate::vmx::Raw;
use core::{arch::naked_asm, mem::offset_of};
use l1_hypervisor::outcome::Fault;

/// L2's general-purpose registers but RSP, which is a field of the VMCS.
#[repr(C)]
struct Registers {
    rax: u64,
    rcx: u64,
    rdx: u64,
    rbx: u64,
    rsp: u64,
    rbp: u64,
    rsi: u64,
    rdi: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
}

static mut GUEST: [u64; 16] = [0; 16];
static mut HOST_SP: u64 = 0;
const _: () = assert!(size_of::<Registers>() == size_of::<[u64; 16]>());

/// L2's general-purpose registers in the order of their encodings; number 4 is not used.
pub fn registers() -> &'static mut [u64; 16] {
    let registers = &raw mut GUEST;
    // SAFETY: L1 is single-threaded; `enter` changes them while nobody looks.
    unsafe { &mut *registers }
}

/// What `enter` returns: RAX and RDX.
#[repr(C)]
struct Ended {
    /// [`EXITED`], or an exception, or 0.
    status: u64,
    /// RFLAGS, if the instruction failed.
    flags: u64,
}

/// No [`Fault`]: it has bit 63 clear.
const EXITED: u64 = 1;

/// VMLAUNCH or VMRESUME; `None` if there was a VM exit.
pub fn run(resume: bool) -> Option<Raw> {
    // SAFETY: the state that a VM exit loads is the VMCS's; scripts that change it know what they do.
    let Ended { status, flags } = unsafe { enter(u64::from(resume)) };
    (status != EXITED).then_some(Raw { fault: Fault(status), flags })
}

/// Addresses for HOST_RSP and HOST_RIP.
pub fn host() -> (u64, u64) {
    (&raw const HOST_SP as u64, &raw const vm_exit as u64)
}

unsafe extern "C" {
    static vm_exit: u8;
}

#[unsafe(naked)]
unsafe extern "C" fn enter(resume: u64) -> Ended {
    naked_asm!(
        "push rbp; push rbx; push r12; push r13; push r14; push r15",
        "mov [rip + {sp}], rsp",
        "test edi, edi",
        "mov rax, [rip + {guest} + {rax}]",
        "mov rcx, [rip + {guest} + {rcx}]",
        "mov rdx, [rip + {guest} + {rdx}]",
        "mov rbx, [rip + {guest} + {rbx}]",
        "mov rbp, [rip + {guest} + {rbp}]",
        "mov rsi, [rip + {guest} + {rsi}]",
        "mov rdi, [rip + {guest} + {rdi}]",
        "mov r8, [rip + {guest} + {r8}]",
        "mov r9, [rip + {guest} + {r9}]",
        "mov r10, [rip + {guest} + {r10}]",
        "mov r11, [rip + {guest} + {r11}]",
        "mov r12, [rip + {guest} + {r12}]",
        "mov r13, [rip + {guest} + {r13}]",
        "mov r14, [rip + {guest} + {r14}]",
        "mov r15, [rip + {guest} + {r15}]",
        "jnz 20f",
        sensitive!("vmlaunch", "40f"),
        "jmp 30f",
        "20:",
        sensitive!("vmresume", "40f"),
        // VMfail: the flags say how. The registers still hold L2's values.
        "30: pushfq",
        "pop rdx",
        "xor eax, eax",
        "jmp 50f",
        // An exception: the trap handler left it in R10.
        "40: mov rax, r10",
        "xor edx, edx",
        "jmp 50f",
        ".globl vm_exit",
        "vm_exit:",
        "mov [rip + {guest} + {rax}], rax",
        "mov [rip + {guest} + {rcx}], rcx",
        "mov [rip + {guest} + {rdx}], rdx",
        "mov [rip + {guest} + {rbx}], rbx",
        "mov [rip + {guest} + {rbp}], rbp",
        "mov [rip + {guest} + {rsi}], rsi",
        "mov [rip + {guest} + {rdi}], rdi",
        "mov [rip + {guest} + {r8}], r8",
        "mov [rip + {guest} + {r9}], r9",
        "mov [rip + {guest} + {r10}], r10",
        "mov [rip + {guest} + {r11}], r11",
        "mov [rip + {guest} + {r12}], r12",
        "mov [rip + {guest} + {r13}], r13",
        "mov [rip + {guest} + {r14}], r14",
        "mov [rip + {guest} + {r15}], r15",
        "mov rsp, [rip + {sp}]",
        "mov eax, {exited}",
        "50: pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
        "ret",
        guest = sym GUEST,
        sp = sym HOST_SP,
        exited = const EXITED,
        rax = const offset_of!(Registers, rax),
        rcx = const offset_of!(Registers, rcx),
        rdx = const offset_of!(Registers, rdx),
        rbx = const offset_of!(Registers, rbx),
        rbp = const offset_of!(Registers, rbp),
        rsi = const offset_of!(Registers, rsi),
        rdi = const offset_of!(Registers, rdi),
        r8 = const offset_of!(Registers, r8),
        r9 = const offset_of!(Registers, r9),
        r10 = const offset_of!(Registers, r10),
        r11 = const offset_of!(Registers, r11),
        r12 = const offset_of!(Registers, r12),
        r13 = const offset_of!(Registers, r13),
        r14 = const offset_of!(Registers, r14),
        r15 = const offset_of!(Registers, r15),
    )
}
