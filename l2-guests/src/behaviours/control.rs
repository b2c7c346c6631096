behaviours! {
    /// MOV of CR0 to (E/R)AX.
    mov_from_cr0 [16 32 64] () {
        r"mov \eax, cr0"
        @after_mov
    }

    /// MOV of CR2 to (E/R)AX.
    mov_from_cr2 [16 32 64] () {
        r"mov \eax, cr2"
        @after_mov
    }

    /// MOV of CR3 to (E/R)AX.
    mov_from_cr3 [16 32 64] () {
        r"mov \eax, cr3"
        @after_mov
    }

    /// MOV of CR4 to (E/R)AX.
    mov_from_cr4 [16 32 64] () {
        r"mov \eax, cr4"
        @after_mov
    }

    /// MOV of CR8 to (E/R)AX.
    mov_from_cr8 [64] () {
        r"mov \eax, cr8"
        @after_mov
    }

    /// MOV of (E/R)AX to CR0.
    mov_to_cr0 [16 32 64] (rax "value") {
        r"mov cr0, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to CR2.
    mov_to_cr2 [16 32 64] (rax "value") {
        r"mov cr2, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to CR3.
    mov_to_cr3 [16 32 64] (rax "value") {
        r"mov cr3, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to CR4.
    mov_to_cr4 [16 32 64] (rax "value") {
        r"mov cr4, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to CR8.
    mov_to_cr8 [64] (rax "value") {
        r"mov cr8, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to CR0, and back to (E/R)BX.
    mov_cr0_and_back [16 32 64] (rax "value") {
        r"mov cr0, \eax"
        @after_mov
        r"mov \ebx, cr0"
        @end
    }

    /// MOV of (E/R)AX to CR4, and back to (E/R)BX.
    mov_cr4_and_back [16 32 64] (rax "value") {
        r"mov cr4, \eax"
        @after_mov
        r"mov \ebx, cr4"
        @end
    }

    /// MOV of (E/R)SP to CR3.
    mov_to_cr3_from_sp [16 32 64] (rsp "value") {
        r"mov cr3, \esp"
        @after_mov
    }

    /// MOV of CR3 to (E/R)SP.
    mov_from_cr3_to_sp [16 32 64] () {
        r"mov \esp, cr3"
        @after_mov
    }

    /// MOV of R15 to CR3.
    mov_to_cr3_from_r15 [64] (r15 "value") {
        "mov cr3, r15"
        @after_mov
    }

    /// MOV of CR8 to R9.
    mov_from_cr8_to_r9 [64] () {
        "mov r9, cr8"
        @after_mov
    }

    /// Clears CR0.TS.
    clts [16 32 64] () {
        "clts"
        @after_clts
    }

    /// LMSW from AX.
    lmsw [16 32 64] (rax "AX: value") {
        "lmsw ax"
        @after_lmsw
    }

    /// LMSW from memory.
    lmsw_mem [16 32 64] (rdi "address") {
        r"lmsw word ptr [\di]"
        @after_lmsw
    }

    /// SMSW to (E/R)AX.
    smsw [16 32 64] () {
        r"smsw \ax"
        @after_smsw
    }

    /// SMSW to memory.
    smsw_mem [16 32 64] (rdi "address") {
        r"smsw word ptr [\di]"
        @after_smsw
    }

    /// XSETBV.
    xsetbv [16 32 64] (rcx "index", rax "low half", rdx "high half") {
        "xsetbv"
        @after_xsetbv
    }

    /// XGETBV.
    xgetbv [16 32 64] (rcx "index") {
        "xgetbv"
        @after_xgetbv
    }
}
