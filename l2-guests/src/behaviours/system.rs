behaviours! {
    /// RDRAND of (E/R)AX.
    rdrand [16 32 64] () {
        r"rdrand \ax"
        @after_rdrand
    }

    /// RDRAND of R15D.
    rdrand_r15d [64] () {
        "rdrand r15d"
        @after_rdrand
    }

    /// RDSEED of (E/R)AX.
    rdseed [16 32 64] () {
        r"rdseed \ax"
        @after_rdseed
    }

    /// RDPID to (E/R)AX.
    rdpid [16 32 64] () {
        r"rdpid \eax"
        @after_rdpid
    }

    /// GETSEC.
    getsec [16 32 64] (rax "leaf", rbx "argument") {
        "getsec"
        @after_getsec
    }

    /// ENCLS.
    encls [16 32 64] (rax "leaf") {
        "encls"
        @after_encls
    }

    /// PCONFIG.
    pconfig [16 32 64] (rax "leaf") {
        "pconfig"
        @after_pconfig
    }

    /// XSAVES.
    xsaves [16 32 64] (rdi "address, 64-byte aligned", rax "low half of the mask", rdx "high half") {
        r"xsaves [\di]"
        @after_xsaves
    }

    /// XRSTORS.
    xrstors [16 32 64] (rdi "address, 64-byte aligned", rax "low half of the mask", rdx "high half") {
        r"xrstors [\di]"
        @after_xrstors
    }

    /// RSM.
    rsm [16 32 64] () {
        "rsm"
        @after_rsm
    }

    /// SWAPGS.
    swapgs [64] () {
        "swapgs"
        @after_swapgs
    }

    /// SYSCALL.
    syscall [32 64] () {
        "syscall"
        @after_syscall
    }

    /// SYSENTER.
    sysenter [16 32 64] () {
        "sysenter"
        @after_sysenter
    }
}
