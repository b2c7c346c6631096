use super::*;
use crate::{Stop, testing::*};
use iced_x86::code_asm::*;
use x86_spec::vector;

#[test]
fn syscall_and_sysret() {
    let mut m = Machine::new(Start::Long);
    m.cpu.msr.star = u64::from(CODE64) << 32 | 0x23 << 48;
    m.cpu.msr.lstar = DATA;
    m.cpu.msr.fmask = rflags::IF | rflags::DF;
    m.cpu.sysflags |= rflags::IF;
    m.assemble_at(DATA, 64, |a| {
        a.mov(esi, cs)?;
        a.mov(edi, ss)?;
        a.pushfq()?;
        a.pop(rbx)?;
        a.sysretq()
    });
    let stop = m.go_user(|a| {
        a.syscall()?;
        a.mov(ebp, cs)?;
        a.hlt()
    });
    m.faulted(stop, vector::GP, 0);
    assert_eq!((m.cpu.r[gpr::RSI], m.cpu.r[gpr::RDI]), (u64::from(CODE64), u64::from(CODE64) + 8));
    assert_eq!((m.cpu.r[gpr::RCX], m.cpu.r[gpr::R11]), (USER_CODE + 2, rflags::FIXED | rflags::IF));
    assert_eq!((m.cpu.r[gpr::RBX], m.cpu.r[gpr::RBP]), (rflags::FIXED, 0x33));
    assert_eq!(m.slot(5), 0x2b);
    assert_eq!(m.slot(3), rflags::FIXED | rflags::IF | rflags::RF);
}

#[test]
fn syscall_needs_64_bit_mode_and_its_bit() {
    let mut m = Machine::new(Start::Long);
    m.cpu.msr.efer &= !efer::SCE;
    let stop = m.go(|a| a.syscall());
    assert_eq!(m.vector(&stop), vector::UD);
    let mut m = Machine::new(Start::Protected);
    m.cpu.msr.efer |= efer::SCE;
    let stop = m.run_bytes(&[0x0f, 0x05]);
    assert_eq!(m.vector(&stop), vector::UD);
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.sysretq());
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Long);
    m.cpu.r[gpr::RCX] = 1 << 47;
    let stop = m.go(|a| a.sysretq());
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.cpu.cpl, 0);
}

#[test]
fn sysenter_and_sysexit() {
    for start in [Start::Protected, Start::Long] {
        let mut m = Machine::new(start);
        let long = start == Start::Long;
        m.cpu.msr.sysenter_cs = u64::from(CODE32);
        m.cpu.msr.sysenter_eip = DATA;
        m.cpu.msr.sysenter_esp = INNER_STACK - 0x100;
        m.cpu.sysflags |= rflags::IF;
        m.assemble_at(DATA, if long { 64 } else { 32 }, |a| {
            a.mov(ebp, esp)?;
            a.mov(ebx, cs)?;
            a.mov(ecx, USER_STACK as u32 - 0x40)?;
            a.mov(edx, USER_CODE as u32 + 2)?;
            if long { a.sysexitq() } else { a.sysexit() }
        });
        let stop = m.go_user(|a| {
            a.sysenter()?;
            a.mov(esi, cs)?;
            a.mov(edi, ss)?;
            a.hlt()
        });
        if long {
            // Its segments lie beyond this GDT, which nobody looks at.
            m.faulted(stop, vector::GP, 0);
            assert_eq!(
                (m.cpu.r[gpr::RSI], m.cpu.r[gpr::RDI]),
                (u64::from(CODE32) + 35, u64::from(CODE32) + 43)
            );
        } else {
            m.faulted(stop, vector::GP, 0);
            assert_eq!((m.cpu.r[gpr::RSI], m.cpu.r[gpr::RDI]), (0x1b, 0x23));
        }
        assert_eq!((m.cpu.r[gpr::RBP], m.cpu.r[gpr::RBX]), (INNER_STACK - 0x100, u64::from(CODE32)));
        assert_eq!(m.slot(4), USER_STACK - 0x40);
        // SYSENTER cleared IF and SYSEXIT leaves it.
        assert_eq!(m.slot(3) & rflags::IF, 0);
    }
}

#[test]
fn sysenter_without_a_segment() {
    let mut m = Machine::new(Start::Protected);
    let stop = m.go_user(|a| a.sysenter());
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn swapgs_and_the_bases() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::FSGSBASE;
    m.cpu.msr.kernel_gs_base = DATA;
    m.write64(DATA + 8, 0x1122);
    let stop = m.go(|a| {
        a.swapgs()?;
        a.mov(rax, qword_ptr(8).gs())?;
        a.rdgsbase(rbx)?;
        a.mov(ecx, 0x1234u32)?;
        a.wrfsbase(rcx)?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    assert_eq!((m.cpu.r[gpr::RAX], m.cpu.r[gpr::RBX]), (0x1122, DATA));
    assert_eq!((m.cpu.msr.kernel_gs_base, m.cpu.seg[seg::FS].base), (0, 0x1234));
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.swapgs());
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.rdfsbase(rax));
    assert_eq!(m.vector(&stop), vector::UD);
}

#[test]
fn a_masked_trap_flag_keeps_single_steps_out_of_the_kernel() {
    for (fmask, traps) in [(rflags::TF, false), (0, true)] {
        let mut m = Machine::new(Start::Long);
        m.cpu.msr.star = u64::from(CODE64) << 32;
        m.cpu.msr.lstar = DATA;
        m.cpu.msr.fmask = fmask;
        m.assemble_at(DATA, 64, |a| {
            a.nop()?;
            a.ud2()
        });
        m.enter_user();
        m.cpu.set_rflags(rflags::FIXED | rflags::TF);
        let stop = m.go(|a| a.syscall());
        assert_eq!(m.vector(&stop), if traps { vector::DB } else { vector::UD });
        if traps {
            assert_eq!(m.slot(0), DATA);
        }
    }
}
