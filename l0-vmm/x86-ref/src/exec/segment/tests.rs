use super::super::descriptor::SELECTOR_INDEX;
use super::*;
use crate::{Stop, testing::*};
use iced_x86::code_asm::*;
use x86_spec::vector;

#[test]
fn loads_fault_with_the_selector() {
    let index = |selector: u16| u64::from(selector & SELECTOR_INDEX);
    // Selector, the fault of MOV DS, the fault of MOV SS; at CPL 0.
    for (selector, data, stack) in [
        (DATA32, None, None),
        (0, None, Some((vector::GP, 0))),
        (USER_DATA, None, Some((vector::GP, index(USER_DATA)))),
        (0x88 | 3, Some((vector::GP, 0x88)), Some((vector::GP, 0x88))),
        (0xf0, Some((vector::GP, 0xf0)), Some((vector::GP, 0xf0))),
        (TSS_SELECTOR, Some((vector::GP, index(TSS_SELECTOR))), Some((vector::GP, index(TSS_SELECTOR)))),
        (CODE32, None, Some((vector::GP, index(CODE32)))),
        (READ_ONLY, None, Some((vector::GP, index(READ_ONLY)))),
        (ABSENT, Some((vector::NP, index(ABSENT))), Some((vector::SS, index(ABSENT)))),
        // No LDT.
        (0x0c, Some((vector::GP, 0x0c)), Some((vector::GP, 0x0c))),
    ] {
        for (to_ss, expected) in [(false, data), (true, stack)] {
            let mut m = Machine::new(Start::Protected);
            m.cpu.ldtr.rights |= super::super::descriptor::rights::UNUSABLE;
            let stop = m.go(|a| {
                a.mov(ecx, u32::from(selector))?;
                if to_ss {
                    a.mov(ss, ecx)?
                } else {
                    a.mov(ds, ecx)?
                }
                a.hlt()
            });
            match expected {
                Some((vector, error)) => m.faulted(stop, vector, error),
                None => {
                    assert_eq!(stop, Stop::Halted, "{selector:#x}");
                    let loaded = m.cpu.seg[if to_ss { seg::SS } else { seg::DS }];
                    assert_eq!((loaded.selector, m.cpu.rip), (selector, CODE + 8));
                    assert_eq!(loaded.usable(), selector != 0);
                }
            }
        }
    }
}

#[test]
fn a_load_sets_the_accessed_bit() {
    let mut m = Machine::new(Start::Protected);
    m.write64(GDT + u64::from(READ_ONLY), descriptor(0x1234, 0xff, 0x90, 0));
    m.go(|a| {
        a.mov(ecx, u32::from(READ_ONLY))?;
        a.mov(es, ecx)?;
        a.hlt()
    });
    assert_eq!(m.read64(GDT + u64::from(READ_ONLY)), descriptor(0x1234, 0xff, 0x91, 0));
    let loaded = m.cpu.seg[seg::ES];
    assert_eq!((loaded.base, loaded.limit, loaded.rights), (0x1234, 0xff, 0x91));
}

#[test]
fn null_data_segments_cannot_be_used_and_user_code_cannot_load_inner_ones() {
    let mut m = Machine::new(Start::Protected);
    let stop = m.go(|a| {
        a.xor(ecx, ecx)?;
        a.mov(fs, ecx)?;
        a.mov(al, byte_ptr(0x10).fs())
    });
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Protected);
    let stop = m.go_user(|a| {
        a.mov(ecx, u32::from(DATA32))?;
        a.mov(ds, ecx)
    });
    m.faulted(stop, vector::GP, u64::from(DATA32));
}

#[test]
fn through_the_local_table() {
    let mut m = Machine::new(Start::Protected);
    m.write64(LDT + 8, descriptor(DATA, 0xfff, 0x93, 4));
    m.write(DATA + 0x20, &[0x5a]);
    let stop = m.go(|a| {
        a.mov(ecx, u32::from(LDT_SELECTOR))?;
        a.lldt(cx)?;
        a.mov(ecx, 0x0c)?;
        a.mov(gs, ecx)?;
        a.mov(al, byte_ptr(0x20).gs())?;
        a.mov(al, byte_ptr(0x1000).gs())
    });
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.cpu.r[gpr::RAX] & 0xff, 0x5a);
    assert_eq!(m.cpu.ldtr.base, LDT);
}

#[test]
fn push_and_pop_of_segments() {
    let mut m = Machine::new(Start::Protected);
    m.cpu.seg[seg::FS].selector = 0x77;
    m.write64(STACK - 8, !0);
    let stop = m.go(|a| {
        a.push(fs)?;
        a.push(u32::from(USER_DATA) as i32)?;
        a.pop(gs)?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    // The upper half of the slot is not written.
    assert_eq!(m.slot(0), 0xffff_0077);
    assert_eq!((m.cpu.seg[seg::GS].selector, m.cpu.r[gpr::RSP]), (USER_DATA, STACK - 4));
}

#[test]
fn lss_loads_both_and_has_no_shadow() {
    let mut m = Machine::new(Start::Long);
    m.write64(DATA, 0x1_2345_6000);
    m.write(DATA + 8, &DATA32.to_le_bytes());
    let stop = m.go(|a| {
        // lss rsp, [rax]
        a.mov(eax, DATA as u32)?;
        a.db(&[0x48, 0x0f, 0xb2, 0x20])?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    assert_eq!((m.cpu.r[gpr::RSP], m.cpu.seg[seg::SS].selector), (0x1_2345_6000, DATA32));
    assert_eq!(m.cpu.blocking, 0);
}

#[test]
fn what_lar_lsl_verr_and_verw_see() {
    for (selector, lar, lsl, verr, verw) in [
        (DATA32, Some(0x00c0_9300u32), Some(u32::MAX), true, true),
        (READ_ONLY, Some(0x00c0_9100), Some(u32::MAX), true, false),
        (CODE32, Some(0x00c0_9b00), Some(u32::MAX), true, false),
        (TSS_SELECTOR, Some(0x8b00), Some(0x88), false, false),
        (GATE, Some(0xec00), None, false, false),
        (0, None, None, false, false),
        (0xf0, None, None, false, false),
    ] {
        let mut m = Machine::new(Start::Protected);
        let stop = m.go(|a| {
            a.mov(ecx, u32::from(selector))?;
            a.mov(esi, 0x55u32)?;
            a.mov(edi, 0x55u32)?;
            a.lar(esi, ecx)?;
            a.setz(al)?;
            a.lsl(edi, ecx)?;
            a.setz(ah)?;
            a.verr(ecx)?;
            a.setz(dl)?;
            a.verw(ecx)?;
            a.setz(dh)?;
            a.hlt()
        });
        assert_eq!(stop, Stop::Halted);
        let r = &m.cpu.r;
        let flags = [r[gpr::RAX] & 1, r[gpr::RAX] >> 8 & 1, r[gpr::RDX] & 1, r[gpr::RDX] >> 8 & 1];
        let expected = [lar.is_some(), lsl.is_some(), verr, verw].map(u64::from);
        assert_eq!(flags, expected, "{selector:#x}");
        assert_eq!(r[gpr::RSI], u64::from(lar.unwrap_or(0x55)), "{selector:#x}");
        assert_eq!(r[gpr::RDI], u64::from(lsl.unwrap_or(0x55)), "{selector:#x}");
    }
}
