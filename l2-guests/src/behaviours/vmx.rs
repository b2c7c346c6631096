behaviours! {
    /// VMCALL.
    vmcall [16 32 64] (rax "anything that L1 is to see") {
        "vmcall"
        @after_vmcall
    }

    /// VMLAUNCH.
    vmlaunch [16 32 64] () {
        "vmlaunch"
        @after_vmlaunch
    }

    /// VMRESUME.
    vmresume [16 32 64] () {
        "vmresume"
        @after_vmresume
    }

    /// VMXOFF.
    vmxoff [16 32 64] () {
        "vmxoff"
        @after_vmxoff
    }

    /// VMXON.
    vmxon [16 32 64] (rdi "address of the operand") {
        r"vmxon qword ptr [\di]"
        @after_vmxon
    }

    /// VMCLEAR.
    vmclear [16 32 64] (rdi "address of the operand") {
        r"vmclear qword ptr [\di]"
        @after_vmclear
    }

    /// VMPTRLD.
    vmptrld [16 32 64] (rdi "address of the operand") {
        r"vmptrld qword ptr [\di]"
        @after_vmptrld
    }

    /// VMPTRST.
    vmptrst [16 32 64] (rdi "address of the operand") {
        r"vmptrst qword ptr [\di]"
        @after_vmptrst
    }

    /// VMREAD to (E/R)AX.
    vmread [16 32 64] (rcx "encoding of the field") {
        r"vmread \eax, \ecx"
        @after_vmread
    }

    /// VMREAD to memory.
    vmread_mem [16 32 64] (rcx "encoding of the field", rdi "address of the operand") {
        r"vmread [\di], \ecx"
        @after_vmread
    }

    /// VMWRITE of (E/R)AX.
    vmwrite [16 32 64] (rcx "encoding of the field", rax "value") {
        r"vmwrite \ecx, \eax"
        @after_vmwrite
    }

    /// VMWRITE from memory.
    vmwrite_mem [16 32 64] (rcx "encoding of the field", rdi "address of the operand") {
        r"vmwrite \ecx, [\di]"
        @after_vmwrite
    }

    /// VMWRITE of (E/R)AX, then VMREAD of the same field to (E/R)BX.
    vmwrite_vmread [16 32 64] (rcx "encoding of the field", rax "value") {
        r"vmwrite \ecx, \eax"
        @after_vmwrite
        r"vmread \ebx, \ecx"
        @after_vmread
    }

    /// INVEPT.
    invept [16 32 64] (rcx "type", rdi "address of the descriptor") {
        r"invept \ecx, xmmword ptr [\di]"
        @after_invept
    }

    /// INVVPID.
    invvpid [16 32 64] (rcx "type", rdi "address of the descriptor") {
        r"invvpid \ecx, xmmword ptr [\di]"
        @after_invvpid
    }

    /// VMFUNC.
    vmfunc [16 32 64] (rax "EAX: function", rcx "ECX: argument") {
        "vmfunc"
        @after_vmfunc
    }

    /// VMFUNC, then a read of memory through the new EPT.
    vmfunc_read [16 32 64] (rax "EAX: function", rcx "ECX: argument", rdi "address") {
        "vmfunc"
        @after_vmfunc
        r"mov \ax, [\di]"
        @after_mov
    }
}
