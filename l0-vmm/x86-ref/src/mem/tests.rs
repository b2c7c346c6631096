//! Page walks and EPT walks, case by case.

use super::{
    Mode,
    ept::{EptState, entry},
    paging::error,
};
use crate::{
    Bus, Cpu, Flow, Profile,
    fault::{EptFault, EptKind, Why},
};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use x86_spec::{
    cr::{cr0, cr4, efer, rflags},
    vector,
};

/// What was last written to a device.
#[derive(Default)]
struct Device {
    written: Vec<(u64, u8, u64)>,
}

impl Bus for Device {
    fn io_in(&mut self, _: u16, _: u8) -> u32 {
        0
    }
    fn io_out(&mut self, _: u16, _: u8, _: u32) -> Flow {
        Flow::Continue
    }
    fn mmio_read(&mut self, address: u64, _: u8) -> u64 {
        address
    }
    fn mmio_write(&mut self, address: u64, size: u8, value: u64) -> Flow {
        self.written.push((address, size, value));
        Flow::Continue
    }
}

const RAM: usize = 0x10_0000;
const P: u64 = 1;
const W: u64 = 2;
const U: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const NX: u64 = 1 << 63;

/// Tables: PML4 at 0x1000, PDPT 0x2000, PD 0x3000, PT 0x4000; linear 0x40_0000 to 0x5f_ffff goes through the PT.
const LINEAR: u64 = 0x40_0000;
const PTE: u64 = 0x4000;

fn cpu() -> (Cpu, Rc<RefCell<Device>>) {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    let device = Rc::new(RefCell::new(Device::default()));
    let cpu = Cpu::new(Arc::new(Profile::default()), memory, device.clone()).unwrap();
    (cpu, device)
}

fn put(cpu: &mut Cpu, at: u64, value: u64) {
    assert!(cpu.mem.phys_write(at, &value.to_le_bytes()));
}

fn get(cpu: &Cpu, at: u64) -> u64 {
    u64::from_le_bytes(cpu.mem.phys_read(at).unwrap())
}

/// 64-bit mode with one mapped page: rights of all levels but the last are full.
fn long(pte: u64) -> Cpu {
    let (mut cpu, _) = cpu();
    cpu.cr0 = cr0::PE | cr0::PG | cr0::WP;
    cpu.cr3 = 0x1000;
    cpu.cr4 = cr4::PAE;
    cpu.msr.efer = efer::LMA | efer::LME | efer::NXE;
    cpu.seg[1].rights = 0xa09b;
    put(&mut cpu, 0x1000, 0x2000 | P | W | U);
    put(&mut cpu, 0x2000, 0x3000 | P | W | U);
    put(&mut cpu, 0x3010, 0x4000 | P | W | U);
    put(&mut cpu, PTE, pte);
    cpu.mode_changed();
    cpu.flush_tlb();
    cpu
}

/// What an access ends in: a page-fault error code, or nothing.
fn outcome(cpu: &mut Cpu, done: Result<(), crate::fault::Halt>) -> Option<u32> {
    match (done, cpu.why) {
        (Ok(()), _) => None,
        (Err(_), Why::Exception(e)) if e.vector == vector::PF => e.error,
        (Err(_), other) => panic!("{other:?}"),
    }
}

fn read(cpu: &mut Cpu) -> Option<u32> {
    let done = cpu.read_linear(LINEAR, 8, Mode::Data).map(|_| ());
    outcome(cpu, done)
}

fn write(cpu: &mut Cpu) -> Option<u32> {
    let done = cpu.write_linear(LINEAR, 8, 1, Mode::Data);
    outcome(cpu, done)
}

fn fetch(cpu: &mut Cpu) -> Option<u32> {
    let done = cpu.fetch(LINEAR).map(|_| ());
    outcome(cpu, done)
}

fn user(mut cpu: Cpu) -> Cpu {
    cpu.cpl = 3;
    cpu.mode_changed();
    cpu
}

#[test]
fn rights_of_four_level_paging() {
    use error::*;
    assert_eq!(read(&mut long(0)), Some(0));
    assert_eq!(write(&mut long(0)), Some(WRITE));
    assert_eq!(read(&mut user(long(0))), Some(USER));
    assert_eq!(fetch(&mut long(0)), Some(FETCH));
    assert_eq!(read(&mut long(0x8000 | P)), None);
    assert_eq!(write(&mut long(0x8000 | P)), Some(PRESENT | WRITE));
    assert_eq!(read(&mut user(long(0x8000 | P | W))), Some(PRESENT | USER));
    assert_eq!(write(&mut user(long(0x8000 | P | U))), Some(PRESENT | WRITE | USER));
    assert_eq!(write(&mut user(long(0x8000 | P | W | U))), None);
    assert_eq!(fetch(&mut long(0x8000 | P | NX)), Some(PRESENT | FETCH));
    assert_eq!(read(&mut long(0x8000 | P | NX)), None);
    // Reserved: address bits that the processor does not have; XD without EFER.NXE.
    assert_eq!(read(&mut long(0x8000 | P | 1 << 40)), Some(PRESENT | RESERVED));
    let mut cpu = long(0x8000 | P | NX);
    cpu.msr.efer &= !efer::NXE;
    assert_eq!(read(&mut cpu), Some(PRESENT | RESERVED));
}

