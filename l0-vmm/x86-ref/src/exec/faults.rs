//! Instructions called one at a time, with their faults.

use super::find;
use crate::{
    Bus, Cpu, CpuidLeaf, Flow, Profile,
    cpu::{gpr, seg},
    fault::{Exception, Why},
    state::Segment,
};
use iced_x86::{Decoder, DecoderOptions};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use x86_spec::{
    cr::{cr0, cr4, efer, rflags},
    vector,
};

struct NoBus;

impl Bus for NoBus {
    fn io_in(&mut self, _: u16, _: u8) -> u32 {
        u32::MAX
    }
    fn io_out(&mut self, _: u16, _: u8, _: u32) -> Flow {
        Flow::Continue
    }
    fn mmio_read(&mut self, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: u64, _: u8, _: u64) -> Flow {
        Flow::Continue
    }
}

const D_BIT: u32 = 1 << 14;
const L_BIT: u32 = 1 << 13;

/// A CPU in flat protected mode without paging, with every feature.
fn cpu32() -> Cpu {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
    let leaf = |leaf, subleaf, regs| CpuidLeaf { leaf, subleaf: Some(subleaf), regs };
    let profile = Profile {
        cpuid: vec![
            leaf(1, 0, [0, 0, !0, !0]),
            leaf(7, 0, [0, !0, !0, !0]),
            leaf(0xd, 1, [1, 0, 0, 0]),
            leaf(0x8000_0001, 0, [0, 0, !0, !0]),
        ],
        ..Profile::default()
    };
    let mut cpu = Cpu::new(Arc::new(profile), memory, Rc::new(RefCell::new(NoBus))).unwrap();
    cpu.cr0 = cr0::PE | cr0::NE | cr0::MP;
    cpu.cr4 = cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::OSXSAVE;
    cpu.xcr0 = 3;
    let data = Segment { selector: 16, base: 0, limit: u32::MAX, rights: 0x8093 | D_BIT };
    cpu.seg = [data; 6];
    cpu.seg[seg::CS] = Segment { selector: 8, rights: 0x809b | D_BIT, ..data };
    cpu.rip = 0x1000;
    cpu.budget = 1 << 30;
    cpu.mode_changed();
    cpu
}

/// A CPU in 64-bit mode, its first MByte mapped to itself.
pub(super) fn cpu64() -> Cpu {
    let mut cpu = cpu32();
    for (at, value) in [(0x8_0000u64, 0x8_1003u64), (0x8_1000, 0x8_2003), (0x8_2000, 0x83)] {
        assert!(cpu.mem.phys_write(at, &value.to_le_bytes()));
    }
    cpu.cr0 |= cr0::PG | cr0::WP;
    cpu.cr3 = 0x8_0000;
    cpu.cr4 |= cr4::PAE;
    cpu.msr.efer = efer::LME | efer::LMA;
    cpu.seg[seg::CS].rights = 0x809b | L_BIT;
    cpu.mode_changed();
    cpu.flush_tlb();
    cpu
}

fn bitness(cpu: &Cpu) -> u32 {
    match cpu.seg[seg::CS].rights & (L_BIT | D_BIT) {
        L_BIT => 64,
        D_BIT => 32,
        _ => 16,
    }
}

/// Executes one instruction; on a failure says what stopped it.
pub(super) fn step(cpu: &mut Cpu, bytes: &[u8]) -> Result<(), Why> {
    let insn = Decoder::with_ip(bitness(cpu), bytes, cpu.rip, DecoderOptions::NONE).decode();
    assert!(!insn.is_invalid(), "{bytes:02x?} is not an instruction");
    let handler = find(&insn).unwrap_or_else(|| panic!("no handler for {:?}", insn.code()));
    handler(cpu, &insn).map_err(|_| cpu.why)
}

pub(super) fn fault(vector: u8, error: Option<u32>) -> Result<(), Why> {
    Err(Why::Exception(Exception { vector, error, info: 0, software_len: 0 }))
}

fn gp0() -> Result<(), Why> {
    fault(vector::GP, Some(0))
}

pub(super) fn read(cpu: &Cpu, at: u64) -> u64 {
    u64::from_le_bytes(cpu.mem.phys_read(at).unwrap())
}

