use super::*;
use crate::{Stop, testing::*};
use iced_x86::code_asm::*;
use x86_spec::{cr::dr6, vector};

#[test]
fn ports_by_immediate_and_by_dx() {
    let mut m = Machine::new(Start::Long);
    m.cpu.r[gpr::RAX] = !0;
    let stop = m.go(|a| {
        a.in_(al, 0x12)?;
        a.mov(ebx, eax)?;
        a.mov(edx, 0x3f8u32)?;
        a.in_(eax, dx)?;
        a.mov(esi, eax)?;
        a.out(dx, ax)?;
        a.out(0x80, al)?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    assert_eq!((m.cpu.r[gpr::RBX], m.cpu.r[gpr::RSI]), (0xffff_ff01, 0x3_f804));
    assert_eq!(m.ports.borrow().written, [(0x3f8, 2, 0xf804), (0x80, 1, 4)]);
}

#[test]
fn a_device_stops_the_run_behind_its_instruction() {
    let mut m = Machine::new(Start::Long);
    m.ports.borrow_mut().stop = Some(0xf4);
    let stop = m.go(|a| {
        a.out(0xf4, al)?;
        a.inc(eax)?;
        a.hlt()
    });
    assert_eq!((stop, m.cpu.rip), (Stop::Bus, CODE + 2));
    assert_eq!(m.cpu.run(100), Stop::Halted);
    assert_eq!(m.cpu.r[gpr::RAX], 1);
}

#[test]
fn the_permission_bitmap_lets_users_through() {
    // The bitmap denies 3 and 8; it has 2 bytes and its end.
    for (port, size, good) in [
        (2, 1, true),
        (3, 1, false),
        (2, 2, false),
        (4, 4, true),
        (5, 4, false),
        (7, 1, true),
        (15, 1, true),
        (16, 1, false),
    ] {
        let mut m = Machine::new(Start::Protected);
        m.cpu.tr.limit = 0x82;
        let stop = m.go_user(|a| {
            match size {
                1 => a.in_(al, port)?,
                2 => a.in_(ax, port)?,
                _ => a.in_(eax, port)?,
            }
            a.ud2()
        });
        if good {
            assert_eq!(m.vector(&stop), vector::UD, "{port} {size}");
        } else {
            m.faulted(stop, vector::GP, 0);
        }
    }
    // IOPL 3 needs no bitmap.
    let mut m = Machine::new(Start::Protected);
    m.cpu.sysflags |= 0x3000;
    let stop = m.go_user(|a| {
        a.in_(al, 3)?;
        a.ud2()
    });
    assert_eq!(m.vector(&stop), vector::UD);
}

#[test]
fn strings_of_ports() {
    let mut m = Machine::new(Start::Long);
    m.write(DATA, b"hello, world");
    let stop = m.go(|a| {
        a.mov(esi, DATA as u32)?;
        a.mov(ecx, 5)?;
        a.mov(edx, 0xe9)?;
        a.rep().outsb()?;
        a.mov(edi, DATA as u32 + 0x101)?;
        a.mov(ecx, 200)?;
        a.rep().insw()?;
        a.std()?;
        a.insd()?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    let text: Vec<u8> = m.ports.borrow().written.iter().map(|w| w.2 as u8).collect();
    assert_eq!(text, b"hello");
    assert_eq!(m.cpu.r[gpr::RSI], DATA + 5);
    assert_eq!(m.cpu.r[gpr::RDI], DATA + 0x101 + 400 - 4);
    assert_eq!((m.cpu.r[gpr::RCX], m.read16(DATA + 0x101 + 398)), (0, 0xe902));
}

#[test]
fn ins_faults_before_it_reads_the_port() {
    let mut m = Machine::new(Start::Long);
    let stop = m.go(|a| {
        a.mov(edi, HOLE as u32)?;
        a.insb()
    });
    m.faulted(stop, vector::PF, 2);
}

#[test]
fn port_breakpoints_trap_behind_the_instruction() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr4 |= cr4::DE;
    m.cpu.dr[1] = 0x40;
    // Breakpoint 1: I/O, 4 bytes.
    m.cpu.dr[7] = 0x400 | 1 << 2 | 2 << 20 | 3 << 22;
    m.cpu.mode_changed();
    let stop = m.go(|a| {
        a.in_(al, 0x44)?;
        a.in_(al, 0x43)?;
        a.hlt()
    });
    assert_eq!((m.vector(&stop), m.slot(0)), (vector::DB, CODE + 4));
    assert_eq!(m.cpu.dr[6] & (0xf | dr6::BS), 2);
}