#[test]
fn write_protection_smep_and_smap() {
    use error::*;
    let mut cpu = long(0x8000 | P);
    cpu.cr0 &= !cr0::WP;
    assert_eq!(write(&mut cpu), None);
    let mut cpu = long(0x8000 | P | U);
    assert_eq!(fetch(&mut cpu), None);
    cpu.cr4 |= cr4::SMEP;
    cpu.flush_tlb();
    assert_eq!(fetch(&mut cpu), Some(PRESENT | FETCH));
    cpu.cr4 = cr4::PAE | cr4::SMAP;
    cpu.flush_tlb();
    assert_eq!(read(&mut cpu), Some(PRESENT));
    cpu.sysflags |= rflags::AC;
    assert_eq!(read(&mut cpu), None);
    // AC opens nothing for implicit accesses, and nothing that it opened stays open.
    let done = cpu.read_linear(LINEAR, 8, Mode::System).map(|_| ());
    assert_eq!(outcome(&mut cpu, done), Some(PRESENT));
    cpu.sysflags &= !rflags::AC;
    assert_eq!(read(&mut cpu), Some(PRESENT));
    let mut cpu = user(cpu);
    assert_eq!(read(&mut cpu), None);
}

#[test]
fn accessed_and_dirty() {
    let mut cpu = long(0x8000 | P | W);
    assert_eq!(read(&mut cpu), None);
    assert_eq!(get(&cpu, PTE), 0x8000 | P | W | A);
    assert_eq!(get(&cpu, 0x1000) & (A | D), A);
    assert_eq!(write(&mut cpu), None);
    assert_eq!(get(&cpu, PTE), 0x8000 | P | W | A | D);
    assert_eq!(get(&cpu, 0x8000), 1);
    // A fault leaves them alone.
    let mut cpu = long(0x8000 | P);
    assert!(write(&mut cpu).is_some());
    assert_eq!((get(&cpu, PTE), get(&cpu, 0x1000) & A), (0x8000 | P, 0));
}

#[test]
fn large_pages() {
    let mut cpu = long(0);
    put(&mut cpu, 0x3010, P | W | PS);
    put(&mut cpu, 0x1_2340, 77);
    assert_eq!(cpu.read_linear(LINEAR + 0x1_2340, 8, Mode::Data), Ok(77));
    // INVLPG of one page of it flushes all of it.
    put(&mut cpu, 0x3010, 0);
    assert_eq!(cpu.read_linear(LINEAR + 0x1_2340, 8, Mode::Data), Ok(77));
    cpu.flush_page(LINEAR);
    assert!(cpu.read_linear(LINEAR + 0x1_2340, 8, Mode::Data).is_err());
    put(&mut cpu, 0x3010, P | W | PS | 1 << 13);
    assert_eq!(read(&mut cpu), Some(error::PRESENT | error::RESERVED));
    // No 1-GByte pages in this profile.
    put(&mut cpu, 0x2000, P | W | PS);
    assert_eq!(read(&mut cpu), Some(error::PRESENT | error::RESERVED));
    cpu.mem.huge_pages = true;
    assert_eq!(cpu.read_linear(0x1_2340, 8, Mode::Data), Ok(77));
}

#[test]
fn pae_paging() {
    let mut cpu = long(0x8000 | P | W);
    cpu.msr.efer = efer::NXE;
    cpu.seg[1].rights = 0xc09b;
    cpu.mode_changed();
    cpu.flush_tlb();
    cpu.cr3 = 0x5020;
    put(&mut cpu, 0x5020, 0x3000 | P);
    assert!(cpu.load_pdptrs(0x5020).is_ok());
    assert_eq!(write(&mut cpu), None);
    assert_eq!(get(&cpu, 0x8000), 1);
    let done = cpu.read_linear(LINEAR + (1 << 30), 1, Mode::Data).map(|_| ());
    assert_eq!(outcome(&mut cpu, done), Some(0), "PDPTE 1 is not present");
    put(&mut cpu, 0x5028, 0x3000 | P | W);
    assert!(cpu.load_pdptrs(0x5020).is_err(), "reserved bit 1");
    put(&mut cpu, PTE, 0x8000 | P | 1 << 52);
    cpu.flush_tlb();
    assert_eq!(read(&mut cpu), Some(error::PRESENT | error::RESERVED), "bits 62:52");
}