pub(super) fn write(cpu: &mut Cpu, at: u64, bytes: &[u8]) {
    assert!(cpu.mem.phys_write(at, bytes));
}

#[test]
fn a_fault_in_a_repetition_keeps_the_iterations_before_it() {
    let mut cpu = cpu32();
    cpu.seg[seg::ES].limit = 0x2fff;
    cpu.mode_changed();
    (cpu.r[gpr::RAX], cpu.r[gpr::RCX], cpu.r[gpr::RDI]) = (0xaa, 0x40, 0x2ff0);
    let budget = cpu.budget;
    // REP STOSB
    assert_eq!(step(&mut cpu, &[0xf3, 0xaa]), gp0());
    assert_eq!((cpu.r[gpr::RCX], cpu.r[gpr::RDI]), (0x30, 0x3000));
    assert_eq!(read(&cpu, 0x2ff8), 0xaaaa_aaaa_aaaa_aaaa);
    assert_eq!(read(&cpu, 0x3000), 0);
    assert_eq!(budget - cpu.budget, 0x10);
}

#[test]
fn repetitions_come_in_chunks_and_are_counted() {
    let mut cpu = cpu32();
    (cpu.r[gpr::RAX], cpu.r[gpr::RCX], cpu.r[gpr::RDI]) = (0x1234_5678, 5000, 0x1_0002);
    let budget = cpu.budget;
    // REP STOSD
    assert_eq!(step(&mut cpu, &[0xf3, 0xab]), Err(Why::Again));
    assert_eq!((cpu.r[gpr::RCX], cpu.r[gpr::RDI]), (904, 0x1_0002 + 4 * 4096));
    assert_eq!(step(&mut cpu, &[0xf3, 0xab]), Ok(()));
    assert_eq!((cpu.r[gpr::RCX], cpu.r[gpr::RDI]), (0, 0x1_0002 + 4 * 5000));
    // The run loop counts one for each call.
    assert_eq!(budget - cpu.budget, 5000 - 2);
    for at in [0x1_0002, 0x1_0ffe, 0x1_0002 + 4 * 4998] {
        assert_eq!(read(&cpu, at), 0x1234_5678_1234_5678);
    }
    assert_eq!(read(&cpu, 0x1_0002 + 4 * 5000), 0);
}

#[test]
fn repetitions_end_with_the_budget_and_stop_for_single_steps() {
    let mut cpu = cpu32();
    (cpu.budget, cpu.r[gpr::RCX], cpu.r[gpr::RDI]) = (7, 100, 0x1_0000);
    assert_eq!(step(&mut cpu, &[0xf3, 0xaa]), Err(Why::Again));
    assert_eq!((cpu.r[gpr::RCX], cpu.budget), (93, 1));
    cpu.sysflags |= rflags::TF;
    assert_eq!(step(&mut cpu, &[0xf3, 0xaa]), Err(Why::Again));
    assert_eq!(cpu.r[gpr::RCX], 92);
}

#[test]
fn overlapping_moves_go_byte_by_byte() {
    for distance in [1u64, 2, 7, 8, 64] {
        let mut cpu = cpu32();
        let pattern: Vec<u8> = (0..distance as u8).map(|b| b + 1).collect();
        write(&mut cpu, 0x1_0f80, &pattern);
        (cpu.r[gpr::RCX], cpu.r[gpr::RSI], cpu.r[gpr::RDI]) = (300, 0x1_0f80, 0x1_0f80 + distance);
        // REP MOVSB
        assert_eq!(step(&mut cpu, &[0xf3, 0xa4]), Ok(()));
        for n in 0..300 + distance {
            let byte = cpu.mem.phys_read::<1>(0x1_0f80 + n).unwrap()[0];
            assert_eq!(byte, pattern[(n % distance) as usize], "distance {distance}, byte {n}");
        }
    }
}

