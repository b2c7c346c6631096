behaviours! {
    /// MOV of DR0 to (E/R)AX.
    mov_from_dr0 [16 32 64] () {
        r"mov \eax, dr0"
        @after_mov
    }

    /// MOV of DR1 to (E/R)AX.
    mov_from_dr1 [16 32 64] () {
        r"mov \eax, dr1"
        @after_mov
    }

    /// MOV of DR2 to (E/R)AX.
    mov_from_dr2 [16 32 64] () {
        r"mov \eax, dr2"
        @after_mov
    }

    /// MOV of DR3 to (E/R)AX.
    mov_from_dr3 [16 32 64] () {
        r"mov \eax, dr3"
        @after_mov
    }

    /// MOV of DR4 to (E/R)AX. (DR6, if CR4.DE = 0.)
    mov_from_dr4 [16 32 64] () {
        r"mov \eax, dr4"
        @after_mov
    }

    /// MOV of DR5 to (E/R)AX. (DR7, if CR4.DE = 0.)
    mov_from_dr5 [16 32 64] () {
        r"mov \eax, dr5"
        @after_mov
    }

    /// MOV of DR6 to (E/R)AX.
    mov_from_dr6 [16 32 64] () {
        r"mov \eax, dr6"
        @after_mov
    }

    /// MOV of DR7 to (E/R)AX.
    mov_from_dr7 [16 32 64] () {
        r"mov \eax, dr7"
        @after_mov
    }

    /// MOV of (E/R)AX to DR0.
    mov_to_dr0 [16 32 64] (rax "value") {
        r"mov dr0, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR1.
    mov_to_dr1 [16 32 64] (rax "value") {
        r"mov dr1, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR2.
    mov_to_dr2 [16 32 64] (rax "value") {
        r"mov dr2, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR3.
    mov_to_dr3 [16 32 64] (rax "value") {
        r"mov dr3, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR4. (DR6, if CR4.DE = 0.)
    mov_to_dr4 [16 32 64] (rax "value") {
        r"mov dr4, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR5. (DR7, if CR4.DE = 0.)
    mov_to_dr5 [16 32 64] (rax "value") {
        r"mov dr5, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR6.
    mov_to_dr6 [16 32 64] (rax "value") {
        r"mov dr6, \eax"
        @after_mov
    }

    /// MOV of (E/R)AX to DR7.
    mov_to_dr7 [16 32 64] (rax "value") {
        r"mov dr7, \eax"
        @after_mov
    }

    /// A breakpoint on the execution of a NOP: sets DR0 and DR7.L0, then jumps to it.
    breakpoint [16 32 64] () {
        r"near_call \bits, 2f"
        @nop
        "nop"
        @after_nop
        "jmp 4f"
        r"2: pop \bx"
        r".if \bits == 16"
        "movzx ebx, bx"
        "add ebx, 0x10000"
        ".endif"
        r"mov dr0, \ebx"
        r"mov \eax, dr7"
        "or eax, 1"
        @mov_to_dr7
        r"mov dr7, \eax"
        @after_mov
        r"jmp \bx"
        "4:"
        @end
    }
}
