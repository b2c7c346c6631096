behaviours! {
    /// CPUID.
    cpuid_once [16 32 64] (rax "leaf", rcx "subleaf") {
        "cpuid"
        @after_cpuid
    }

    /// CPUID, leaf EDI, as many times as said.
    cpuid_loop [16 32 64] (rdi "leaf", rsi "how many times (0: 2^32)") {
        "2: mov eax, edi"
        "xor ecx, ecx"
        @cpuid
        "cpuid"
        @after_cpuid
        "dec esi"
        "jnz 2b"
        @end
    }

    /// CPUID with three prefixes that change nothing but its length (5 bytes).
    cpuid_prefixed [16 32 64] (rax "leaf", rcx "subleaf") {
        ".byte 0x66, 0x2e, 0x67, 0x0f, 0xa2"
        @after_cpuid
    }
}
