behaviours! {
    /// Counts down.
    nop_loop [16 32 64] (rsi "from where (0: 2^32)") {
        "2: nop"
        @after_nop
        "dec esi"
        "jnz 2b"
        @end
    }

    /// PAUSE as many times as said.
    pause_loop [16 32 64] (rsi "how many times (0: 2^32)") {
        "2: pause"
        @after_pause
        "dec esi"
        "jnz 2b"
        @end
    }

    /// VMCALL as many times as said.
    vmcall_loop [16 32 64] (rsi "how many times (0: 2^32)") {
        "2: vmcall"
        @after_vmcall
        "dec esi"
        "jnz 2b"
        @end
    }

    /// RDTSC as many times as said.
    rdtsc_loop [16 32 64] (rsi "how many times (0: 2^32)") {
        "2: rdtsc"
        @after_rdtsc
        "dec esi"
        "jnz 2b"
        @end
    }

    /// OUT of AL to port DX as many times as said.
    out_loop [16 32 64] (rdx "port", rax "AL: value", rsi "how many times (0: 2^32)") {
        "2: out dx, al"
        @after_out
        "dec esi"
        "jnz 2b"
        @end
    }

    /// WRMSR of EDX:EAX as many times as said.
    wrmsr_loop [16 32 64] (rcx "index", rax "low half", rdx "high half", rsi "how many times (0: 2^32)") {
        "2: wrmsr"
        @after_wrmsr
        "dec esi"
        "jnz 2b"
        @end
    }

    /// Reads one byte in each of so many pages.
    page_walk [32 64] (rdi "first address", rsi "how many pages (0: 2^32)") {
        r"2: mov al, byte ptr [\di]"
        @after_mov
        r"add \di, 0x1000"
        "dec esi"
        "jnz 2b"
        @end
    }

    /// Jumps to itself, for ever.
    spin [16 32 64] () {
        "2: jmp 2b"
        @end
    }
}
