behaviours! {
    /// Reads a byte at an address.
    pf_read [32 64] (rdi "address") {
        r"mov al, byte ptr [\di]"
        @after_mov
    }

    /// Writes a byte at an address.
    pf_write [32 64] (rdi "address", rax "AL: value") {
        r"mov byte ptr [\di], al"
        @after_mov
    }

    /// Jumps to an address.
    pf_exec [32 64] (rax "address") {
        r"jmp \ax"
        @after_jmp
    }

    /// Reads a byte, then CR2 to (E/R)AX.
    pf_read_cr2 [32 64] (rdi "address") {
        r"mov al, byte ptr [\di]"
        @after_mov
        r"mov \eax, cr2"
        @end
    }
}
