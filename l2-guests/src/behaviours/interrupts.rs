behaviours! {
    /// INT3.
    int3 [16 32 64] () {
        "int3"
        @after_int3
    }

    /// INT1 (0xf1).
    int1 [16 32 64] () {
        ".byte 0xf1"
        @after_int1
    }

    /// INTO with RFLAGS.OF set.
    into [16 32] () {
        "mov al, 0x7f"
        "inc al"
        @into
        "into"
        @after_into
    }

    /// INTO with RFLAGS.OF clear: goes on.
    into_not [16 32] () {
        "xor eax, eax"
        @into
        "into"
        @after_into
    }

    /// INT 0x20.
    int_n [16 32 64] () {
        "int 0x20"
        @after_int
    }

    /// INT 3 in two bytes.
    int_3_long [16 32 64] () {
        ".byte 0xcd, 3"
        @after_int
    }

    /// INT 13: a software interrupt through the vector of #GP, without an error code.
    int_13 [16 32 64] () {
        "int 13"
        @after_int
    }

    /// IRET to the same privilege level and the next instruction.
    iret [16 32 64] () {
        r".if \bits == 64"
        "mov eax, ss"
        "push rax"
        "lea rax, [rsp + 8]"
        "push rax"
        ".endif"
        r"pushf\w"
        r"mov \eax, cs"
        r"push \ax"
        r"near_call \bits, 3f"
        @after_iret
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }
}
