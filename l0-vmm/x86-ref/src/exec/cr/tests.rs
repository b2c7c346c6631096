use super::*;
use crate::{Stop, cpu::gpr, testing::*};
use iced_x86::code_asm::*;
use x86_spec::vector;

/// MOV CRn, RAX; HLT.
fn write_cr(m: &mut Machine, n: u8, value: u64) -> Stop {
    m.cpu.r[gpr::RAX] = value;
    if n == 8 {
        return m.run_bytes(&[0x44, 0x0f, 0x22, 0xc0, 0xf4]);
    }
    m.run_bytes(&[0x0f, 0x22, 0xc0 | n << 3, 0xf4])
}

#[test]
fn what_control_registers_refuse() {
    let old = Machine::new(Start::Long).cpu.cr0;
    for (n, value, good) in [
        (0, old, true),
        (0, old | cr0::AM, true),
        (0, old | 1 << 32, false),
        (0, old & !cr0::PE, false),
        (0, old | cr0::NW, false),
        (0, old | cr0::NW | cr0::CD, true),
        // Clearing PG in 64-bit mode.
        (0, old & !cr0::PG, false),
        (3, PAGES, true),
        (3, PAGES | 1 << 39, false),
        (3, PAGES | 1 << 63, false),
        (4, cr4::PAE, true),
        (4, 0, false),
        (4, cr4::PAE | cr4::PGE | cr4::OSFXSR | cr4::SMAP | cr4::VMXE, true),
        (4, cr4::PAE | 1 << 15, false),
        (4, cr4::PAE | 1 << 33, false),
        // Not in this profile.
        (4, cr4::PAE | cr4::LA57, false),
        (4, cr4::PAE | cr4::PCIDE, true),
        (8, 15, true),
        (8, 16, false),
    ] {
        let mut m = Machine::new(Start::Long);
        let stop = write_cr(&mut m, n, value);
        if good {
            assert_eq!(stop, Stop::Halted);
            let now = match n {
                0 => m.cpu.cr0,
                3 => m.cpu.cr3,
                4 => m.cpu.cr4,
                _ => m.cpu.cr8,
            };
            assert_eq!(now, value, "CR{n}");
        } else {
            m.faulted(stop, vector::GP, 0);
            assert_eq!((m.cpu.cr0, m.cpu.cr3, m.cpu.cr4, m.cpu.cr8), (old, PAGES, cr4::PAE, 0), "CR{n}");
        }
    }
}

#[test]
fn control_registers_are_for_level_0() {
    let mut m = Machine::new(Start::Long);
    m.enter_user();
    let stop = write_cr(&mut m, 3, 0);
    m.faulted(stop, vector::GP, 0);
    // There is no CR1.
    let mut m = Machine::new(Start::Long);
    let stop = m.run_bytes(&[0x0f, 0x20, 0xc8]);
    assert_eq!(m.vector(&stop), vector::UD);
}