#[test]
fn downward_moves_and_short_addresses() {
    let mut cpu = cpu32();
    write(&mut cpu, 0x2000, &[1, 2, 3, 4, 5, 6, 7, 8]);
    cpu.sysflags |= rflags::DF;
    (cpu.r[gpr::RCX], cpu.r[gpr::RSI], cpu.r[gpr::RDI]) = (2, 0x2004, 0x3004);
    assert_eq!(step(&mut cpu, &[0xf3, 0xa5]), Ok(()));
    assert_eq!((cpu.r[gpr::RSI], cpu.r[gpr::RDI]), (0x1ffc, 0x2ffc));
    assert_eq!(read(&cpu, 0x3000), 0x0807_0605_0403_0201);
    // With 16-bit addresses DI wraps and the upper halves stay.
    cpu.sysflags &= !rflags::DF;
    (cpu.r[gpr::RAX], cpu.r[gpr::RCX], cpu.r[gpr::RDI]) = (0xee, 0xffff_0004, 0xabcd_fffe);
    assert_eq!(step(&mut cpu, &[0x67, 0xf3, 0xaa]), Ok(()));
    assert_eq!((cpu.r[gpr::RCX], cpu.r[gpr::RDI]), (0xffff_0000, 0xabcd_0002));
    assert_eq!(read(&cpu, 0xfffe) & 0xffff, 0xeeee);
    assert_eq!(read(&cpu, 0) & 0xff_ffff, 0xeeee);
}

#[test]
fn scans_and_comparisons_stop_by_zf() {
    let mut cpu = cpu32();
    write(&mut cpu, 0x2000, b"hello world");
    write(&mut cpu, 0x3000, b"hello there");
    (cpu.r[gpr::RAX], cpu.r[gpr::RCX], cpu.r[gpr::RDI]) = (u64::from(b'o'), 11, 0x2000);
    // REPNE SCASB
    assert_eq!(step(&mut cpu, &[0xf2, 0xae]), Ok(()));
    assert_eq!((cpu.r[gpr::RCX], cpu.r[gpr::RDI], cpu.flags.zf()), (6, 0x2005, true));
    (cpu.r[gpr::RCX], cpu.r[gpr::RSI], cpu.r[gpr::RDI]) = (11, 0x2000, 0x3000);
    // REPE CMPSB
    assert_eq!(step(&mut cpu, &[0xf3, 0xa6]), Ok(()));
    assert_eq!((cpu.r[gpr::RCX], cpu.flags.zf(), cpu.flags.cf()), (4, false, false));
}

#[test]
fn segment_overrides_move_the_source_only() {
    let mut cpu = cpu32();
    cpu.seg[seg::FS].base = 0x1_0000;
    cpu.mode_changed();
    write(&mut cpu, 0x1_2000, &[7]);
    (cpu.r[gpr::RSI], cpu.r[gpr::RDI]) = (0x2000, 0x4000);
    // FS MOVSB
    assert_eq!(step(&mut cpu, &[0x64, 0xa4]), Ok(()));
    assert_eq!(read(&cpu, 0x4000), 7);
}

#[test]
fn divisions_that_do_not_fit_are_faults() {
    let mut cpu = cpu64();
    (cpu.r[gpr::RAX], cpu.r[gpr::RDX], cpu.r[gpr::RCX]) = (1, 5, 0);
    // DIV RCX
    assert_eq!(step(&mut cpu, &[0x48, 0xf7, 0xf1]), fault(vector::DE, None));
    cpu.r[gpr::RCX] = 5;
    assert_eq!(step(&mut cpu, &[0x48, 0xf7, 0xf1]), fault(vector::DE, None));
    cpu.r[gpr::RCX] = 6;
    assert_eq!(step(&mut cpu, &[0x48, 0xf7, 0xf1]), Ok(()));
    assert_eq!(u128::from(cpu.r[gpr::RAX]) * 6 + u128::from(cpu.r[gpr::RDX]), (5 << 64) + 1);
    // IDIV: the most negative by -1, in 64 and 128 bits.
    (cpu.r[gpr::RAX], cpu.r[gpr::RDX], cpu.r[gpr::RCX]) = (1 << 63, u64::MAX, u64::MAX);
    assert_eq!(step(&mut cpu, &[0x48, 0xf7, 0xf9]), fault(vector::DE, None));
    (cpu.r[gpr::RAX], cpu.r[gpr::RDX]) = (0, 1 << 63);
    assert_eq!(step(&mut cpu, &[0x48, 0xf7, 0xf9]), fault(vector::DE, None));
}

