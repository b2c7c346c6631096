use super::*;
use crate::{
    Stop,
    cpu::{gpr, seg},
    testing::*,
};
use iced_x86::code_asm::*;
use x86_spec::cr::rflags;

#[test]
fn classes_combine_as_the_manual_says() {
    use Class::*;
    for (first, second, expected) in [
        (Benign, Contributory, Combined::Serial),
        (Benign, PageFault, Combined::Serial),
        (Contributory, Benign, Combined::Serial),
        (Contributory, Contributory, Combined::Double),
        (Contributory, PageFault, Combined::Serial),
        (PageFault, Contributory, Combined::Double),
        (PageFault, PageFault, Combined::Double),
        (PageFault, Benign, Combined::Serial),
        (DoubleFault, Contributory, Combined::Triple),
        (DoubleFault, PageFault, Combined::Triple),
        (DoubleFault, Benign, Combined::Serial),
    ] {
        assert_eq!(combine(first, second), expected, "{first:?} {second:?}");
    }
}

#[test]
fn real_mode_pushes_three_words_and_no_error_code() {
    let mut m = Machine::new(Start::Real);
    m.cpu.sysflags |= rflags::IF;
    // mov al, [bx] beyond the limit of DS: #GP, without an error code.
    m.cpu.seg[seg::DS].limit = 0xff;
    m.cpu.mode_changed();
    let stop = m.go(|a| {
        a.mov(bx, 0x100)?;
        a.mov(al, byte_ptr(bx))
    });
    assert_eq!(m.vector(&stop), vector::GP);
    assert_eq!(m.cpu.r[gpr::RSP], STACK - 6);
    assert_eq!([m.slot(0), m.slot(1)], [0x7003, 0]);
    assert_eq!(m.slot(2) & rflags::IF, rflags::IF);
    assert_eq!(m.cpu.sysflags & rflags::IF, 0);
}

#[test]
fn real_mode_int_and_iret() {
    let mut m = Machine::new(Start::Real);
    m.assemble_at(handler(0x21), 16, |a| a.iret());
    let stop = m.go(|a| {
        a.sti()?;
        a.int(0x21)?;
        a.hlt()
    });
    // Interrupts are enabled again, and nothing waits.
    assert_eq!(stop, Stop::Halted);
    assert_eq!((m.cpu.rip, m.cpu.r[gpr::RSP]), (0x7004, STACK));
    assert_ne!(m.cpu.sysflags & rflags::IF, 0);
}

#[test]
fn protected_mode_same_level() {
    let mut m = Machine::new(Start::Protected);
    let stop = m.go(|a| {
        a.push(0x3002)?;
        a.popfd()?;
        a.ud2()
    });
    assert_eq!(m.vector(&stop), vector::UD);
    assert_eq!([m.slot(0), m.slot(1)], [CODE + 6, u64::from(CODE32)]);
    assert_eq!(m.slot(2), 0x3002 | rflags::RF);
    assert_eq!(m.cpu.r[gpr::RSP], STACK - 12);
}

#[test]
fn interrupt_gates_mask_and_trap_gates_do_not() {
    for (vector, masked) in [(USER_VECTOR, true), (TRAP_VECTOR, false)] {
        let mut m = Machine::new(Start::Protected);
        m.cpu.sysflags |= rflags::IF;
        let stop = m.go(|a| a.int(i32::from(vector)));
        assert_eq!(m.vector(&stop), vector);
        assert_eq!(m.cpu.sysflags & rflags::IF == 0, masked);
    }
}

#[test]
fn from_user_through_the_tss_and_back() {
    for start in [Start::Protected, Start::Long] {
        let mut m = Machine::new(start);
        let bitness = if start == Start::Long { 64 } else { 32 };
        m.assemble_at(handler(USER_VECTOR), bitness, |a| if bitness == 64 { a.iretq() } else { a.iretd() });
        m.cpu.sysflags |= rflags::IF;
        let stop = m.go_user(|a| {
            a.mov(ecx, 7)?;
            a.int(i32::from(USER_VECTOR))?;
            a.mov(edx, 9)?;
            a.hlt()
        });
        // HLT at CPL 3 is #GP(0), on the inner stack.
        m.faulted(stop, vector::GP, 0);
        assert_eq!((m.cpu.r[gpr::RCX], m.cpu.r[gpr::RDX]), (7, 9));
        assert_eq!(m.cpu.cpl, 0);
        let code = if bitness == 64 { USER_CODE64 } else { USER_CODE32 };
        assert_eq!([m.slot(1), m.slot(2)], [USER_CODE + 12, u64::from(code)]);
        assert_eq!(m.slot(3), rflags::FIXED | rflags::IF | rflags::RF);
        assert_eq!([m.slot(4), m.slot(5)], [USER_STACK, u64::from(USER_DATA)]);
        let size = if bitness == 64 { 8 } else { 4 };
        assert_eq!(m.cpu.r[gpr::RSP], INNER_STACK - 6 * size);
        let stack = if bitness == 64 { 0 } else { DATA32 };
        assert_eq!(m.cpu.seg[seg::SS].selector, stack);
    }
}

