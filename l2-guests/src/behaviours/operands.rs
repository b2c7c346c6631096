behaviours! {
    /// VMPTRLD with base, index, scale and displacement: `[bx + si + 0x10]`, `[ebx + esi*4 + 0x10]`,
    /// `[rbx + rsi*4 + 0x10]`.
    vmptrld_sib [16 32 64] (rbx "base", rsi "index") {
        r".if \bits == 16"
        "vmptrld qword ptr [bx + si + 0x10]"
        ".else"
        r"vmptrld qword ptr [\bx + \si*4 + 0x10]"
        ".endif"
        @after_vmptrld
    }

    /// VMPTRLD at an address that is a displacement only: `L2_DATA + 8`.
    vmptrld_disp [16 32 64] () {
        r"vmptrld qword ptr [\data + 8]"
        @after_vmptrld
    }

    /// VMPTRLD at an address relative to RIP: 16 bytes behind the instruction.
    vmptrld_rip [64] () {
        "vmptrld qword ptr [rip + 0x10]"
        @after_vmptrld
    }

    /// VMPTRLD with the segment prefix FS.
    vmptrld_fs [16 32 64] (rdi "offset") {
        r"vmptrld qword ptr fs:[\di]"
        @after_vmptrld
    }

    /// VMPTRLD on the stack: by way of BP (16) or (E/R)SP, 8 bytes above.
    vmptrld_stack [16 32 64] () {
        r".if \bits == 16"
        "vmptrld qword ptr [bp + 8]"
        ".else"
        r"vmptrld qword ptr [\sp + 8]"
        ".endif"
        @after_vmptrld
    }

    /// VMPTRLD with a negative displacement.
    vmptrld_below [16 32 64] (rdi "address above the operand, by 16") {
        r"vmptrld qword ptr [\di - 0x10]"
        @after_vmptrld
    }

    /// VMPTRLD with the other address size: `[edi]`, `[di]`, `[edi]`.
    vmptrld_other_size [16 32 64] (rdi "address") {
        r".if \bits == 32"
        "vmptrld qword ptr [di]"
        ".else"
        "vmptrld qword ptr [edi]"
        ".endif"
        @after_vmptrld
    }

    /// VMREAD from R9 to R15.
    vmread_high [64] (r9 "encoding of the field") {
        "vmread r15, r9"
        @after_vmread
    }

    /// VMREAD from R9 to `[r12 + r13*8 - 0x20]`.
    vmread_high_mem [64] (r9 "encoding of the field", r12 "base", r13 "index") {
        "vmread [r12 + r13*8 - 0x20], r9"
        @after_vmread
    }

    /// VMWRITE of R15 to R9.
    vmwrite_high [64] (r9 "encoding of the field", r15 "value") {
        "vmwrite r9, r15"
        @after_vmwrite
    }

    /// INVEPT with R10 and `[r12]`.
    invept_high [64] (r10 "type", r12 "address of the descriptor") {
        "invept r10, xmmword ptr [r12]"
        @after_invept
    }

    /// SGDT to `[bx + si + 0x10]`, `[ebx + esi*4 + 0x10]`, `[rbx + rsi*4 + 0x10]`.
    sgdt_sib [16 32 64] (rbx "base", rsi "index") {
        r".if \bits == 16"
        "sgdt [bx + si + 0x10]"
        ".else"
        r"sgdt [\bx + \si*4 + 0x10]"
        ".endif"
        @after_sgdt
    }
}