#[test]
fn decimal_arithmetic() {
    let mut cpu = cpu32();
    // 79h + 35h = AEh; DAA makes 14 with a carry.
    (cpu.r[gpr::RAX], cpu.flags) = (0xae, crate::flags::Flags::from_bits(0));
    assert_eq!(step(&mut cpu, &[0x27]), Ok(()));
    assert_eq!((cpu.r[gpr::RAX], cpu.flags.cf(), cpu.flags.af()), (0x14, true, true));
    // 35h - 47h = EEh with CF and AF; DAS makes 88 with a borrow (SDM 2A, "DAS", example).
    (cpu.r[gpr::RAX], cpu.flags) = (0xee, crate::flags::Flags::from_bits(0x11));
    assert_eq!(step(&mut cpu, &[0x2f]), Ok(()));
    assert_eq!((cpu.r[gpr::RAX], cpu.flags.cf(), cpu.flags.af()), (0x88, true, true));
    // AAM, AAD and back.
    cpu.r[gpr::RAX] = 79;
    assert_eq!(step(&mut cpu, &[0xd4, 10]), Ok(()));
    assert_eq!(cpu.r[gpr::RAX], 0x0709);
    assert_eq!(step(&mut cpu, &[0xd5, 10]), Ok(()));
    assert_eq!(cpu.r[gpr::RAX], 79);
    assert_eq!(step(&mut cpu, &[0xd4, 0]), fault(vector::DE, None));
    // AAA of 0Fh in AX: the carry goes from AL into AH.
    (cpu.r[gpr::RAX], cpu.flags) = (0x00fa, crate::flags::Flags::from_bits(0));
    assert_eq!(step(&mut cpu, &[0x37]), Ok(()));
    assert_eq!((cpu.r[gpr::RAX], cpu.flags.cf()), (0x0200, true));
}

#[test]
fn bit_strings_reach_beyond_their_operand() {
    let mut cpu = cpu64();
    (cpu.r[gpr::RBX], cpu.r[gpr::RAX]) = (0x2000, (-1i64) as u64);
    // BTS [RBX], RAX: the bit before.
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xab, 0x03]), Ok(()));
    assert_eq!((read(&cpu, 0x1ff8), cpu.flags.cf()), (1 << 63, false));
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xab, 0x03]), Ok(()));
    assert!(cpu.flags.cf());
    // BTC [RBX], 67: an immediate is cut.
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xba, 0x3b, 67]), Ok(()));
    assert_eq!(read(&cpu, 0x2000), 8);
}

#[test]
fn features_that_the_profile_lacks_are_invalid() {
    let mut cpu = cpu64();
    cpu.features = super::feature::Features::default();
    let ud = fault(vector::UD, None);
    assert_eq!(step(&mut cpu, &[0xf3, 0x0f, 0xb8, 0xc1]), ud);
    assert_eq!(step(&mut cpu, &[0xc4, 0xe2, 0x78, 0xf2, 0xc1]), ud);
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xc7, 0x0b]), ud);
    assert_eq!(step(&mut cpu, &[0x66, 0x0f, 0x38, 0x00, 0xc1]), ud);
    // AES, and AVX without its state enabled.
    assert_eq!(step(&mut cpu, &[0x66, 0x0f, 0x38, 0xdc, 0xc1]), ud);
    assert_eq!(step(&mut cpu, &[0xc5, 0xfc, 0x58, 0xc1]), ud);
    // LZCNT is BSR then.
    (cpu.r[gpr::RCX], cpu.r[gpr::RAX]) = (0x10, 0);
    assert_eq!(step(&mut cpu, &[0xf3, 0x0f, 0xbd, 0xc1]), Ok(()));
    assert_eq!(cpu.r[gpr::RAX], 4);
}

#[test]
fn compare_and_exchange() {
    let mut cpu = cpu64();
    (cpu.r[gpr::RBX], cpu.r[gpr::RDX], cpu.r[gpr::RAX]) = (0x2008, 1, 2);
    // CMPXCHG16B [RBX]
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xc7, 0x0b]), gp0());
    cpu.r[gpr::RBX] = 0x2000;
    write(&mut cpu, 0x2000, &(1u128 << 64 | 2).to_le_bytes());
    cpu.r[gpr::RCX] = 0x77;
    assert_eq!(step(&mut cpu, &[0xf0, 0x48, 0x0f, 0xc7, 0x0b]), Ok(()));
    assert_eq!((read(&cpu, 0x2000), read(&cpu, 0x2008), cpu.flags.zf()), (0x2000, 0x77, true));
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xc7, 0x0b]), Ok(()));
    assert_eq!((cpu.r[gpr::RAX], cpu.r[gpr::RDX], cpu.flags.zf()), (0x2000, 0x77, false));
    // A destination that cannot be written faults also when the comparison fails.
    cpu.seg[seg::FS].base = 1 << 47;
    assert_eq!(step(&mut cpu, &[0x64, 0x0f, 0xb1, 0x0b]), gp0());
}

