behaviours! {
    /// Reads (E/R)AX from `L2_DATA`.
    mem_read [16 32 64] () {
        r"mov \ax, [\data]"
        @after_mov
    }

    /// Writes (E/R)AX to `L2_DATA`.
    mem_write [16 32 64] (rax "value") {
        r"mov [\data], \ax"
        @after_mov
    }

    /// Adds one to (16, 32, 64 bits of) memory at `L2_DATA`.
    mem_rmw [16 32 64] () {
        r"inc \ptr ptr [\data]"
        @after_inc
    }

    /// Reads from `L2_DATA` twice.
    mem_read_twice [16 32 64] () {
        r"mov \ax, [\data]"
        @after_first
        r"mov \bx, [\data]"
        @after_second
    }

    /// Writes to `L2_DATA` twice.
    mem_write_twice [16 32 64] (rax "value") {
        r"mov [\data], \ax"
        @after_first
        r"mov [\data], \ax"
        @after_second
    }

    /// Reads from `L2_DATA`, then writes there.
    mem_read_write [16 32 64] (rax "value") {
        r"mov \bx, [\data]"
        @after_read
        r"mov [\data], \ax"
        @after_write
    }

    /// Reads (E/R)AX from an address.
    mem_read_at [16 32 64] (rdi "address") {
        r"mov \ax, [\di]"
        @after_mov
    }

    /// Writes (E/R)AX to an address.
    mem_write_at [16 32 64] (rdi "address", rax "value") {
        r"mov [\di], \ax"
        @after_mov
    }

    /// Adds one to (16, 32, 64 bits of) memory at an address.
    mem_rmw_at [16 32 64] (rdi "address") {
        r"inc \ptr ptr [\di]"
        @after_inc
    }

    /// Reads EAX from an address: the size of most registers of the APIC.
    mem_read_dword_at [16 32 64] (rdi "address") {
        r"mov eax, dword ptr [\di]"
        @after_mov
    }

    /// Writes EAX to an address: the size of most registers of the APIC.
    mem_write_dword_at [16 32 64] (rdi "address", rax "value") {
        r"mov dword ptr [\di], eax"
        @after_mov
    }

    /// LOCK CMPXCHG of memory with (E/R)AX and (E/R)CX.
    mem_cmpxchg_at [16 32 64] (rdi "address", rax "expected value", rcx "new value") {
        r"lock cmpxchg [\di], \cx"
        @after_cmpxchg
    }

    /// XCHG of memory with (E/R)AX.
    mem_xchg_at [16 32 64] (rdi "address", rax "value") {
        r"xchg [\di], \ax"
        @after_xchg
    }

    /// Reads across the end of the first page of `L2_DATA`.
    mem_read_cross [16 32 64] () {
        r"mov \ax, [\data + 0xfff]"
        @after_mov
    }

    /// Writes across the end of the first page of `L2_DATA`.
    mem_write_cross [16 32 64] (rax "value") {
        r"mov [\data + 0xfff], \ax"
        @after_mov
    }

    /// Adds one across the end of the first page of `L2_DATA`.
    mem_rmw_cross [16 32 64] () {
        r"inc \ptr ptr [\data + 0xfff]"
        @after_inc
    }

    /// REP MOVSB.
    mem_copy [16 32 64] (rsi "from", rdi "to", rcx "how many bytes") {
        "rep movsb"
        @after_movs
    }

    /// REP STOSB.
    mem_fill [16 32 64] (rdi "to", rcx "how many bytes", rax "AL: value") {
        "rep stosb"
        @after_stos
    }

    /// Jumps to an address.
    mem_exec [16 32 64] (rax "address (16-bit code: offset into CS)") {
        r"jmp \ax"
        @after_jmp
    }

    /// Calls an address.
    mem_call [16 32 64] (rax "address (16-bit code: offset into CS)") {
        r"call \ax"
        @after_call
    }

    /// PUSH of (E/R)AX.
    push_to [16 32 64] (rsp "address above the one written", rax "value") {
        r"push \ax"
        @after_push
    }

    /// POP to (E/R)AX.
    pop_from [16 32 64] (rsp "address") {
        r"pop \ax"
        @after_pop
    }

    /// Reads through a pointer that is itself in memory.
    mem_read_indirect [16 32 64] (rdi "address of the pointer") {
        r"mov \bx, [\di]"
        @read
        r"mov \ax, [\bx]"
        @after_read
    }

    /// PREFETCHT0: never faults.
    prefetch [16 32 64] (rdi "address") {
        r"prefetcht0 byte ptr [\di]"
        @after_prefetch
    }

    /// CLFLUSH.
    clflush [16 32 64] (rdi "address") {
        r"clflush byte ptr [\di]"
        @after_clflush
    }
}
