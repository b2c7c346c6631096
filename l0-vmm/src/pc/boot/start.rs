//! The processor's state at the entry of an image.

use super::{BootError, Loader, at};
use x86_ref::{DescTable, Segment, State};
use x86_spec::cr::{cr0, cr4, efer};

const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
/// Flat descriptors: two unused, 32- or 64-bit code, data, a task.
const GDT32: [u64; 5] = [0, 0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067];
const GDT64: [u64; 5] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067];

/// GBytes that the page tables of the 64-bit entry map to themselves.
const MAPPED: u64 = 4;
const PAGE: u64 = 0x1000;
/// Present, writable.
const TABLE: u64 = 3;
/// Present, writable, large.
const LARGE: u64 = 0x83;

fn segment(selector: u16, rights: u32) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, rights }
}

fn state(loader: &Loader<'_>, gdt: [u64; 5], code: u32) -> Result<State, BootError> {
    let bytes = gdt.map(u64::to_le_bytes).concat();
    loader.put("descriptors", at::GDT, &bytes)?;
    let data = segment(DATA, 0xc093);
    Ok(State {
        rflags: 2,
        seg: [data, segment(CODE, code), data, data, data, data],
        ldtr: Segment { rights: 0x82, limit: 0xffff, ..Segment::default() },
        tr: Segment { selector: 0x20, base: 0, limit: 0x67, rights: 0x8b },
        gdtr: DescTable { base: at::GDT, limit: (bytes.len() - 1) as u16 },
        cr0: cr0::PE | cr0::ET,
        dr: [0, 0, 0, 0, 0xffff_0ff0, 0x400],
        ..State::default()
    })
}

/// Flat 32-bit protected mode without paging.
pub(super) fn protected(loader: &Loader<'_>, entry: u32) -> Result<State, BootError> {
    Ok(State { rip: u64::from(entry), ..state(loader, GDT32, 0xc09b)? })
}

/// 64-bit mode, with the first 4 GBytes mapped to themselves.
pub(super) fn long(loader: &Loader<'_>, entry: u64) -> Result<State, BootError> {
    let pdpt = at::PAGING + PAGE;
    let directory = |n: u64| at::PAGING + (2 + n) * PAGE;
    let mut tables = vec![0u64; 512 * (2 + MAPPED as usize)];
    tables[0] = pdpt | TABLE;
    for n in 0..MAPPED {
        tables[512 + n as usize] = directory(n) | TABLE;
    }
    for (n, entry) in (0..).zip(&mut tables[1024..]) {
        *entry = n << 21 | LARGE;
    }
    let bytes: Vec<u8> = tables.into_iter().flat_map(u64::to_le_bytes).collect();
    loader.put("page tables", at::PAGING, &bytes)?;
    let state = state(loader, GDT64, 0xa09b)?;
    Ok(State {
        rip: entry,
        gpr: gprs(&[(4, at::STACK)]),
        cr0: state.cr0 | cr0::PG,
        cr3: at::PAGING,
        cr4: cr4::PAE,
        efer: efer::LME | efer::LMA,
        ..state
    })
}

/// Registers with these values, by number.
pub(super) fn gprs(values: &[(usize, u64)]) -> [u64; 16] {
    let mut gpr = [0; 16];
    for (number, value) in values {
        gpr[number & 15] = *value;
    }
    gpr
}
