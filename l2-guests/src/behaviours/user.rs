behaviours! {
    /// IRET to CPL 3, and HLT there (#GP).
    user_hlt [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        "hlt"
        @after_hlt
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3, and CPUID there.
    user_cpuid [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        "cpuid"
        @after_cpuid
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3, and VMCALL there.
    user_vmcall [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        "vmcall"
        @after_vmcall
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3, and RDTSC there.
    user_rdtsc [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        "rdtsc"
        @after_rdtsc
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3, and IN of a byte from port 0x40 there.
    user_in [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        "in al, 0x40"
        @after_in
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3, and INT 0x20 there.
    user_int_n [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        "int 0x20"
        @after_int
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3, and a read from memory there.
    user_read [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS", rdi "address") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"near_call \bits, 3f"
        @user
        r"mov al, byte ptr [\di]"
        @after_mov
        "jmp 4f"
        "3:"
        @iret
        r"iret\w"
        "4:"
        @end
    }

    /// IRET to CPL 3 and to code elsewhere.
    user_at [32 64] (rbx "BX: selector of CS", rcx "CX: selector of SS", rax "address") {
        r"push \cx"
        r"push \sp"
        r"pushf\w"
        r"push \bx"
        r"push \ax"
        @iret
        r"iret\w"
        @after_iret
    }
}
