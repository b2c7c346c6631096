behaviours! {
    /// Far return to another code segment and the next instruction.
    far_return [16 32 64] (rbx "BX: selector of CS") {
        r"push \bx"
        r"near_call \bits, 3f"
        @after_retf
        "jmp 4f"
        "3:"
        @retf
        r".if \bits == 64"
        ".byte 0x48"
        ".endif"
        ".byte 0xcb"
        "4:"
        @end
    }

    /// Far jump through a pointer in memory (offset, then selector).
    far_jump_mem [16 32] (rdi "address of the pointer") {
        r".if \bits == 16"
        ".byte 0xff, 0x2d # ljmp [di]"
        ".else"
        ".byte 0xff, 0x2f # ljmp [edi]"
        ".endif"
        @after_jmp
    }

    /// Task switch by a far jump to the TSS (or task gate) in AX.
    task_switch [32] (rax "AX: selector") {
        r"mov word ptr [\data + 4], ax"
        @jmp
        r".byte 0xff, 0x2d # ljmp [\data]"
        r".long \data"
        @after_jmp
    }

    /// Task switch by a far call of the TSS (or task gate) in AX.
    task_call [32] (rax "AX: selector") {
        r"mov word ptr [\data + 4], ax"
        @call
        r".byte 0xff, 0x1d # lcall [\data]"
        r".long \data"
        @after_call
    }

    /// Task switch by IRET with RFLAGS.NT set.
    task_iret [32] () {
        "pushfd"
        "or dword ptr [esp], 0x4000"
        "popfd"
        @iret
        "iretd"
        @after_iret
    }
}
