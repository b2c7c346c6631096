behaviours! {
    /// INVLPG.
    invlpg [16 32 64] (rdi "address") {
        r"invlpg [\di]"
        @after_invlpg
    }

    /// INVPCID.
    invpcid [16 32 64] (rcx "type", rdi "address of the descriptor") {
        r"invpcid \ecx, xmmword ptr [\di]"
        @after_invpcid
    }

    /// WBINVD.
    wbinvd [16 32 64] () {
        "wbinvd"
        @after_wbinvd
    }

    /// INVD.
    invd [16 32 64] () {
        "invd"
        @after_invd
    }

    /// WBNOINVD.
    wbnoinvd [16 32 64] () {
        "wbnoinvd"
        @after_wbnoinvd
    }

    /// A read, INVLPG of the same page, and a read again.
    read_invlpg_read [32 64] (rdi "address") {
        r"mov al, byte ptr [\di]"
        @after_first
        r"invlpg [\di]"
        @after_invlpg
        r"mov al, byte ptr [\di]"
        @after_second
    }

    /// A read, CR3 written with its own value, and a read again.
    read_mov_cr3_read [32 64] (rdi "address") {
        r"mov al, byte ptr [\di]"
        @after_first
        r"mov \ebx, cr3"
        @mov_to_cr3
        r"mov cr3, \ebx"
        @after_mov_to_cr3
        r"mov al, byte ptr [\di]"
        @after_second
    }
}
