// The tables that a guest that changes its mode brings along: flat segments, accessed already, so that
// nothing is written to the image.
#[cfg(nestrig_image)]
core::arch::global_asm!(
    ".section .rodata.l2,\"a\",@progbits",
    ".balign 8",
    "l2_gdt:",
    ".quad 0",
    ".quad 0x00cf9b000000ffff", // 0x08: 32-bit code
    ".quad 0x00cf93000000ffff", // 0x10: data
    ".quad 0x00af9b000000ffff", // 0x18: 64-bit code
    "l2_gdtr:",
    ".word 31",
    ".quad l2_gdt",
    ".text",
);

behaviours! {
    /// Real mode to protected mode: LGDT, CR0.PE, far jump, flat data segments.
    pe_on [16] () {
        "lgdt cs:[l2_gdtr - 0x10000]"
        @after_lgdt
        "mov eax, cr0"
        @after_mov_from_cr0
        "or al, 1"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        ".byte 0x66, 0xea # ljmp 0x08:3f"
        ".long 3f"
        ".word 0x08"
        "3:"
        @protected:32
        "mov eax, 0x10"
        "mov ds, eax"
        "mov es, eax"
        "mov ss, eax"
        "mov esp, {stack}"
        @end
    }

    /// Protected mode to real mode: clears CR0.PE, and goes on in the segments that are there.
    pe_off [32] () {
        "mov eax, cr0"
        @after_mov_from_cr0
        "and al, 0xfe"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
    }

    /// Turns on 32-bit paging, with a page directory at `L2_DATA + 0x1000` that maps 4 MiB.
    paging_on [32] () {
        r"mov dword ptr [\data + 0x1000], 0x83"
        "mov eax, cr4"
        "or eax, 0x10"
        @mov_to_cr4
        "mov cr4, eax"
        @after_mov_to_cr4
        r"mov eax, \data + 0x1000"
        @mov_to_cr3
        "mov cr3, eax"
        @after_mov_to_cr3
        "mov eax, cr0"
        "or eax, 0x80000000"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        "nop"
        @end
    }

    /// Turns on PAE paging, with a page-directory-pointer table at `L2_DATA + 0x1000` and 2 MiB mapped.
    pae_on [32] () {
        r"mov dword ptr [\data + 0x1000], \data + 0x2001"
        r"mov dword ptr [\data + 0x2000], 0x83"
        "mov eax, cr4"
        "or eax, 0x20"
        @mov_to_cr4
        "mov cr4, eax"
        @after_mov_to_cr4
        r"mov eax, \data + 0x1000"
        @mov_to_cr3
        "mov cr3, eax"
        @after_mov_to_cr3
        "mov eax, cr0"
        "or eax, 0x80000000"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        "nop"
        @end
    }

    /// Turns paging off.
    paging_off [32] () {
        "mov eax, cr0"
        "and eax, 0x7fffffff"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        "nop"
        @end
    }

    /// Protected mode without paging to 64-bit mode: paging structures at `L2_DATA + 0x1000` that map 2 MiB,
    /// CR4.PAE, CR3, IA32_EFER.LME, CR0.PG, far jump.
    long_on [32] () {
        "lgdt [l2_gdtr]"
        r"mov dword ptr [\data + 0x1000], \data + 0x2003"
        r"mov dword ptr [\data + 0x2000], \data + 0x3003"
        r"mov dword ptr [\data + 0x3000], 0x83"
        "mov eax, cr4"
        "or eax, 0x20"
        @mov_to_cr4
        "mov cr4, eax"
        @after_mov_to_cr4
        r"mov eax, \data + 0x1000"
        @mov_to_cr3
        "mov cr3, eax"
        @after_mov_to_cr3
        "mov ecx, 0xc0000080"
        @rdmsr
        "rdmsr"
        @after_rdmsr
        "or eax, 0x100"
        @wrmsr
        "wrmsr"
        @after_wrmsr
        "mov eax, cr0"
        "or eax, 0x80000000"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        ".byte 0xea # ljmp 0x18:3f"
        ".long 3f"
        ".word 0x18"
        "3:"
        @long:64
        "mov r8, rsp"
        @end
    }

    /// 64-bit mode to compatibility mode, by a far return to the 32-bit code segment of a table of its own.
    long_to_compat [64] () {
        "lgdt [rip + l2_gdtr]"
        @after_lgdt
        "push 0x08"
        "lea rax, [rip + 3f]"
        "push rax"
        @retf
        ".byte 0x48, 0xcb # retfq"
        "3:"
        @compat:32
        "mov eax, 0x10"
        "mov ds, eax"
        @end
    }

    /// 64-bit mode to protected mode without paging: compatibility mode, then CR0.PG clear.
    long_off [64] () {
        "lgdt [rip + l2_gdtr]"
        @after_lgdt
        "push 0x08"
        "lea rax, [rip + 3f]"
        "push rax"
        @retf
        ".byte 0x48, 0xcb # retfq"
        "3:"
        @compat:32
        "mov eax, 0x10"
        "mov ds, eax"
        "mov ss, eax"
        "mov eax, cr0"
        @after_mov_from_cr0
        "and eax, 0x7fffffff"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        "mov ecx, 0xc0000080"
        @rdmsr
        "rdmsr"
        @after_rdmsr
        "and eax, 0xfffffeff"
        @wrmsr
        "wrmsr"
        @after_wrmsr
    }

    /// Real mode to 64-bit mode at once: CR4.PAE, CR3, IA32_EFER.LME, then CR0.PE and CR0.PG together.
    real_to_long [16] () {
        "lgdt cs:[l2_gdtr - 0x10000]"
        @after_lgdt
        "mov dword ptr [0x1000], {data} + 0x2003"
        "mov dword ptr [0x2000], {data} + 0x3003"
        "mov dword ptr [0x3000], 0x83"
        "mov eax, cr4"
        "or eax, 0x20"
        @mov_to_cr4
        "mov cr4, eax"
        @after_mov_to_cr4
        "mov eax, {data} + 0x1000"
        @mov_to_cr3
        "mov cr3, eax"
        @after_mov_to_cr3
        "mov ecx, 0xc0000080"
        @rdmsr
        "rdmsr"
        @after_rdmsr
        "or eax, 0x100"
        @wrmsr
        "wrmsr"
        @after_wrmsr
        "mov eax, cr0"
        "or eax, 0x80000001"
        @mov_to_cr0
        "mov cr0, eax"
        @after_mov_to_cr0
        ".byte 0x66, 0xea # ljmp 0x18:3f"
        ".long 3f"
        ".word 0x18"
        "3:"
        @long:64
        "mov r8, rsp"
        @end
    }
}
