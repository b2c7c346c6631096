behaviours! {
    /// STI, and HLT in its shadow.
    sti_hlt [16 32 64] () {
        "sti"
        @after_sti
        "hlt"
        @after_hlt
    }

    /// STI and HLT as many times as said, then CLI.
    sti_hlt_loop [16 32 64] (rsi "how many times (0: 2^32)") {
        "2: sti"
        @after_sti
        "hlt"
        @after_hlt
        "dec esi"
        "jnz 2b"
        "cli"
        @end
    }

    /// STI and two NOPs, the first in its shadow.
    sti_nop [16 32 64] () {
        "sti"
        @after_sti
        "nop"
        @after_nop
        "nop"
        @end
    }

    /// STI and an endless loop.
    sti_spin [16 32 64] () {
        "sti"
        @spin
        "2: jmp 2b"
        @end
    }

    /// CLI.
    cli [16 32 64] () {
        "cli"
        @after_cli
    }

    /// STI, two NOPs, CLI, two NOPs.
    sti_cli [16 32 64] () {
        "sti"
        @after_sti
        "nop"
        @after_nop
        "nop"
        "cli"
        @after_cli
        "nop"
        "nop"
        @end
    }

    /// MOV SS and two NOPs, the first in its shadow.
    mov_ss_nop [16 32 64] () {
        "mov eax, ss"
        @mov_ss
        ".byte 0x8e, 0xd0 # mov ss, ax"
        @after_mov_ss
        "nop"
        @after_nop
        "nop"
        @end
    }

    /// MOV SS, and HLT in its shadow.
    mov_ss_hlt [16 32 64] () {
        "mov eax, ss"
        @mov_ss
        ".byte 0x8e, 0xd0 # mov ss, ax"
        @after_mov_ss
        "hlt"
        @after_hlt
    }

    /// Single-stepping: sets RFLAGS.TF by POPF; the trap is due after the NOP that follows.
    popf_tf [16 32 64] () {
        r"pushf\w"
        r"pop \ax"
        r"or \ax, 0x100"
        r"push \ax"
        @popf
        r"popf\w"
        @after_popf
        "nop"
        @after_nop
        "nop"
        @end
    }

    /// Single-stepping over CPUID: sets RFLAGS.TF by POPF; the trap is due after CPUID.
    tf_cpuid [16 32 64] (rcx "subleaf") {
        r"pushf\w"
        r"pop \ax"
        r"or \ax, 0x100"
        r"push \ax"
        "mov eax, 0"
        @popf
        r"popf\w"
        @after_popf
        "cpuid"
        @after_cpuid
        "nop"
        @end
    }

    /// POPF of (E/R)AX.
    popf [16 32 64] (rax "flags") {
        r"push \ax"
        @popf
        r"popf\w"
        @after_popf
    }

    /// PUSHF, and POP to (E/R)AX.
    pushf [16 32 64] () {
        r"pushf\w"
        @after_pushf
        r"pop \ax"
        @end
    }
}
