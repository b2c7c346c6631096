use super::*;
use crate::{Stop, cpu::gpr, testing::*};
use iced_x86::code_asm::*;

#[test]
fn sti_lets_one_more_instruction_go_before_an_interrupt() {
    let mut m = Machine::new(Start::Long);
    m.cpu.interrupt(0x40);
    let stop = m.go(|a| {
        a.nop()?;
        a.sti()?;
        a.inc(eax)?;
        a.inc(eax)?;
        a.hlt()
    });
    assert_eq!(m.vector(&stop), 0x40);
    assert_eq!(m.cpu.r[gpr::RAX], 1);
    assert_eq!(m.slot(0), CODE + 4);
    assert_eq!(m.cpu.intr_pending, None);
    assert_eq!(m.cpu.blocking, 0);
}

#[test]
fn sti_with_interrupts_enabled_has_no_shadow() {
    let mut m = Machine::new(Start::Long);
    m.cpu.sysflags |= rflags::IF;
    let stop = m.go(|a| {
        a.sti()?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    m.cpu.interrupt(0x40);
    let stop = m.cpu.run(10);
    assert_eq!(m.vector(&stop), 0x40);
    assert_eq!(m.slot(0), CODE + 2);
}

#[test]
fn sti_hlt_wakes_up() {
    let mut m = Machine::new(Start::Long);
    m.cpu.interrupt(0x40);
    let stop = m.go(|a| {
        a.sti()?;
        a.hlt()
    });
    assert_eq!(m.vector(&stop), 0x40);
    assert_eq!(m.slot(0), CODE + 2);
}

#[test]
fn cr8_holds_up_interrupts() {
    let mut m = Machine::new(Start::Long);
    m.cpu.sysflags |= rflags::IF;
    m.cpu.interrupt(0x4f);
    let stop = m.go(|a| {
        a.mov(ecx, 4)?;
        a.hlt()
    });
    assert_eq!(m.vector(&stop), 0x4f);
    let mut m = Machine::new(Start::Long);
    m.cpu.cr8 = 4;
    m.cpu.sysflags |= rflags::IF;
    m.cpu.interrupt(0x4f);
    let stop = m.go(|a| {
        a.xor(ecx, ecx)?;
        a.nop()?;
        // mov cr8, rcx
        a.db(&[0x44, 0x0f, 0x22, 0xc1])?;
        a.hlt()
    });
    assert_eq!(m.vector(&stop), 0x4f);
    assert_eq!(m.slot(0), CODE + 7);
}

#[test]
fn interrupts_queue_up_by_vector() {
    let mut m = Machine::new(Start::Long);
    for vector in [0x41, 0x93, 0x40, 0xff, 0x41] {
        m.cpu.interrupt(vector);
    }
    for expected in [0xff, 0x93, 0x41, 0x40] {
        m.cpu.sysflags |= rflags::IF;
        m.cpu.attention_changed();
        let stop = m.go(|a| a.hlt());
        assert_eq!(m.vector(&stop), expected);
        m.cpu.rip = CODE;
    }
    assert_eq!(m.cpu.intr_pending, None);
}

#[test]
fn single_step_traps_after_each_instruction() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.push(0x102)?;
        a.popfq()?;
        a.inc(eax)?;
        a.inc(eax)?;
        a.hlt()
    });
    // POPFQ began without TF: the trap is behind the next instruction.
    assert_eq!(m.vector(&stop), vector::DB);
    assert_eq!((m.slot(0), m.cpu.r[gpr::RAX]), (CODE + 8, 1));
    assert_eq!(m.slot(2), 0x102);
    assert_eq!(m.cpu.dr[6], 0xffff_4ff0);
    assert_eq!(m.cpu.sysflags & rflags::TF, 0);
}

#[test]
fn popf_that_clears_tf_still_traps() {
    let mut m = Machine::new(Start::Long);
    m.cpu.set_rflags(rflags::FIXED | rflags::TF);
    let stop = m.go(|a| {
        a.popfq()?;
        a.inc(eax)?;
        a.hlt()
    });
    assert_eq!((m.vector(&stop), m.slot(0)), (vector::DB, CODE + 1));
}

