behaviours! {
    /// Triple fault: LIDT of an empty table (the zeroes at `L2_DATA`), then UD2.
    triple_fault [16 32 64] () {
        r"lidt [\data]"
        @after_lidt
        "ud2"
        @after_ud2
    }

    /// Triple fault: LIDT of an empty table, then INT3.
    triple_fault_int3 [16 32 64] () {
        r"lidt [\data]"
        @after_lidt
        "int3"
        @after_int3
    }

    /// Triple fault: LIDT of an empty table, then a division by zero.
    triple_fault_div [16 32 64] () {
        r"lidt [\data]"
        @after_lidt
        "xor ecx, ecx"
        @div
        "div ecx"
        @after_div
    }
}