#[test]
fn paging_with_32_bits() {
    let (mut cpu, _) = cpu();
    cpu.cr0 = cr0::PE | cr0::PG;
    cpu.cr3 = 0x1000;
    cpu.mode_changed();
    assert!(cpu.mem.phys_write(0x1004, &(0x2000u32 | 7).to_le_bytes()));
    assert!(cpu.mem.phys_write(0x2000, &(0x8000u32 | 7).to_le_bytes()));
    assert_eq!(write(&mut cpu), None);
    assert_eq!(get(&cpu, 0x8000), 1);
    assert_eq!(get(&cpu, 0x2000), 0x8067);
    assert_eq!(get(&cpu, 0x1000) >> 32, 0x2027);
    assert_eq!(fetch(&mut cpu), None);
    // A page of 4 MBytes, only with CR4.PSE.
    cpu.cr4 = cr4::PSE;
    cpu.flush_tlb();
    assert!(cpu.mem.phys_write(0x1004, &0x83u32.to_le_bytes()));
    assert_eq!(cpu.read_linear(LINEAR + 0x8000, 8, Mode::Data), Ok(1));
    // Bits 39:32 in bits 20:13 as far as there are physical bits: 36 here.
    assert!(cpu.mem.phys_write(0x1004, &(0x83u32 | 1 << 17).to_le_bytes()));
    cpu.flush_tlb();
    assert_eq!(read(&mut cpu), Some(error::PRESENT | error::RESERVED));
}

#[test]
fn accesses_over_a_page_boundary_are_all_or_nothing() {
    let mut cpu = long(0x8000 | P | W);
    put(&mut cpu, PTE + 8, 0xa000 | P);
    put(&mut cpu, 0x8ff8, 0);
    put(&mut cpu, 0xa000, 0x0807_0605);
    let at = LINEAR + 0xffc;
    assert_eq!(cpu.read_linear(at, 8, Mode::Data), Ok(0x0807_0605_0000_0000));
    assert!(cpu.write_linear(at, 8, u64::MAX, Mode::Data).is_err());
    assert!(matches!(cpu.why, Why::Exception(e) if e.info == LINEAR + 0x1000));
    assert_eq!(get(&cpu, 0x8ff8), 0);
    assert!(cpu.write_linear_bytes(at, &[1; 8], Mode::Data).is_err());
    assert_eq!(get(&cpu, 0x8ff8), 0);
    put(&mut cpu, PTE + 8, 0xa000 | P | W);
    assert!(cpu.write_linear(at, 8, 0x1122_3344_5566_7788, Mode::Data).is_ok());
    assert_eq!((get(&cpu, 0x8ff8) >> 32, get(&cpu, 0xa000) as u32), (0x5566_7788, 0x1122_3344));
}

#[test]
fn devices_are_behind_the_ram() {
    let (mut cpu, device) = cpu();
    let at = RAM as u64 + 0x10;
    assert_eq!(cpu.read_linear(at, 4, Mode::Data), Ok(at));
    assert!(cpu.write_linear(at, 2, 0x1_2345, Mode::Data).is_ok());
    assert_eq!(device.borrow().written, [(at, 2, 0x2345)]);
}

/// EPT at 0x1_0000 (PML4), 0x1_1000, 0x1_2000, 0x1_3000 (PT), identity but for what a test changes; the guest has no paging.
fn ept() -> Cpu {
    let (mut cpu, _) = cpu();
    let full = entry::READ | entry::WRITE | entry::EXECUTE;
    put(&mut cpu, 0x1_0000, 0x1_1000 | full);
    put(&mut cpu, 0x1_1000, 0x1_2000 | full);
    put(&mut cpu, 0x1_2000, 0x1_3000 | full);
    put(&mut cpu, 0x1_2010, 0x1_3000 | full);
    for page in 0..32 {
        put(&mut cpu, 0x1_3000 + 8 * page, page << 12 | full | 6 << 3);
    }
    cpu.mem.ept = EptState { enabled: true, root: 0x1_0000, levels: 4, ..EptState::default() };
    cpu.flush_tlb();
    cpu
}

