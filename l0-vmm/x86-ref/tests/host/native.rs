//! Instructions on the host's own processor, in user mode.

use std::{arch::asm, ptr, slice};

/// Where code lies, in the guest and on the host.
pub const CODE: u64 = 0x10_0000;
/// Bytes of code.
pub const CODE_SIZE: u64 = 0x10_0000;
/// Where data lies, in the guest and on the host.
pub const DATA: u64 = 0x20_0000;
/// Bytes of data.
pub const DATA_SIZE: u64 = 0x1_0000;

/// Registers before and after.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// By encoding; RSP is not loaded.
    pub gpr: [u64; 16],
    /// Arithmetic flags and DF.
    pub flags: u64,
    /// With every exception masked.
    pub mxcsr: u32,
    /// Fills up to a multiple of 16.
    pub pad: u32,
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
}

/// Code and data at fixed addresses.
pub struct Native(());

impl Native {
    /// Maps both regions. Once per process.
    pub fn new() -> Self {
        for (at, size, protection) in [
            (CODE, CODE_SIZE, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC),
            (DATA, DATA_SIZE, libc::PROT_READ | libc::PROT_WRITE),
        ] {
            let wanted = ptr::with_exposed_provenance_mut(at as usize);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            // SAFETY: the mapping replaces nothing, and no Rust object lives there.
            let got = unsafe { libc::mmap(wanted, size as usize, protection, flags, -1, 0) };
            assert_eq!(got, wanted, "cannot map {at:#x}: {}", std::io::Error::last_os_error());
        }
        Self(())
    }

    /// The data region.
    pub fn data(&mut self) -> &mut [u8] {
        let start = ptr::with_exposed_provenance_mut::<u8>(DATA as usize);
        // SAFETY: mapped by `new` for the life of the process, and borrowed with `self`.
        unsafe { slice::from_raw_parts_mut(start, DATA_SIZE as usize) }
    }

    /// Executes `code` at `at` in the code region: instructions that neither branch nor use RSP.
    pub fn execute(&mut self, at: u64, code: &[u8], registers: &mut Registers) {
        assert!(at >= CODE && at + (code.len() as u64) < CODE + CODE_SIZE);
        let start = ptr::with_exposed_provenance_mut::<u8>(at as usize);
        // SAFETY: inside the mapped code region.
        unsafe {
            ptr::copy_nonoverlapping(code.as_ptr(), start, code.len());
            // RET.
            start.add(code.len()).write(0xc3);
        }
        // SAFETY: the code ends with RET; all that it may change is saved or clobbered.
        unsafe { call(registers, start) }
    }
}

/// Loads the registers, calls the code, stores the registers.
unsafe fn call(registers: &mut Registers, code: *const u8) {
    // SAFETY: see `Native::execute`. Offsets: gpr 0, flags 128, mxcsr 136, xmm 144.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "push rdi",
            "push rsi",
            "movups xmm0, [rdi + 144]",
            "movups xmm1, [rdi + 160]",
            "movups xmm2, [rdi + 176]",
            "movups xmm3, [rdi + 192]",
            "movups xmm4, [rdi + 208]",
            "movups xmm5, [rdi + 224]",
            "movups xmm6, [rdi + 240]",
            "movups xmm7, [rdi + 256]",
            "movups xmm8, [rdi + 272]",
            "movups xmm9, [rdi + 288]",
            "movups xmm10, [rdi + 304]",
            "movups xmm11, [rdi + 320]",
            "movups xmm12, [rdi + 336]",
            "movups xmm13, [rdi + 352]",
            "movups xmm14, [rdi + 368]",
            "movups xmm15, [rdi + 384]",
            "ldmxcsr [rdi + 136]",
            "push qword ptr [rdi + 128]",
            "popfq",
            "mov rax, [rdi]",
            "mov rcx, [rdi + 8]",
            "mov rdx, [rdi + 16]",
            "mov rbx, [rdi + 24]",
            "mov rbp, [rdi + 40]",
            "mov rsi, [rdi + 48]",
            "mov r8, [rdi + 64]",
            "mov r9, [rdi + 72]",
            "mov r10, [rdi + 80]",
            "mov r11, [rdi + 88]",
            "mov r12, [rdi + 96]",
            "mov r13, [rdi + 104]",
            "mov r14, [rdi + 112]",
            "mov r15, [rdi + 120]",
            "mov rdi, [rdi + 56]",
            "call qword ptr [rsp]",
            "xchg rax, [rsp + 8]",
            "mov [rax + 8], rcx",
            "mov [rax + 16], rdx",
            "mov [rax + 24], rbx",
            "mov [rax + 40], rbp",
            "mov [rax + 48], rsi",
            "mov [rax + 56], rdi",
            "mov [rax + 64], r8",
            "mov [rax + 72], r9",
            "mov [rax + 80], r10",
            "mov [rax + 88], r11",
            "mov [rax + 96], r12",
            "mov [rax + 104], r13",
            "mov [rax + 112], r14",
            "mov [rax + 120], r15",
            "pushfq",
            "pop rcx",
            "mov [rax + 128], rcx",
            "mov rcx, [rsp + 8]",
            "mov [rax], rcx",
            "movups [rax + 144], xmm0",
            "movups [rax + 160], xmm1",
            "movups [rax + 176], xmm2",
            "movups [rax + 192], xmm3",
            "movups [rax + 208], xmm4",
            "movups [rax + 224], xmm5",
            "movups [rax + 240], xmm6",
            "movups [rax + 256], xmm7",
            "movups [rax + 272], xmm8",
            "movups [rax + 288], xmm9",
            "movups [rax + 304], xmm10",
            "movups [rax + 320], xmm11",
            "movups [rax + 336], xmm12",
            "movups [rax + 352], xmm13",
            "movups [rax + 368], xmm14",
            "movups [rax + 384], xmm15",
            "stmxcsr [rax + 136]",
            "push 0x1f80",
            "ldmxcsr [rsp]",
            "add rsp, 24",
            "cld",
            "pop rbp",
            "pop rbx",
            inout("rdi") registers => _,
            inout("rsi") code => _,
            out("rax") _, out("rcx") _, out("rdx") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
}