#[test]
fn btf_steps_from_branch_to_branch() {
    // Code, RCX, and where the trap is: behind branches that are taken, even to the next instruction.
    let rows: &[(&[u8], u64, u64)] = &[
        (b"\x90\xeb\x00\xf4", 0, 3),         // nop; jmp +0
        (b"\x90\x75\x00\xf4", 0, 3),         // jnz +0, taken
        (b"\x74\x00\x90\xeb\x00\xf4", 0, 5), // jz +0, not taken
        (b"\xe2\x00\xf4", 2, 2),             // loop +0, taken
        (b"\xe2\x00\xeb\x00\xf4", 1, 4),     // not taken
        (b"\xe3\x00\xf4", 0, 2),             // jrcxz +0, taken
        (b"\xe3\x00\xeb\x00\xf4", 1, 4),     // not taken
        (b"\xe8\x00\x00\x00\x00\xf4", 0, 5), // call +0
        (b"\xf3\xaa\xeb\x00\xf4", 3, 4),     // rep stosb
    ];
    for &(bytes, count, at) in rows {
        let mut m = Machine::new(Start::Long);
        m.cpu.msr.debugctl = DEBUGCTL_BTF;
        m.cpu.r[gpr::RCX] = count;
        m.cpu.r[gpr::RDI] = DATA;
        m.cpu.set_rflags(rflags::FIXED | rflags::TF);
        let stop = m.run_bytes(bytes);
        assert_eq!((m.vector(&stop), m.slot(0)), (vector::DB, CODE + at), "{bytes:02x?}");
        assert_eq!(m.cpu.dr[6], 0xffff_4ff0);
        // The debug exception clears BTF.
        assert_eq!(m.cpu.msr.debugctl, 0);
    }
}

#[test]
fn btf_without_a_branch_or_without_tf() {
    let mut m = Machine::new(Start::Long);
    m.cpu.msr.debugctl = DEBUGCTL_BTF;
    m.cpu.set_rflags(rflags::FIXED | rflags::TF);
    assert_eq!(m.run_bytes(b"\x90\x90\xf4"), Stop::Halted);
    let mut m = Machine::new(Start::Long);
    m.cpu.msr.debugctl = DEBUGCTL_BTF;
    assert_eq!(m.run_bytes(b"\xeb\x00\xf4"), Stop::Halted);
    assert_eq!(m.cpu.msr.debugctl, DEBUGCTL_BTF);
}

#[test]
fn rf_is_for_all_iterations() {
    let mut m = Machine::new(Start::Long);
    // Breakpoint 0: instructions.
    (m.cpu.dr[0], m.cpu.dr[7]) = (CODE, 0x402);
    (m.cpu.r[gpr::RCX], m.cpu.r[gpr::RDI]) = (3, DATA);
    m.cpu.set_rflags(rflags::FIXED | rflags::RF | rflags::TF);
    let stop = m.run_bytes(b"\xf3\xaa\xf4");
    // A single step, behind the first iteration: RF is still set.
    assert_eq!((m.vector(&stop), m.slot(0), m.cpu.r[gpr::RCX]), (vector::DB, CODE, 2));
    assert_eq!((m.slot(2) & rflags::RF, m.cpu.dr[6]), (rflags::RF, 0xffff_4ff0));
}

#[test]
fn int_n_takes_its_trap_away() {
    let mut m = Machine::new(Start::Long);
    m.cpu.set_rflags(rflags::FIXED | rflags::TF);
    let stop = m.go(|a| a.int(0x33));
    assert_eq!(m.vector(&stop), 0x33);
    assert_eq!(m.slot(2), rflags::FIXED | rflags::TF);
    assert_eq!(m.cpu.pending_dbg, 0);
}

