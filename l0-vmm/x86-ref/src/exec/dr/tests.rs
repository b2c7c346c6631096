use super::*;
use crate::{Stop, cpu::gpr, testing::*};
use iced_x86::code_asm::*;

#[test]
fn reserved_bits_and_aliases() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.mov(rax, -1i64)?;
        a.mov(dr0, rax)?;
        a.mov(eax, 0x00ff_ff00u32)?;
        a.mov(dr7, rax)?;
        a.mov(rbx, dr7)?;
        a.xor(eax, eax)?;
        a.mov(dr7, rax)?;
        a.mov(dr6, rax)?;
        a.mov(rcx, dr4)?;
        a.mov(rdx, dr5)?;
        a.hlt()
    });
    // GD is among the bits: reading DR7 is #DB, and clears it for the handler.
    assert_eq!(m.vector(&stop), vector::DB);
    assert_eq!((m.cpu.dr[0], m.cpu.dr[6]), (!0, 0xffff_2ff0));
    assert_eq!(m.cpu.dr[7], 0x00ff_0f00);

    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.xor(eax, eax)?;
        a.mov(dr7, rax)?;
        a.mov(dr6, rax)?;
        a.mov(rcx, dr4)?;
        a.mov(rdx, dr5)?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    // This profile has RTM and bus-lock detection, whose bits of DR6 can be cleared.
    assert_eq!((m.cpu.r[gpr::RCX], m.cpu.r[gpr::RDX]), (0xfffe_07f0, 0x400));
}

#[test]
fn faults() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::DE;
    let stop = m.go(|a| a.mov(rax, dr4));
    assert_eq!(m.vector(&stop), vector::UD);
    for register in [dr6, dr7] {
        let mut m = Machine::new(Start::Long);
        m.cpu.r[gpr::RAX] = 1 << 32;
        let stop = m.go(|a| a.mov(register, rax));
        m.faulted(stop, vector::GP, 0);
    }
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.mov(rax, dr0));
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn data_breakpoints_trap_behind_the_instruction() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.mov(eax, DATA as u32 + 4)?;
        a.mov(dr2, rax)?;
        // Breakpoint 2: writes of 4 bytes.
        a.mov(eax, (1u32 << 4) | 1 << 24 | 3 << 26)?;
        a.mov(dr7, rax)?;
        a.mov(ebx, dword_ptr(DATA + 4))?;
        a.mov(byte_ptr(DATA + 3), bl)?;
        a.mov(byte_ptr(DATA + 7), bl)?;
        a.inc(ecx)?;
        a.hlt()
    });
    assert_eq!(m.vector(&stop), vector::DB);
    assert_eq!(m.cpu.dr[6] & 0xf, 4);
    assert_eq!(m.cpu.r[gpr::RCX], 0);
}