#[test]
fn software_interrupts_need_the_gates_privilege() {
    for start in [Start::Protected, Start::Long] {
        let mut m = Machine::new(start);
        let stop = m.go_user(|a| a.int(0x30));
        m.faulted(stop, vector::GP, 0x30 << 3 | 2);
        let mut m = Machine::new(start);
        let stop = m.go_user(|a| a.int3());
        m.faulted(stop, vector::GP, 3 << 3 | 2);
        let mut m = Machine::new(start);
        let stop = m.go(|a| a.int3());
        assert_eq!(m.vector(&stop), vector::BP);
        assert_eq!(m.slot(0), CODE + 1);
        // INT1 does not look at the DPL.
        let mut m = Machine::new(start);
        let stop = m.go_user(|a| a.int1());
        assert_eq!(m.vector(&stop), vector::DB);
        assert_eq!(m.cpu.dr[6] & 0xf00f, 0);
    }
}

#[test]
fn a_gate_that_is_not_present() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| a.int(i32::from(ABSENT_VECTOR)));
    m.faulted(stop, vector::NP, u64::from(ABSENT_VECTOR) << 3 | 2);
    assert_eq!(m.slot(1), CODE);
}

#[test]
fn long_mode_aligns_the_stack_and_switches_to_the_ist() {
    let mut m = Machine::new(Start::Long);
    m.cpu.r[gpr::RSP] = STACK - 3;
    let stop = m.go(|a| a.ud2());
    assert_eq!(m.vector(&stop), vector::UD);
    assert_eq!(m.cpu.r[gpr::RSP], STACK - 16 - 40);
    assert_eq!([m.slot(3), m.slot(4)], [STACK - 3, u64::from(DATA32)]);

    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| a.int(i32::from(IST_VECTOR)));
    assert_eq!(m.vector(&stop), IST_VECTOR);
    assert_eq!(m.cpu.r[gpr::RSP], IST1 - 40);
    assert_eq!(m.cpu.seg[seg::SS].selector, DATA32);
}

#[test]
fn page_faults_set_cr2_and_the_error_code() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.mov(rax, HOLE + 5)?;
        a.mov(dword_ptr(rax), ecx)
    });
    m.faulted(stop, vector::PF, 2);
    assert_eq!(m.cpu.cr2, HOLE + 5);
    assert_eq!(m.slot(1), CODE + 10);
}

#[test]
fn a_fault_while_a_fault_is_delivered_is_a_double_fault() {
    // #PF, whose gate is not present: #NP, contributory after a page fault.
    let mut m = Machine::new(Start::Long);
    m.write64(IDT + 16 * u64::from(vector::PF), gate_entry(CODE64, handler(14), 0x0e, 0));
    let stop = m.go(|a| a.mov(al, byte_ptr(HOLE)));
    m.faulted(stop, vector::DF, 0);
    assert_eq!(m.cpu.cr2, HOLE);
    // The saved RIP is that of the instruction, without RF.
    assert_eq!(m.slot(1), CODE);
    assert_eq!(m.slot(3) & rflags::RF, 0);
}

#[test]
fn benign_and_contributory_are_serial_and_the_error_code_says_external() {
    // #UD, whose gate is not present: #NP with EXT, as an exception is external to the program.
    let mut m = Machine::new(Start::Long);
    m.write64(IDT + 16 * u64::from(vector::UD), gate_entry(CODE64, handler(6), 0x0e, 0));
    let stop = m.go(|a| a.ud2());
    m.faulted(stop, vector::NP, u64::from(vector::UD) << 3 | 3);
}