fn violation(cpu: &mut Cpu, done: Result<(), crate::fault::Halt>) -> EptFault {
    assert!(done.is_err());
    match cpu.why {
        Why::Ept(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ept_violations_say_what_and_why() {
    let mut cpu = ept();
    put(&mut cpu, 0x8008, 5);
    assert_eq!(cpu.read_linear(LINEAR + 0x8008, 8, Mode::Data), Ok(5));
    // Execute and read only: a write is refused, with the rights in bits 5:3.
    put(&mut cpu, 0x1_3040, 0x8000 | entry::READ | entry::EXECUTE | 6 << 3);
    cpu.flush_tlb();
    let done = cpu.write_linear(LINEAR + 0x8008, 8, 6, Mode::Data);
    let fault = violation(&mut cpu, done);
    assert_eq!(
        fault,
        EptFault {
            physical: LINEAR + 0x8008,
            linear: Some(LINEAR + 0x8008),
            qualification: 0b1_1010_1010,
            kind: EptKind::Violation { convertible: false }
        }
    );
    put(&mut cpu, 0x1_3040, 0);
    cpu.flush_tlb();
    let done = cpu.fetch(LINEAR + 0x8000).map(|_| ());
    assert_eq!(violation(&mut cpu, done).qualification, 0b1_1000_0100);
}

#[test]
fn ept_misconfigurations() {
    for (bad, why) in [
        (entry::WRITE, "write without read"),
        (entry::EXECUTE | 6 << 3, "execute only, which this processor cannot"),
        (0x8000 | entry::READ | 2 << 3, "memory type 2"),
        (0x8000 | entry::READ | 1 << 45, "beyond the physical address"),
    ] {
        let mut cpu = ept();
        put(&mut cpu, 0x1_3040, bad);
        let done = cpu.read_linear(LINEAR + 0x8000, 1, Mode::Data).map(|_| ());
        let fault = violation(&mut cpu, done);
        assert_eq!((fault.kind, fault.qualification), (EptKind::Misconfiguration, 0), "{why}");
    }
    let mut cpu = ept();
    cpu.mem.ept.execute_only = true;
    put(&mut cpu, 0x1_3040, 0x8000 | entry::EXECUTE | 6 << 3);
    assert!(cpu.fetch(LINEAR + 0x8000).is_ok());
}

#[test]
fn ept_accessed_and_dirty() {
    let mut cpu = ept();
    cpu.mem.ept.accessed_dirty = true;
    let flags = entry::ACCESSED | entry::DIRTY;
    assert!(cpu.read_linear(LINEAR + 0x8000, 1, Mode::Data).is_ok());
    assert_eq!(get(&cpu, 0x1_3040) & flags, entry::ACCESSED);
    assert!(cpu.write_linear(LINEAR + 0x8000, 1, 1, Mode::Data).is_ok());
    assert_eq!(get(&cpu, 0x1_3040) & flags, flags);
    assert_eq!(get(&cpu, 0x1_0000) & flags, entry::ACCESSED);
}

#[test]
fn guest_tables_behind_ept() {
    let mut cpu = ept();
    cpu.cr0 = cr0::PE | cr0::PG;
    cpu.cr3 = 0x1000;
    assert!(cpu.mem.phys_write(0x1004, &(0x2000u32 | 7).to_le_bytes()));
    assert!(cpu.mem.phys_write(0x2000, &(0x8000u32 | 7).to_le_bytes()));
    let read_only = |page: u64| page << 12 | entry::READ | 6 << 3;
    // The page directory can be read only: setting its accessed flag is a write to a paging structure.
    put(&mut cpu, 0x1_3008, read_only(1));
    let done = cpu.read_linear(LINEAR, 1, Mode::Data).map(|_| ());
    let fault = violation(&mut cpu, done);
    assert_eq!((fault.physical, fault.linear, fault.qualification), (0x1004, Some(LINEAR), 0b1000_1010));
    // With accessed and dirty flags for EPT, even reading it counts as a write: both bits.
    cpu.mem.ept.accessed_dirty = true;
    let done = cpu.read_linear(LINEAR, 1, Mode::Data).map(|_| ());
    assert_eq!(violation(&mut cpu, done).qualification, 0b1000_1011);
    put(&mut cpu, 0x1_3008, 0x1000 | 7 | 6 << 3);
    assert!(cpu.read_linear(LINEAR, 1, Mode::Data).is_ok());
    // Not the table's page but the page itself.
    put(&mut cpu, 0x1_3040, 0);
    cpu.flush_tlb();
    let done = cpu.read_linear(LINEAR + 8, 1, Mode::Data).map(|_| ());
    let fault = violation(&mut cpu, done);
    assert_eq!((fault.physical, fault.qualification), (0x8008, 0b1_1000_0001));
}