#[test]
fn lock_is_invalid_where_the_manual_says_so() {
    let invalid: [&[u8]; 4] = [
        &[0xf0, 0x01, 0xc3],                   // ADD EBX, EAX
        &[0xf0, 0x03, 0x03],                   // ADD EAX, [RBX]
        &[0xf0, 0x0f, 0xa3, 0x03],             // BT [RBX], EAX
        &[0xf0, 0x48, 0x0f, 0x38, 0xf1, 0x03], // MOVBE [RBX], RAX
    ];
    for bytes in invalid {
        assert!(Decoder::new(64, bytes, DecoderOptions::NONE).decode().is_invalid(), "{bytes:02x?}");
    }
    let valid: [&[u8]; 3] = [&[0xf0, 0x01, 0x03], &[0xf0, 0x87, 0x03], &[0xf0, 0x0f, 0xc1, 0x03]];
    for bytes in valid {
        assert!(!Decoder::new(64, bytes, DecoderOptions::NONE).decode().is_invalid(), "{bytes:02x?}");
    }
}

#[test]
fn popf_changes_what_the_privilege_allows() {
    const ALL: u64 = 0x3f_7fd5;
    let mut cpu = cpu32();
    let mut popf = |cpl, iopl: u64, extra: u64, code: &[u8]| {
        cpu.cpl = cpl;
        cpu.set_rflags(iopl << 12 | extra);
        cpu.r[gpr::RSP] = 0x2000;
        write(&mut cpu, 0x2000, &ALL.to_le_bytes());
        step(&mut cpu, code).map(|()| cpu.rflags())
    };
    let (wide, narrow) = ([0x9d].as_slice(), [0x66, 0x9d].as_slice());
    // All but VM, VIF, VIP and RF.
    let most = 0x24_7fd7;
    assert_eq!(popf(0, 0, 0, wide), Ok(most));
    assert_eq!(popf(0, 0, 0, narrow), Ok(0x7fd7));
    assert_eq!(popf(3, 0, 0, wide), Ok(most & !0x3200));
    assert_eq!(popf(3, 3, 0, wide), Ok(most));
    assert_eq!(popf(3, 0, rflags::IF | rflags::RF, wide), Ok(most & !0x3000));
    // Virtual-8086 mode.
    assert_eq!(popf(3, 0, rflags::VM, narrow), gp0().map(|()| 0));
    assert_eq!(popf(3, 3, rflags::VM, narrow), Ok(0x7fd7 | rflags::VM));
}

#[test]
fn pushf_hides_rf_and_vm() {
    let mut cpu = cpu32();
    cpu.r[gpr::RSP] = 0x2000;
    cpu.sysflags |= rflags::RF | rflags::IF;
    assert_eq!(step(&mut cpu, &[0x9c]), Ok(()));
    assert_eq!((cpu.r[gpr::RSP], read(&cpu, 0x1ffc) & 0xffff_ffff), (0x1ffc, 0x202));
    // With the virtual-8086 extensions VIF shows as IF, under an IOPL of 3.
    cpu.set_rflags(rflags::VM | rflags::VIF);
    assert_eq!(step(&mut cpu, &[0x66, 0x9c]), gp0());
    cpu.cr4 |= cr4::VME;
    assert_eq!(step(&mut cpu, &[0x66, 0x9c]), Ok(()));
    assert_eq!(read(&cpu, 0x1ffa) & 0xffff, 0x3202);
}