#[test]
fn three_faults_shut_down() {
    for start in [Start::Real, Start::Protected, Start::Long] {
        let mut m = Machine::new(start);
        m.cpu.idtr.limit = 0;
        let stop = m.go(|a| a.ud2());
        assert_eq!(stop, Stop::Shutdown, "{start:?}");
        assert_eq!(m.cpu.activity, Activity::Shutdown);
        assert_eq!(m.cpu.run(10), Stop::Shutdown);
    }
}

#[test]
fn the_handlers_segment_is_checked() {
    let mut m = Machine::new(Start::Long);
    for (selector, expected) in [
        (0, (vector::GP, 1)),
        (0xf8, (vector::GP, 0xf9)),
        (DATA32, (vector::GP, u64::from(DATA32) | 1)),
        (CODE32, (vector::GP, u64::from(CODE32) | 1)),
    ] {
        m.write64(IDT + 16 * u64::from(vector::UD), gate_entry(selector, handler(6), 0x8e, 0));
        let mut n = Machine::new(Start::Long);
        n.write64(IDT + 16 * u64::from(vector::UD), m.read64(IDT + 16 * u64::from(vector::UD)));
        let stop = n.go(|a| a.ud2());
        n.faulted(stop, expected.0, expected.1);
    }
}

#[test]
fn a_bad_inner_stack_is_a_ts_fault() {
    // TSS.SS0 names user data: #TS with the selector and EXT; delivering that from CPL 3 fails the same way: #DF, triple.
    let mut m = Machine::new(Start::Protected);
    m.write64(TSS + 4, INNER_STACK | u64::from(USER_DATA) << 32);
    // Its handler is conforming, at CPL 3, so that it can be delivered.
    m.write64(GDT + u64::from(CONFORMING), descriptor(0, 0xf_ffff, 0xff, 0xc));
    m.write64(GDT + u64::from(CONFORMING), descriptor(0, 0xf_ffff, 0x9f, 0xc));
    m.write64(IDT + 8 * u64::from(vector::TS), gate_entry(CONFORMING, USER_CODE + 0x100, 0x8e, 0));
    m.assemble_at(USER_CODE + 0x100, 32, |a| a.jmp(USER_CODE + 0x100));
    let stop = m.go_user(|a| a.int(i32::from(USER_VECTOR)));
    assert_eq!(stop, Stop::Budget);
    assert_eq!(m.cpu.rip, USER_CODE + 0x100);
    assert_eq!((m.cpu.cpl, m.slot(0)), (3, u64::from(USER_DATA & !3)));
    assert_eq!(m.cpu.r[gpr::RSP], USER_STACK - 16);
}

#[test]
fn into_virtual_8086_mode_and_out_of_it() {
    let mut m = Machine::new(Start::Protected);
    m.assemble_at(0x5_0000 + 0x10, 16, |a| {
        a.mov(ax, 0x5100)?;
        a.mov(ds, ax)?;
        a.mov(bl, byte_ptr(2))?;
        a.hlt()
    });
    m.write(0x5_1002, &[0x77]);
    let flags = rflags::VM | rflags::IF | rflags::FIXED;
    let stop = m.go(|a| {
        // GS, FS, DS, ES, SS, ESP, EFLAGS, CS, EIP
        for value in [0x11, 0x12, 0x13, 0x14, 0x6000, 0x1000, flags as i32, 0x5000, 0x10] {
            a.push(value)?;
        }
        a.iretd()
    });
    // HLT in virtual-8086 mode: #GP(0), nine more values on the inner stack.
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.cpu.r[gpr::RBX] & 0xff, 0x77);
    assert_eq!([m.slot(1), m.slot(2)], [0x10 + 8 + 1, 0x5000]);
    assert_eq!(m.slot(3), flags | rflags::RF);
    assert_eq!([4, 5, 6, 7, 8, 9].map(|n| m.slot(n)), [0x1000, 0x6000, 0x14, 0x5100, 0x12, 0x11]);
    assert_eq!(m.cpu.r[gpr::RSP], INNER_STACK - 40);
    assert_eq!(m.cpu.cpl, 0);
    assert!(!m.cpu.seg[seg::DS].usable());
    assert_eq!(m.cpu.sysflags & rflags::VM, 0);
}

#[test]
fn events_without_end_use_up_the_budget() {
    // The handler of #UD is itself invalid; the 16-bit stack wraps for ever.
    let mut m = Machine::new(Start::Real);
    m.write(handler(vector::UD), &[0x0f, 0x0b]);
    let stop = m.go(|a| a.ud2());
    assert_eq!(stop, Stop::Budget);
}
