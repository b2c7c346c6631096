use super::*;
use crate::{Stop, cpu::gpr, testing::*};
use iced_x86::code_asm::*;
use x86_spec::vector;

#[test]
fn load_and_store_tables() {
    let mut m = Machine::new(Start::Long);
    m.write(DATA, &[0xff, 0x0f]);
    m.write64(DATA + 2, 0xffff_8000_1234_5678);
    let stop = m.go(|a| {
        a.lgdt(ptr(DATA))?;
        a.sgdt(ptr(DATA + 0x10))?;
        a.sidt(ptr(DATA + 0x20))?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    assert_eq!(m.cpu.gdtr, DescTable { base: 0xffff_8000_1234_5678, limit: 0xfff });
    assert_eq!((m.read16(DATA + 0x10), m.read64(DATA + 0x12)), (0xfff, 0xffff_8000_1234_5678));
    assert_eq!((m.read16(DATA + 0x20), m.read64(DATA + 0x22)), (0xfff, IDT));
    let mut m = Machine::new(Start::Long);
    m.write64(DATA + 2, 1 << 47);
    let stop = m.go(|a| a.lidt(ptr(DATA)));
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Long);
    let stop = m.go_user(|a| a.lgdt(ptr(DATA)));
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn ltr_makes_its_task_busy() {
    let mut m = Machine::new(Start::Long);
    m.write64(GDT + u64::from(TSS_SELECTOR), descriptor(TSS, 0x67, 0x89, 0));
    m.write64(GDT + u64::from(TSS_SELECTOR) + 8, 0x1234);
    let stop = m.go(|a| {
        a.mov(ecx, u32::from(TSS_SELECTOR))?;
        a.ltr(cx)?;
        a.str(edx)?;
        a.ltr(cx)
    });
    // A busy one cannot be loaded.
    m.faulted(stop, vector::GP, u64::from(TSS_SELECTOR));
    assert_eq!(m.cpu.r[gpr::RDX], u64::from(TSS_SELECTOR));
    assert_eq!((m.cpu.tr.base, m.cpu.tr.limit, m.cpu.tr.rights), (TSS | 0x1234 << 32, 0x67, 0x8b));
    assert_eq!(m.read64(GDT + u64::from(TSS_SELECTOR)), descriptor(TSS, 0x67, 0x8b, 0));
}

#[test]
fn what_lldt_and_ltr_refuse() {
    for (selector, lldt_fault, ltr_fault) in [
        (0, None, Some((vector::GP, 0))),
        (DATA32, Some((vector::GP, u64::from(DATA32))), Some((vector::GP, u64::from(DATA32)))),
        (LDT_SELECTOR, None, Some((vector::GP, u64::from(LDT_SELECTOR)))),
        (
            LDT_SELECTOR | 4,
            Some((vector::GP, u64::from(LDT_SELECTOR | 4))),
            Some((vector::GP, u64::from(LDT_SELECTOR | 4))),
        ),
        (0xf0, Some((vector::GP, 0xf0)), Some((vector::GP, 0xf0))),
    ] {
        for (load_task, expected) in [(false, lldt_fault), (true, ltr_fault)] {
            let mut m = Machine::new(Start::Protected);
            let stop = m.go(|a| {
                a.mov(ecx, u32::from(selector))?;
                if load_task {
                    a.ltr(cx)?
                } else {
                    a.lldt(cx)?
                }
                a.hlt()
            });
            match expected {
                Some((vector, error)) => m.faulted(stop, vector, error),
                None => {
                    assert_eq!(stop, Stop::Halted);
                    assert_eq!((m.cpu.ldtr.selector, m.cpu.ldtr.usable()), (selector, selector != 0));
                }
            }
        }
    }
    // Not in real mode.
    let mut m = Machine::new(Start::Real);
    let stop = m.go(|a| a.lldt(cx));
    assert_eq!(m.vector(&stop), vector::UD);
}
