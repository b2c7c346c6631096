use super::*;
use crate::{Stop, testing::*};
use iced_x86::code_asm::*;
use x86_spec::vector;

#[test]
fn cli_and_sti_under_iopl() {
    for (iopl, pvi, flag) in [(3u64, false, Some(rflags::IF)), (0, false, None), (0, true, Some(rflags::VIF))]
    {
        let mut m = Machine::new(Start::Protected);
        m.cpu.sysflags |= iopl << 12;
        if pvi {
            m.cpu.cr4 |= cr4::PVI;
        }
        let stop = m.go_user(|a| {
            a.sti()?;
            a.ud2()
        });
        match flag {
            None => m.faulted(stop, vector::GP, 0),
            Some(flag) => {
                assert_eq!(m.vector(&stop), vector::UD);
                assert_eq!(m.slot(2) & (rflags::IF | rflags::VIF), flag);
            }
        }
    }
    let mut m = Machine::new(Start::Protected);
    m.cpu.cr4 |= cr4::PVI;
    m.cpu.sysflags |= rflags::VIP;
    let stop = m.go_user(|a| a.sti());
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn stac_and_clac() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.stac()?;
        a.pushfq()?;
        a.clac()?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    assert_ne!(m.slot(0) & rflags::AC, 0);
    assert_eq!(m.cpu.sysflags & rflags::AC, 0);
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.stac());
    assert_eq!(m.vector(&stop), vector::UD);
}

#[test]
fn smap_with_and_without_ac() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::SMAP;
    // The one page is a user page: supervisor code may execute there (no SMEP), and touch it with AC alone.
    m.cpu.flush_tlb();
    m.cpu.mode_changed();
    m.cpu.set_rflags(rflags::FIXED | rflags::AC);
    let stop = m.go(|a| {
        a.mov(al, byte_ptr(DATA))?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
}

#[test]
fn monitor_and_mwait() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.mov(eax, DATA as u32)?;
        a.xor(ecx, ecx)?;
        a.xor(edx, edx)?;
        a.monitor()?;
        a.mwait()?;
        a.inc(ecx)?;
        a.monitor()
    });
    // ECX is not 0.
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.mwait());
    assert_eq!(m.vector(&stop), vector::UD);
}

#[test]
fn random_numbers_come_again() {
    let draw = || {
        let mut m = Machine::new(Start::Long);
        let stop = m.go(|a| {
            a.rdrand(rax)?;
            a.setc(bl)?;
            a.rdseed(ecx)?;
            a.hlt()
        });
        assert_eq!(stop, Stop::Halted);
        assert_eq!(m.cpu.r[gpr::RBX] & 1, 1);
        (m.cpu.r[gpr::RAX], m.cpu.r[gpr::RCX])
    };
    assert_eq!(draw(), draw());
    assert_ne!(draw().0, draw().1);
}

#[test]
fn xsetbv_and_xgetbv() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::OSXSAVE;
    let stop = m.go(|a| {
        a.xor(ecx, ecx)?;
        a.xor(edx, edx)?;
        a.mov(eax, 7)?;
        a.xsetbv()?;
        a.xor(eax, eax)?;
        a.xgetbv()?;
        a.mov(ebx, eax)?;
        a.mov(eax, 5)?;
        a.xsetbv()
    });
    m.faulted(stop, vector::GP, 0);
    assert_eq!((m.cpu.r[gpr::RBX], m.cpu.xcr0), (7, 7));
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| a.xgetbv());
    assert_eq!(m.vector(&stop), vector::UD);
}
