behaviours! {
    /// RDMSR.
    rdmsr [16 32 64] (rcx "index") {
        "rdmsr"
        @after_rdmsr
    }

    /// WRMSR.
    wrmsr [16 32 64] (rcx "index", rax "low half", rdx "high half") {
        "wrmsr"
        @after_wrmsr
    }

    /// WRMSR, then RDMSR of the same register.
    wrmsr_rdmsr [16 32 64] (rcx "index", rax "low half", rdx "high half") {
        "wrmsr"
        @after_wrmsr
        "xor eax, eax"
        "xor edx, edx"
        @rdmsr
        "rdmsr"
        @after_rdmsr
    }
}
