behaviours! {
    /// SGDT.
    sgdt [16 32 64] (rdi "address of the operand") {
        r"sgdt [\di]"
        @after_sgdt
    }

    /// SIDT.
    sidt [16 32 64] (rdi "address of the operand") {
        r"sidt [\di]"
        @after_sidt
    }

    /// LGDT.
    lgdt [16 32 64] (rdi "address of the operand") {
        r"lgdt [\di]"
        @after_lgdt
    }

    /// LIDT.
    lidt [16 32 64] (rdi "address of the operand") {
        r"lidt [\di]"
        @after_lidt
    }

    /// SLDT to (E/R)AX. (#UD in real mode.)
    sldt [16 32 64] () {
        r"sldt \ax"
        @after_sldt
    }

    /// SLDT to memory. (#UD in real mode.)
    sldt_mem [16 32 64] (rdi "address of the operand") {
        r"sldt word ptr [\di]"
        @after_sldt
    }

    /// STR to (E/R)AX. (#UD in real mode.)
    str [16 32 64] () {
        r"str \ax"
        @after_str
    }

    /// STR to memory. (#UD in real mode.)
    str_mem [16 32 64] (rdi "address of the operand") {
        r"str word ptr [\di]"
        @after_str
    }

    /// LLDT from AX. (#UD in real mode.)
    lldt [16 32 64] (rax "AX: selector") {
        "lldt ax"
        @after_lldt
    }

    /// LLDT from memory. (#UD in real mode.)
    lldt_mem [16 32 64] (rdi "address of the operand") {
        r"lldt word ptr [\di]"
        @after_lldt
    }

    /// LTR from AX. (#UD in real mode.)
    ltr [16 32 64] (rax "AX: selector") {
        "ltr ax"
        @after_ltr
    }

    /// LTR from memory. (#UD in real mode.)
    ltr_mem [16 32 64] (rdi "address of the operand") {
        r"ltr word ptr [\di]"
        @after_ltr
    }
}