#[test]
fn enter_builds_nested_frames() {
    let mut cpu = cpu32();
    (cpu.r[gpr::RSP], cpu.r[gpr::RBP]) = (0x3000, 0x2800);
    write(&mut cpu, 0x27fc, &0x1111u32.to_le_bytes());
    // ENTER 16, 2
    assert_eq!(step(&mut cpu, &[0xc8, 16, 0, 2]), Ok(()));
    assert_eq!((cpu.r[gpr::RBP], cpu.r[gpr::RSP]), (0x2ffc, 0x3000 - 12 - 16));
    assert_eq!(read(&cpu, 0x2ff8), 0x2800 << 32 | 0x1111);
    assert_eq!(read(&cpu, 0x2ff4) & 0xffff_ffff, 0x2ffc);
}

#[test]
fn pusha_and_popa() {
    let mut cpu = cpu32();
    for n in 0..8 {
        cpu.r[n] = 0x100 + n as u64;
    }
    cpu.r[gpr::RSP] = 0x2000;
    assert_eq!(step(&mut cpu, &[0x60]), Ok(()));
    assert_eq!(read(&cpu, 0x1ff8), 0x100 << 32 | 0x101);
    assert_eq!(read(&cpu, 0x1fe8) & 0xffff_ffff, 0x105);
    assert_eq!(read(&cpu, 0x1fec) & 0xffff_ffff, 0x2000);
    for n in 0..8 {
        cpu.r[n] = if n == gpr::RSP { 0x1fe0 } else { 0 };
    }
    assert_eq!(step(&mut cpu, &[0x61]), Ok(()));
    for n in (0..8).filter(|n| *n != gpr::RSP) {
        assert_eq!(cpu.r[n], 0x100 + n as u64);
    }
    assert_eq!(cpu.r[gpr::RSP], 0x2000);
    // Nothing is pushed when the last slot is out of the segment (grows down, from the limit).
    cpu.seg[seg::SS] = Segment { limit: 0x1fef, rights: 0x8097 | D_BIT, ..cpu.seg[seg::SS] };
    cpu.mode_changed();
    write(&mut cpu, 0x1fe0, &[0; 32]);
    assert_eq!(step(&mut cpu, &[0x60]), fault(vector::SS, Some(0)));
    assert_eq!((cpu.r[gpr::RSP], read(&cpu, 0x1ff8)), (0x2000, 0));
}

#[test]
fn bounds_and_loops() {
    let mut cpu = cpu32();
    write(&mut cpu, 0x2000, &(0x0000_0010_ffff_fff0u64).to_le_bytes());
    cpu.r[gpr::RBX] = 0x2000;
    for (index, inside) in
        [(0u64, true), (0x10, true), (0x11, false), (0xffff_fff0, true), (0xffff_ffef, false)]
    {
        cpu.r[gpr::RAX] = index;
        let expected = if inside { Ok(()) } else { fault(vector::BR, None) };
        assert_eq!(step(&mut cpu, &[0x62, 0x03]), expected, "{index:#x}");
    }
    // LOOP back by 16, then through; with a target beyond the limit ECX stays.
    cpu.r[gpr::RCX] = 2;
    assert_eq!(step(&mut cpu, &[0xe2, 0xee]), Ok(()));
    assert_eq!((cpu.rip, cpu.r[gpr::RCX]), (0xff0, 1));
    assert_eq!(step(&mut cpu, &[0xe2, 0xee]), Ok(()));
    assert_eq!((cpu.rip, cpu.r[gpr::RCX]), (0xff2, 0));
    cpu.seg[seg::CS].limit = 0xff7;
    cpu.mode_changed();
    assert_eq!(step(&mut cpu, &[0xe2, 0x10]), gp0());
    assert_eq!((cpu.rip, cpu.r[gpr::RCX]), (0xff2, 0));
    // JECXZ
    cpu.r[gpr::RCX] = 0;
    assert_eq!(step(&mut cpu, &[0xe3, 0x02]), Ok(()));
    assert_eq!(cpu.rip, 0xff6);
}

