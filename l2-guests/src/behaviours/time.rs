behaviours! {
    /// RDTSC.
    rdtsc [16 32 64] () {
        "rdtsc"
        @after_rdtsc
    }

    /// RDTSC twice: the first value is left in EBX (low) and ECX (high).
    rdtsc_twice [16 32 64] () {
        "rdtsc"
        @after_rdtsc
        "mov ebx, eax"
        "mov ecx, edx"
        @rdtsc
        "rdtsc"
        @end
    }

    /// RDTSCP.
    rdtscp [16 32 64] () {
        "rdtscp"
        @after_rdtscp
    }

    /// RDPMC.
    rdpmc [16 32 64] (rcx "counter") {
        "rdpmc"
        @after_rdpmc
    }

    /// PAUSE.
    pause [16 32 64] () {
        "pause"
        @after_pause
    }

    /// MONITOR.
    monitor [16 32 64] (rax "address", rcx "extensions", rdx "hints") {
        ".byte 0x0f, 0x01, 0xc8"
        @after_monitor
    }

    /// MWAIT.
    mwait [16 32 64] (rax "hints", rcx "extensions") {
        ".byte 0x0f, 0x01, 0xc9"
        @after_mwait
    }

    /// MONITOR, then MWAIT.
    monitor_mwait [16 32 64] (rax "address, then hints", rcx "extensions", rdx "hints of MONITOR") {
        ".byte 0x0f, 0x01, 0xc8"
        @after_monitor
        ".byte 0x0f, 0x01, 0xc9"
        @after_mwait
    }

    /// TPAUSE with ECX.
    tpause [16 32 64] (rcx "state", rax "low half of the deadline", rdx "high half") {
        "tpause ecx"
        @after_tpause
    }

    /// UMWAIT with ECX.
    umwait [16 32 64] (rcx "state", rax "low half of the deadline", rdx "high half") {
        "umwait ecx"
        @after_umwait
    }
}