#[test]
fn mov_ss_holds_up_a_single_step_trap() {
    let mut m = Machine::new(Start::Long);
    m.cpu.set_rflags(rflags::FIXED | rflags::TF);
    m.cpu.r[gpr::RCX] = u64::from(DATA32);
    let stop = m.go(|a| {
        a.mov(ss, ecx)?;
        a.inc(eax)?;
        a.inc(eax)?;
        a.hlt()
    });
    assert_eq!(m.vector(&stop), vector::DB);
    assert_eq!((m.slot(0), m.cpu.r[gpr::RAX]), (CODE + 4, 1));
}

#[test]
fn mov_ss_holds_up_interrupts_and_nmis() {
    let mut m = Machine::new(Start::Long);
    m.cpu.sysflags |= rflags::IF;
    m.cpu.r[gpr::RCX] = u64::from(DATA32);
    m.cpu.blocking = BLOCKING_MOV_SS;
    m.cpu.signal_nmi();
    m.cpu.interrupt(0x40);
    let stop = m.go(|a| {
        a.inc(eax)?;
        a.inc(eax)?;
        a.hlt()
    });
    // The NMI first.
    assert_eq!((m.vector(&stop), m.slot(0), m.cpu.r[gpr::RAX]), (vector::NMI, CODE + 2, 1));
    assert_eq!(m.cpu.blocking, BLOCKING_NMI);
}

#[test]
fn nmis_are_blocked_up_to_iret() {
    let mut m = Machine::new(Start::Long);
    m.cpu.signal_nmi();
    m.assemble_at(handler(vector::NMI), 64, |a| a.jmp(DATA));
    m.assemble_at(DATA, 64, |a| {
        a.inc(ebx)?;
        a.iretq()
    });
    let mut signalled = false;
    let code = CODE;
    m.assemble_at(code, 64, |a| {
        a.nop()?;
        a.hlt()
    });
    while m.cpu.r[gpr::RBX] < 2 {
        if m.cpu.rip == DATA && !signalled {
            m.cpu.signal_nmi();
            signalled = true;
        }
        let was = m.cpu.rip;
        assert!(matches!(m.cpu.run(1), Stop::Budget | Stop::Halted), "at {was:#x}");
    }
    // The second came when the first returned, not inside of it.
    assert_eq!(m.cpu.r[gpr::RSP], STACK - 40);
}

#[test]
fn instruction_breakpoints_hit_before_and_rf_lets_go_on() {
    let mut m = Machine::new(Start::Long);
    m.cpu.dr[0] = CODE + 2;
    m.cpu.dr[7] = 0x402;
    m.cpu.mode_changed();
    m.cpu.attention_changed();
    let stop = m.go(|a| {
        a.inc(eax)?;
        a.inc(eax)?;
        a.hlt()
    });
    assert_eq!((m.vector(&stop), m.slot(0), m.cpu.r[gpr::RAX]), (vector::DB, CODE + 2, 1));
    assert_eq!(m.cpu.dr[6], 0xffff_0ff1);
    // The handler sets RF in the image.
    let frame = m.cpu.r[gpr::RSP];
    m.write64(frame + 16, m.read64(frame + 16) | rflags::RF);
    m.cpu.activity = Activity::Active;
    m.cpu.rip = DATA;
    m.assemble_at(DATA, 64, |a| a.iretq());
    m.cpu.attention_changed();
    assert_eq!(m.cpu.run(100), Stop::Halted);
    assert_eq!((m.cpu.rip, m.cpu.r[gpr::RAX]), (CODE + 5, 2));
    assert_eq!(m.cpu.sysflags & rflags::RF, 0);
}

#[test]
fn halted_with_nothing_to_come() {
    let mut m = Machine::new(Start::Long);
    assert_eq!(m.go(|a| a.hlt()), Stop::Halted);
    assert_eq!(m.cpu.run(10), Stop::Halted);
    // Masked interrupts do not wake it; an NMI does.
    m.cpu.interrupt(0x40);
    assert_eq!(m.cpu.run(10), Stop::Halted);
    m.cpu.signal_nmi();
    let stop = m.cpu.run(10);
    assert_eq!((m.vector(&stop), m.slot(0)), (vector::NMI, CODE + 1));
}