#[test]
fn sse_needs_its_control_bits_and_alignment() {
    let mut cpu = cpu64();
    let addps = [0x0f, 0x58, 0xc1];
    cpu.cr0 |= cr0::TS;
    assert_eq!(step(&mut cpu, &addps), fault(vector::NM, None));
    cpu.cr4 &= !cr4::OSFXSR;
    assert_eq!(step(&mut cpu, &addps), fault(vector::UD, None));
    cpu.cr4 |= cr4::OSFXSR;
    cpu.cr0 = cpu.cr0 & !cr0::TS | cr0::EM;
    assert_eq!(step(&mut cpu, &addps), fault(vector::UD, None));
    cpu.cr0 &= !cr0::EM;
    assert_eq!(step(&mut cpu, &addps), Ok(()));
    cpu.r[gpr::RBX] = 0x2008;
    // MOVAPS, ADDPS, MOVUPS, PMOVZXBW (8 bytes).
    assert_eq!(step(&mut cpu, &[0x0f, 0x28, 0x03]), gp0());
    assert_eq!(step(&mut cpu, &[0x0f, 0x58, 0x03]), gp0());
    assert_eq!(step(&mut cpu, &[0x0f, 0x10, 0x03]), Ok(()));
    assert_eq!(step(&mut cpu, &[0x66, 0x0f, 0x38, 0x30, 0x03]), Ok(()));
    // PADDB on MMX registers: x87's top is 0 and no register is empty then.
    cpu.fpu.fsw = 3 << 11;
    (cpu.fpu.st[0], cpu.fpu.st[1]) = (0xff01, 0x0102);
    assert_eq!(step(&mut cpu, &[0x0f, 0xfc, 0xc1]), Ok(()));
    assert_eq!((cpu.fpu.st[0], cpu.fpu.fsw, cpu.fpu.ftw), (0xffff << 64 | 0x0003, 0, 0xff));
}

#[test]
fn unmasked_exceptions_leave_the_destination() {
    let mut cpu = cpu64();
    let one = 0x3f80_0000u128;
    (cpu.fpu.xmm[0], cpu.fpu.xmm[1]) = (one, 0);
    // DIVSS XMM0, XMM1 with the divide-by-zero exception unmasked.
    cpu.fpu.mxcsr = 0x1f80 & !(1 << 9);
    assert_eq!(step(&mut cpu, &[0xf3, 0x0f, 0x5e, 0xc1]), fault(vector::XM, None));
    assert_eq!((cpu.fpu.xmm[0], cpu.fpu.mxcsr & 0x3f), (one, 4));
    cpu.cr4 &= !cr4::OSXMMEXCPT;
    assert_eq!(step(&mut cpu, &[0xf3, 0x0f, 0x5e, 0xc1]), fault(vector::UD, None));
    cpu.cr4 |= cr4::OSXMMEXCPT;
    // Underflow, unmasked: tiny is enough, exact or not.
    (cpu.fpu.xmm[0], cpu.fpu.xmm[1]) = (0x0080_0000, 0x3f00_0000);
    cpu.fpu.mxcsr = 0x1f80 & !(1 << 11);
    assert_eq!(step(&mut cpu, &[0xf3, 0x0f, 0x59, 0xc1]), fault(vector::XM, None));
    assert_eq!(cpu.fpu.mxcsr & 0x3f, 0x10);
    // Masked, an exact denormal result raises nothing.
    cpu.fpu.mxcsr = 0x1f80;
    assert_eq!(step(&mut cpu, &[0xf3, 0x0f, 0x59, 0xc1]), Ok(()));
    assert_eq!((cpu.fpu.xmm[0], cpu.fpu.mxcsr & 0x3f), (0x0040_0000, 0));
    // Division by zero in lane 0 unmasked: the inexact result of lane 1 leaves no flag.
    (cpu.fpu.xmm[0], cpu.fpu.xmm[1]) = (one | one << 32 | one << 64 | one << 96, 0x4040_0000 << 32);
    cpu.fpu.mxcsr = 0x1f80 & !(1 << 9);
    assert_eq!(step(&mut cpu, &[0x0f, 0x5e, 0xc1]), fault(vector::XM, None));
    assert_eq!(cpu.fpu.mxcsr & 0x3f, 4);
}

