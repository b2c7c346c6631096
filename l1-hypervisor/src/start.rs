//! The first instructions, L1's own GDT and TSS, the panic handler, and the memory functions that the compiler calls.

use crate::{phys, record, script, trap};
use core::arch::{asm, global_asm};
use l1_hypervisor::code;
use rig_abi::{boot, boot::BootInfo, port, record as abi};
use x86_64::{
    VirtAddr,
    instructions::{port::PortWriteOnly, tables},
    structures::{DescriptorTablePointer, gdt::SegmentSelector, tss::TaskStateSegment},
};

// L0 enters here in 64-bit mode. CR0.EM and TS are cleared, MP and NE set, and so are CR4.OSFXSR and OSXMMEXCPT: what
// code of the precompiled libcore might want. RDI, the boot information, is kept.
global_asm!(
    ".section .text.boot,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "lea rsp, [rip + __stack_top]",
    "xor ebp, ebp",
    "cld",
    sensitive!("mov rax, cr0"),
    "and rax, -13",
    "or rax, 0x22",
    sensitive!("mov cr0, rax"),
    sensitive!("mov rax, cr4"),
    "or rax, 0x600",
    sensitive!("mov cr4, rax"),
    "call {main}",
    "2: hlt",
    "jmp 2b",
    ".section .bss.stack,\"aw\",@nobits",
    ".balign 4096",
    ".skip 65536",
    "__stack_top:",
    ".text",
    main = sym main,
);

// Quadwords first: a machine that emulates every iteration of a string instruction has an eighth of the work.
global_asm!(
    ".text",
    ".globl memcpy, memmove, memset, memcmp, bcmp, strlen",
    "memmove: mov rax, rdi; sub rax, rsi; cmp rax, rdx; jae memcpy",
    "mov rax, rdi; mov rcx, rdx; lea rdi, [rdi + rdx - 1]; lea rsi, [rsi + rdx - 1]; std; rep movsb; cld; ret",
    "memcpy: mov rax, rdi; mov rcx, rdx; shr rcx, 3; rep movsq; mov ecx, edx; and ecx, 7; rep movsb; ret",
    "memset: mov r8, rdi; movzx eax, sil; mov rcx, 0x0101010101010101; imul rax, rcx",
    "mov rcx, rdx; shr rcx, 3; rep stosq; mov ecx, edx; and ecx, 7; rep stosb; mov rax, r8; ret",
    "memcmp:",
    "bcmp: mov rcx, rdx; xor eax, eax; cmp rcx, rcx; repe cmpsb; je 2f",
    "movzx eax, byte ptr [rdi - 1]; movzx ecx, byte ptr [rsi - 1]; sub eax, ecx",
    "2: ret",
    "strlen: xor eax, eax",
    "2: cmp byte ptr [rdi + rax], 0; je 3f; inc rax; jmp 2b",
    "3: ret",
);

/// Selectors of L1's GDT.
pub mod selector {
    /// 64-bit code.
    pub const CODE: u16 = 0x08;
    /// Data.
    pub const DATA: u16 = 0x10;
    /// The task-state segment.
    pub const TSS: u16 = 0x18;
}

static mut GDT: [u64; 5] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0, 0];
static mut TSS: TaskStateSegment = TaskStateSegment::new();

/// Stacks of the trap handlers: one for exceptions, one for what may come inside of another.
#[repr(C, align(16))]
struct Stacks([[u8; 8192]; 2]);
static mut STACKS: Stacks = Stacks([[0; 8192]; 2]);

/// Bases of TSS and GDT, for the host-state area.
pub fn tables() -> (u64, u64) {
    (&raw const TSS as u64, &raw const GDT as u64)
}

fn own_segments() {
    let (tss, gdt) = tables();
    // SAFETY: nothing else uses the statics, and interrupts are off. The descriptors are flat, and the TSS is L1's.
    unsafe {
        let (stacks, slots) = (&raw const STACKS.0, &raw mut TSS.interrupt_stack_table);
        for (slot, stack) in (&mut *slots).iter_mut().zip(&*stacks) {
            *slot = VirtAddr::new(stack.as_ptr_range().end as u64);
        }
        GDT[3] = 0x0000_8900_0000_0000 | 0x67 | (tss & 0xff_ffff) << 16 | (tss >> 24 & 0xff) << 56;
        GDT[4] = tss >> 32;
        tables::lgdt(&DescriptorTablePointer { limit: 5 * 8 - 1, base: VirtAddr::new(gdt) });
        asm!(
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2: mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "mov fs, {null:e}",
            "mov gs, {null:e}",
            code = const selector::CODE,
            scratch = out(reg) _,
            data = in(reg) u32::from(selector::DATA),
            null = in(reg) 0_u32,
        );
        tables::load_tss(SegmentSelector(selector::TSS));
    }
}

extern "C" fn main(info: *const BootInfo) -> ! {
    own_segments();
    trap::install();
    // SAFETY: L0 gives the address of the boot information in RDI; the first 4 GiB are mapped.
    let info = unsafe { info.read() };
    if info.magic != boot::MAGIC || info.version != rig_abi::VERSION {
        say("l1: boot information of another version: ");
        say_hex(info.magic);
        say_hex(u64::from(info.version));
        exit(code::BAD_BOOT);
    }
    phys::set_size(info.ram);
    record::open(info.ring, info.ring_len);
    script::interpret(&info);
    record::flush();
    exit(code::DONE)
}

/// Ends the run.
pub fn exit(code: u32) -> ! {
    // SAFETY: L0's port; it does not come back.
    unsafe { PortWriteOnly::<u32>::new(port::EXIT).write(code) };
    loop {
        x86_64::instructions::hlt();
    }
}

fn say(text: &str) {
    for byte in text.bytes() {
        // SAFETY: L0's port for text.
        unsafe { PortWriteOnly::<u8>::new(port::DEBUG).write(byte) };
    }
}

fn say_hex(value: u64) {
    say("0x");
    for shift in (0..64).step_by(4).rev() {
        let digit = (value >> shift) as u8 & 15;
        let text = [if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }];
        say(core::str::from_utf8(&text).unwrap_or("?"));
    }
    say(" ");
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let (file, line) = info.location().map_or(("", 0), |at| (at.file(), at.line()));
    let body =
        abi::PanicRecord { file: file.as_ptr() as u64, file_len: file.len() as u64, line: u64::from(line) };
    record::append(abi::Kind::PANIC, &body);
    record::flush();
    exit(code::PANIC)
}