#[test]
fn pcids_need_a_clean_cr3_and_ia32e_mode() {
    let mut m = Machine::new(Start::Long);
    m.cpu.cr3 = PAGES | 1 << 3;
    let stop = write_cr(&mut m, 4, cr4::PAE | cr4::PCIDE);
    m.faulted(stop, vector::GP, 0);
    let mut m = Machine::new(Start::Protected);
    let stop = write_cr(&mut m, 4, cr4::PAE | cr4::PCIDE);
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn what_is_not_modelled_says_so() {
    let mut m = Machine::new(Start::Long);
    let stop = write_cr(&mut m, 4, cr4::PAE | cr4::CET);
    assert!(matches!(stop, Stop::Unsupported(u) if u.rip == CODE && u.bytes == [0x0f, 0x22, 0xe0]));
}

#[test]
fn from_protected_mode_to_64_bit_mode_and_back() {
    let mut m = Machine::new(Start::Protected);
    m.write64(PAGES, PAGES + 0x1007);
    m.write64(PAGES + 0x1000, PAGES + 0x2007);
    m.write64(PAGES + 0x2000, 0x87);
    let far = CODE + 0x200;
    m.assemble_at(far, 64, |a| {
        a.mov(r8, 0x1_0000_0000u64)?;
        a.push(i32::from(CODE32))?;
        a.push((CODE + 0x300) as i32)?;
        a.db(&[0x48, 0xcb])
    });
    m.assemble_at(CODE + 0x300, 32, |a| {
        // mov eax, cr0; btr eax, 31; mov cr0, eax
        a.mov(eax, cr0)?;
        a.btr(eax, 31)?;
        a.mov(cr0, eax)?;
        a.hlt()
    });
    let jump = [0xea, 0x00, 0x02, 0x02, 0x00, 0x28, 0x00];
    let stop = m.go(|a| {
        a.mov(eax, PAGES as u32)?;
        a.mov(cr3, eax)?;
        a.mov(eax, cr4::PAE as u32)?;
        a.mov(cr4, eax)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.or(eax, efer::LME as i32)?;
        a.wrmsr()?;
        a.mov(eax, cr0)?;
        a.bts(eax, 31)?;
        a.mov(cr0, eax)?;
        a.rdmsr()?;
        a.mov(ebx, eax)?;
        a.db(&jump)
    });
    assert_eq!(stop, Stop::Halted, "{:#x}", m.cpu.rip);
    assert_eq!(m.cpu.r[8], 0x1_0000_0000);
    assert_eq!(m.cpu.r[gpr::RBX], efer::LME | efer::LMA);
    assert_eq!((m.cpu.msr.efer, m.cpu.cr0 & cr0::PG), (efer::LME, 0));
}

#[test]
fn long_mode_cannot_begin_in_a_segment_with_l() {
    let mut m = Machine::new(Start::Protected);
    m.cpu.msr.efer = efer::LME;
    m.cpu.cr3 = PAGES;
    let paged = m.cpu.cr0 | cr0::PG;
    // Without PAE.
    let stop = write_cr(&mut m, 0, paged);
    m.faulted(stop, vector::GP, 0);
}

#[test]
fn pae_paging_loads_the_directory_pointers() {
    let mut m = Machine::new(Start::Protected);
    m.cpu.cr4 = cr4::PAE;
    m.write64(PAGES + 0x20, PAGES + 0x2001);
    m.write64(PAGES + 0x28, 0);
    m.write64(PAGES + 0x2000, 0x87);
    m.cpu.cr3 = PAGES + 0x20;
    let paged = m.cpu.cr0 | cr0::PG;
    assert_eq!(write_cr(&mut m, 0, paged), Stop::Halted);
    assert_eq!(m.cpu.pdptr[..2], [PAGES + 0x2001, 0]);
    // A reserved bit.
    m.write64(PAGES + 0x48, 0x2001 | 1 << 1);
    m.cpu.activity = crate::cpu::Activity::Active;
    m.cpu.attention_changed();
    m.cpu.rip = CODE;
    let stop = write_cr(&mut m, 3, PAGES + 0x40);
    m.faulted(stop, vector::GP, 0);
    assert_eq!(m.cpu.cr3, PAGES + 0x20);
}

#[test]
fn lmsw_smsw_clts() {
    let mut m = Machine::new(Start::Protected);
    let stop = m.go(|a| {
        // PE cannot be cleared.
        a.mov(ecx, 0xfff8u32)?;
        a.lmsw(cx)?;
        a.smsw(esi)?;
        a.clts()?;
        a.smsw(edi)?;
        a.hlt()
    });
    assert_eq!(stop, Stop::Halted);
    let base = u64::from(m.cpu.cr0 as u32) & !0xf | 1;
    assert_eq!(m.cpu.r[gpr::RSI], base | cr0::TS);
    assert_eq!(m.cpu.r[gpr::RDI], base);
}

#[test]
fn umip_keeps_smsw_and_its_siblings_from_users() {
    for bytes in [&[0x0f, 0x01, 0xe0][..], &[0x0f, 0x00, 0xc0], &[0x0f, 0x00, 0xc8]] {
        let mut m = Machine::new(Start::Long);
        m.cpu.cr4 |= cr4::UMIP;
        m.enter_user();
        let stop = m.run_bytes(bytes);
        m.faulted(stop, vector::GP, 0);
        // Without it they work, and the HLT behind them does not.
        let mut m = Machine::new(Start::Long);
        m.enter_user();
        let mut more = bytes.to_vec();
        more.push(0xf4);
        let stop = m.run_bytes(&more);
        m.faulted(stop, vector::GP, 0);
        assert_eq!(m.slot(1), USER_CODE + 3);
    }
}