#[test]
fn state_images_go_round() {
    let mut cpu = cpu64();
    for n in 0..16 {
        cpu.fpu.xmm[n] = (n as u128 + 1) << 100 | 3;
    }
    cpu.fpu.st[3] = 0x3fff << 64 | 1 << 63;
    (cpu.fpu.fsw, cpu.fpu.ftw, cpu.fpu.fop) = (3 << 11, 0x81, 0x123);
    (cpu.fpu.fip, cpu.fpu.fdp, cpu.fpu.mxcsr) = (0x1234_5678_9abc, 0x1111, 0x1fa0);
    let saved = cpu.fpu.clone();
    cpu.r[gpr::RBX] = 0x2000;
    // FXSAVE64 [RBX], FXRSTOR64 [RBX]
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x03]), Ok(()));
    // ST(0) comes first.
    assert_eq!(read(&cpu, 0x2000 + 32), 1 << 63);
    assert_eq!(read(&cpu, 0x2000 + 24), 0xffff << 32 | 0x1fa0);
    cpu.fpu = crate::cpu::Fpu::default();
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x0b]), Ok(()));
    assert_eq!(format!("{:?}", cpu.fpu), format!("{saved:?}"));
    // A reserved bit of MXCSR, and a bad alignment.
    write(&mut cpu, 0x2000 + 26, &[1]);
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x0b]), gp0());
    cpu.r[gpr::RBX] = 0x2008;
    assert_eq!(step(&mut cpu, &[0x0f, 0xae, 0x03]), gp0());

    // XSAVE of both components, XRSTOR of SSE only.
    cpu.r[gpr::RBX] = 0x3000;
    (cpu.r[gpr::RAX], cpu.r[gpr::RDX]) = (u64::MAX, u64::MAX);
    cpu.fpu = saved.clone();
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x23]), Ok(()));
    assert_eq!(read(&cpu, 0x3200), 3);
    cpu.fpu = crate::cpu::Fpu::default();
    cpu.r[gpr::RAX] = 2;
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x2b]), Ok(()));
    assert_eq!((cpu.fpu.xmm, cpu.fpu.mxcsr, cpu.fpu.fop), (saved.xmm, 0x1fa0, 0));
    // What the header does not have is initialised; what XCR0 does not have is refused.
    write(&mut cpu, 0x3200, &[1]);
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x2b]), Ok(()));
    assert_eq!(cpu.fpu.xmm, [0; 16]);
    write(&mut cpu, 0x3200, &[4]);
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x2b]), gp0());
    cpu.cr4 &= !cr4::OSXSAVE;
    assert_eq!(step(&mut cpu, &[0x48, 0x0f, 0xae, 0x2b]), fault(vector::UD, None));
}

#[test]
fn x87_control() {
    let mut cpu = cpu64();
    cpu.r[gpr::RBX] = 0x2000;
    // FLDCW with an invalid-operation flag waiting and now unmasked; then WAIT.
    cpu.fpu.fsw = 1;
    write(&mut cpu, 0x2000, &0x37eu16.to_le_bytes());
    assert_eq!(step(&mut cpu, &[0xd9, 0x2b]), Ok(()));
    assert_eq!(cpu.fpu.fsw, 0x8081);
    assert_eq!(step(&mut cpu, &[0x9b]), fault(vector::MF, None));
    // FNSTSW AX, FNCLEX, FNINIT, FNSTCW.
    assert_eq!(step(&mut cpu, &[0xdf, 0xe0]), Ok(()));
    assert_eq!(cpu.r[gpr::RAX] & 0xffff, 0x8081);
    assert_eq!(step(&mut cpu, &[0xdb, 0xe2]), Ok(()));
    assert_eq!(step(&mut cpu, &[0x9b]), Ok(()));
    assert_eq!(step(&mut cpu, &[0xdb, 0xe3]), Ok(()));
    assert_eq!(step(&mut cpu, &[0xd9, 0x7b, 0x08]), Ok(()));
    assert_eq!(read(&cpu, 0x2008), 0x37f);
    // FADD ST, ST(1) of empty registers.
    assert_eq!(step(&mut cpu, &[0xd8, 0xc1]), Ok(()));
    assert_eq!(cpu.fpu.fsw & 0xff, 0x41);
    cpu.cr0 |= cr0::TS;
    assert_eq!(step(&mut cpu, &[0xd8, 0xc1]), fault(vector::NM, None));
    assert_eq!(step(&mut cpu, &[0x9b]), fault(vector::NM, None));
    cpu.cr0 &= !cr0::MP;
    assert_eq!(step(&mut cpu, &[0x9b]), Ok(()));
}
