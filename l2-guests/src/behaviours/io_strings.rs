behaviours! {
    /// INS of a byte from port DX to ES:(E/R)DI.
    insb [16 32 64] (rdx "port", rdi "address") {
        "insb"
        @after_ins
    }

    /// INS of 2 bytes from port DX to ES:(E/R)DI.
    insw [16 32 64] (rdx "port", rdi "address") {
        "insw"
        @after_ins
    }

    /// INS of 4 bytes from port DX to ES:(E/R)DI.
    insd [16 32 64] (rdx "port", rdi "address") {
        "insd"
        @after_ins
    }

    /// OUTS of a byte from DS:(E/R)SI to port DX.
    outsb [16 32 64] (rdx "port", rsi "address") {
        "outsb"
        @after_outs
    }

    /// OUTS of 2 bytes from DS:(E/R)SI to port DX.
    outsw [16 32 64] (rdx "port", rsi "address") {
        "outsw"
        @after_outs
    }

    /// OUTS of 4 bytes from DS:(E/R)SI to port DX.
    outsd [16 32 64] (rdx "port", rsi "address") {
        "outsd"
        @after_outs
    }

    /// REP INS of bytes from port DX to ES:(E/R)DI.
    rep_insb [16 32 64] (rdx "port", rdi "address", rcx "how many bytes") {
        "rep insb"
        @after_ins
    }

    /// REP INS of words from port DX to ES:(E/R)DI.
    rep_insw [16 32 64] (rdx "port", rdi "address", rcx "how many words") {
        "rep insw"
        @after_ins
    }

    /// REP INS of doublewords from port DX to ES:(E/R)DI.
    rep_insd [16 32 64] (rdx "port", rdi "address", rcx "how many doublewords") {
        "rep insd"
        @after_ins
    }

    /// REP OUTS of bytes from DS:(E/R)SI to port DX.
    rep_outsb [16 32 64] (rdx "port", rsi "address", rcx "how many bytes") {
        "rep outsb"
        @after_outs
    }

    /// REP OUTS of words from DS:(E/R)SI to port DX.
    rep_outsw [16 32 64] (rdx "port", rsi "address", rcx "how many words") {
        "rep outsw"
        @after_outs
    }

    /// REP OUTS of doublewords from DS:(E/R)SI to port DX.
    rep_outsd [16 32 64] (rdx "port", rsi "address", rcx "how many doublewords") {
        "rep outsd"
        @after_outs
    }

    /// REP INS of bytes, downwards (RFLAGS.DF = 1).
    rep_insb_down [16 32 64] (rdx "port", rdi "highest address", rcx "how many bytes") {
        "std"
        @ins
        "rep insb"
        @after_ins
    }

    /// OUTS of a byte from ES:(E/R)SI: with a segment prefix.
    outsb_es [16 32 64] (rdx "port", rsi "address") {
        ".byte 0x26"
        "outsb"
        @after_outs
    }

    /// OUTS of a byte with the other address size (16-bit code: ESI; 32-bit code: SI; 64-bit code: ESI).
    outsb_other_size [16 32 64] (rdx "port", rsi "address") {
        ".byte 0x67"
        "outsb"
        @after_outs
    }

    /// INS of a byte with the other address size (16-bit code: EDI; 32-bit code: DI; 64-bit code: EDI).
    insb_other_size [16 32 64] (rdx "port", rdi "address") {
        ".byte 0x67"
        "insb"
        @after_ins
    }
}
