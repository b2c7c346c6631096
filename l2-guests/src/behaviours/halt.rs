behaviours! {
    /// HLT, and once more.
    hlt_once [16 32 64] () {
        "hlt"
        @after_hlt
    }

    /// HLT as many times as said, and once more.
    hlt_loop [16 32 64] (rsi "how many times (0: 2^32)") {
        "2: hlt"
        @after_hlt
        "dec esi"
        "jnz 2b"
        @end
    }

    /// A NOP before HLT.
    nop_hlt [16 32 64] () {
        "nop"
        @hlt
    }
}
