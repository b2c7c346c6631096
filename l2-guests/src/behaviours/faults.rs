behaviours! {
    /// UD2.
    ud2 [16 32 64] () {
        "ud2"
        @after_ud2
    }

    /// #GP: loads DS with a selector that no table has, 0xfff8; in real mode, reads 2 bytes at DS:0xffff.
    gp [16 32 64] () {
        "mov eax, 0xfff8"
        @mov
        r".if \bits == 16"
        "mov ax, word ptr [0xffff]"
        ".else"
        ".byte 0x8e, 0xd8 # mov ds, ax"
        ".endif"
        @after_mov
    }

    /// #GP: reads 8 bytes at a non-canonical address.
    gp_noncanonical [64] () {
        "mov rbx, 0x8000000000000000"
        @mov
        "mov rax, qword ptr [rbx]"
        @after_mov
    }

    /// #SS: reads 8 bytes at a non-canonical address, by way of RBP; in real mode, pops 2 bytes at SS:0xffff.
    ss [16 64] () {
        r".if \bits == 16"
        "mov sp, 0xffff"
        ".else"
        "mov rbp, 0x8000000000000000"
        ".endif"
        @access
        r".if \bits == 16"
        "pop ax"
        ".else"
        "mov rax, qword ptr [rbp]"
        ".endif"
        @after_access
    }

    /// #DE: divides by zero.
    div_zero [16 32 64] () {
        "xor ecx, ecx"
        @div
        "div ecx"
        @after_div
    }

    /// #BR: BOUND of 1 in the bounds 0 and 0.
    bound [16 32] () {
        "mov eax, 1"
        @bound
        r"bound \ax, [\data]"
        @after_bound
    }

    /// #NM, if CR0.TS or CR0.EM is set: FNOP.
    fnop [16 32 64] () {
        "fnop"
        @after_fnop
    }

    /// #NM, if CR0.TS and CR0.MP are set: WAIT.
    fwait [16 32 64] () {
        "fwait"
        @after_fwait
    }

    /// Loads DS from AX.
    load_ds [16 32 64] (rax "AX: selector") {
        ".byte 0x8e, 0xd8 # mov ds, ax"
        @after_mov
    }

    /// Loads SS from AX.
    load_ss [16 32 64] (rax "AX: selector") {
        ".byte 0x8e, 0xd0 # mov ss, ax"
        @after_mov
    }

    /// #UD: LOCK before an instruction that does not take it.
    lock_nop [16 32 64] () {
        ".byte 0xf0, 0x90"
        @after_nop
    }

    /// #GP: 16 bytes of prefixes and opcode, one more than an instruction may have.
    too_long [16 32 64] () {
        ".fill 15, 1, 0x2e"
        "nop"
        @after_nop
    }
}
