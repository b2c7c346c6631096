behaviours! {
    /// IN of a byte from port 0x40, an immediate.
    in_imm [16 32 64] () {
        "in al, 0x40"
        @after_in
    }

    /// IN of 4 bytes from port 0x40, an immediate.
    in_imm_dword [16 32 64] () {
        "in eax, 0x40"
        @after_in
    }

    /// OUT of a byte to port 0x40, an immediate.
    out_imm [16 32 64] (rax "AL: value") {
        "out 0x40, al"
        @after_out
    }

    /// OUT of 4 bytes to port 0x40, an immediate.
    out_imm_dword [16 32 64] (rax "EAX: value") {
        "out 0x40, eax"
        @after_out
    }

    /// IN of a byte from port DX.
    in_dx [16 32 64] (rdx "port") {
        "in al, dx"
        @after_in
    }

    /// IN of 2 bytes from port DX.
    in_dx_word [16 32 64] (rdx "port") {
        "in ax, dx"
        @after_in
    }

    /// IN of 4 bytes from port DX.
    in_dx_dword [16 32 64] (rdx "port") {
        "in eax, dx"
        @after_in
    }

    /// OUT of a byte to port DX.
    out_dx [16 32 64] (rdx "port", rax "AL: value") {
        "out dx, al"
        @after_out
    }

    /// OUT of 2 bytes to port DX.
    out_dx_word [16 32 64] (rdx "port", rax "AX: value") {
        "out dx, ax"
        @after_out
    }

    /// OUT of 4 bytes to port DX.
    out_dx_dword [16 32 64] (rdx "port", rax "EAX: value") {
        "out dx, eax"
        @after_out
    }
}
