//! EPT paging structures. SDM: "The Extended Page-Table Mechanism (EPT)", "EPT Translation Mechanism".
//!
//! Tables are taken from [`layout::EPT`] and nowhere else: an entry that a script wrote raw, and that leads elsewhere, is
//! never followed.

use crate::memory::Memory;
use rig_abi::{
    layout::{self, PAGE},
    record::Outcome,
};

/// Read, write and execute.
pub const RWX: u64 = 7;
/// Memory type write-back, in an entry.
pub const WB: u64 = 6 << 3;
/// The entry maps a page at a level above the page table.
pub const LARGE: u64 = 1 << 7;
/// Execute access for user-mode linear addresses, under "mode-based execute control for EPT".
pub const USER_EXECUTE: u64 = 1 << 10;

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const TABLES: u64 = 64;
const TOP: u32 = 4;

/// What a walk does where the way ends before the level that is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refuse,
    Split,
    /// Split or allocate; the bits are set in every table entry on the way.
    Create(u64),
}

/// The EPT that L1 keeps: its PML4 table is at [`layout::EPT`].
#[derive(Clone, Copy, Debug)]
pub struct Ept {
    next: u64,
}

/// Bytes that an entry at a level (1: page table) maps.
const fn size(level: u32) -> u64 {
    PAGE << (9 * (level - 1))
}

/// The level whose entries map pages of this size.
const fn level(page: u64) -> Option<u32> {
    match page {
        0x1000 => Some(1),
        0x20_0000 => Some(2),
        0x4000_0000 => Some(3),
        _ => None,
    }
}

const fn present(entry: u64) -> bool {
    entry & (RWX | USER_EXECUTE) != 0
}

const fn leaf(entry: u64, level: u32) -> bool {
    level == 1 || (level < TOP && entry & LARGE != 0)
}

impl Ept {
    /// Structures of which nothing is built yet.
    pub const fn new() -> Self {
        Self { next: 1 }
    }

    /// Builds the default: `ram` bytes mapped to themselves, write-back, with all permissions. Pages are of 4 KiB in
    /// the first 2 MiB, so that single ones can be changed, and of 2 MiB above (where `large` says that there are any).
    ///
    /// # Errors
    ///
    /// No room, if memory is larger than the tables can map.
    pub fn identity(&mut self, memory: &mut impl Memory, ram: u64, large: bool) -> Result<(), Outcome> {
        memory.zero(layout::EPT, PAGE);
        self.next = 1;
        for at in (0..ram).step_by(size(2) as usize) {
            if at == 0 || !large {
                let first = self.walk(memory, at, 1, Missing::Create(0))?;
                memory.ramp(first, at | WB | RWX, PAGE, 512);
            } else {
                self.map(memory, size(2), at, at, WB | RWX)?;
            }
        }
        Ok(())
    }

    /// Maps a page of `page` bytes. `low` are the low 12 bits of the entry.
    ///
    /// # Errors
    ///
    /// Bad step: no such page size, addresses that are no multiples of it, more than 12 bits. No room for a table.
    pub fn map(
        &mut self,
        memory: &mut impl Memory,
        page: u64,
        guest: u64,
        machine: u64,
        low: u64,
    ) -> Result<(), Outcome> {
        let level = level(page).ok_or(Outcome::BAD_STEP)?;
        if (guest | machine) & (page - 1) != 0 || machine & !ADDRESS != 0 || low >= PAGE {
            return Err(Outcome::BAD_STEP);
        }
        let entry = self.walk(memory, guest, level, Missing::Create(low & USER_EXECUTE))?;
        memory.write(entry, machine | low | if level > 1 { LARGE } else { 0 });
        Ok(())
    }

    /// Makes the entry that maps an address not present.
    ///
    /// # Errors
    ///
    /// Bad step, if nothing maps it.
    pub fn unmap(&mut self, memory: &mut impl Memory, guest: u64) -> Result<(), Outcome> {
        for level in (1..TOP).rev() {
            let at = self.walk(memory, guest, level, Missing::Refuse)?;
            let entry = memory.read(at);
            if present(entry) && leaf(entry, level) {
                memory.write(at, 0);
                return Ok(());
            }
        }
        Err(Outcome::BAD_STEP)
    }

    /// Splits down to a 4-KiB page and replaces the low three bits of its entry.
    ///
    /// # Errors
    ///
    /// Bad step, if nothing maps the address or there are more than three bits. No room for a table.
    pub fn protect(&mut self, memory: &mut impl Memory, guest: u64, permissions: u64) -> Result<(), Outcome> {
        if permissions & !RWX != 0 {
            return Err(Outcome::BAD_STEP);
        }
        let at = self.walk(memory, guest, 1, Missing::Split)?;
        memory.write(at, memory.read(at) & !RWX | permissions);
        Ok(())
    }

    /// Replaces the entry at a level by a raw value.
    ///
    /// # Errors
    ///
    /// Bad step: no such level or address. No room for a table.
    pub fn set_entry(
        &mut self,
        memory: &mut impl Memory,
        level: u32,
        guest: u64,
        value: u64,
    ) -> Result<(), Outcome> {
        let at = self.walk(memory, guest, level, Missing::Create(0))?;
        memory.write(at, value);
        Ok(())
    }

    /// The entry at a level.
    ///
    /// # Errors
    ///
    /// Bad step: no such level or address, or the walk does not come that far.
    pub fn entry(&mut self, memory: &mut impl Memory, level: u32, guest: u64) -> Result<u64, Outcome> {
        let at = self.walk(memory, guest, level, Missing::Refuse)?;
        Ok(memory.read(at))
    }

    /// The machine address of the entry at `level` that translates `guest`.
    fn walk(
        &mut self,
        memory: &mut impl Memory,
        guest: u64,
        level: u32,
        missing: Missing,
    ) -> Result<u64, Outcome> {
        if !(1..=TOP).contains(&level) || guest >> 48 != 0 {
            return Err(Outcome::BAD_STEP);
        }
        let mut table = layout::EPT;
        let mut here = TOP;
        loop {
            let at = table + 8 * (guest / size(here) % 512);
            if here == level {
                return Ok(at);
            }
            let mut entry = memory.read(at);
            if !present(entry) || leaf(entry, here) {
                entry = match missing {
                    Missing::Create(_) if !present(entry) => self.table(memory)? | RWX,
                    Missing::Create(_) | Missing::Split if present(entry) => {
                        self.split(memory, entry, here)?
                    }
                    _ => return Err(Outcome::BAD_STEP),
                };
                memory.write(at, entry);
            }
            if let Missing::Create(bits) = missing {
                memory.write(at, entry | bits);
            }
            table = entry & ADDRESS;
            if table < layout::EPT || table >= layout::EPT + self.next * PAGE {
                return Err(Outcome::BAD_STEP);
            }
            here -= 1;
        }
    }

    /// A new, empty table.
    fn table(&mut self, memory: &mut impl Memory) -> Result<u64, Outcome> {
        if self.next >= TABLES {
            return Err(Outcome::NO_ROOM);
        }
        let at = layout::EPT + self.next * PAGE;
        self.next += 1;
        memory.zero(at, PAGE);
        Ok(at)
    }

    /// A table that maps what one large entry at `level` maps; the entry for it.
    fn split(&mut self, memory: &mut impl Memory, entry: u64, level: u32) -> Result<u64, Outcome> {
        let at = self.table(memory)?;
        let first = if level == 2 { entry & !LARGE } else { entry };
        memory.ramp(at, first, size(level - 1), 512);
        Ok(at | RWX | entry & USER_EXECUTE)
    }
}

impl Default for Ept {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Bytes;
    use std::vec;

    fn built() -> (Bytes, Ept) {
        let mut memory = Bytes(vec![0; layout::RAM_SIZE as usize]);
        let mut ept = Ept::new();
        ept.identity(&mut memory, layout::RAM_SIZE, true).unwrap();
        (memory, ept)
    }

    #[test]
    fn the_default_maps_memory_to_itself() {
        let (mut memory, mut ept) = built();
        assert_eq!(ept.next, 4);
        assert_eq!(ept.entry(&mut memory, 1, 0x1_2345), Ok(0x1_2000 | WB | RWX));
        assert_eq!(ept.entry(&mut memory, 2, 0xff_ffff), Ok(0xe0_0000 | LARGE | WB | RWX));
        assert_eq!(ept.entry(&mut memory, 2, layout::RAM_SIZE), Ok(0));
        assert_eq!(ept.entry(&mut memory, 1, 0x20_0000), Err(Outcome::BAD_STEP));
    }

    #[test]
    fn without_large_pages_everything_is_4k() {
        let (mut memory, mut ept) = built();
        ept.identity(&mut memory, layout::RAM_SIZE, false).unwrap();
        assert_eq!(ept.entry(&mut memory, 1, 0xff_f123), Ok(0xff_f000 | WB | RWX));
    }

    #[test]
    fn large_pages_are_split_when_a_part_changes() {
        let (mut memory, mut ept) = built();
        ept.protect(&mut memory, 0x80_3000, 1).unwrap();
        assert_eq!(ept.entry(&mut memory, 1, 0x80_3000), Ok(0x80_3000 | WB | 1));
        assert_eq!(ept.entry(&mut memory, 1, 0x80_4000), Ok(0x80_4000 | WB | RWX));
        ept.map(&mut memory, 1 << 30, 0x4000_0000, 0, RWX).unwrap();
        ept.map(&mut memory, 0x1000, 0x4020_1000, 0x5000, WB | RWX | USER_EXECUTE).unwrap();
        assert_eq!(ept.entry(&mut memory, 1, 0x4020_1000), Ok(0x5000 | WB | RWX | USER_EXECUTE));
        assert_eq!(ept.entry(&mut memory, 1, 0x4020_2000), Ok(0x20_2000 | RWX));
        assert_eq!(ept.entry(&mut memory, 2, 0x4040_0000), Ok(0x40_0000 | LARGE | RWX));
        assert_eq!(ept.entry(&mut memory, 4, 0).unwrap() & USER_EXECUTE, USER_EXECUTE);
    }

    #[test]
    fn unmap_takes_the_entry_that_maps() {
        let (mut memory, mut ept) = built();
        ept.unmap(&mut memory, 0x1_0000).unwrap();
        assert_eq!(ept.entry(&mut memory, 1, 0x1_0000), Ok(0));
        assert_eq!(ept.unmap(&mut memory, 0x1_0000), Err(Outcome::BAD_STEP));
        ept.unmap(&mut memory, 0x80_5000).unwrap();
        assert_eq!(ept.entry(&mut memory, 2, 0x80_0000), Ok(0));
        assert_eq!(ept.protect(&mut memory, 0x80_0000, RWX), Err(Outcome::BAD_STEP));
    }

    #[test]
    fn raw_entries_are_written_and_never_followed_elsewhere() {
        let (mut memory, mut ept) = built();
        ept.set_entry(&mut memory, 4, 0, layout::L1_IMAGE | RWX).unwrap();
        assert_eq!(ept.entry(&mut memory, 4, 0), Ok(layout::L1_IMAGE | RWX));
        assert_eq!(ept.map(&mut memory, 0x1000, 0, 0, RWX), Err(Outcome::BAD_STEP));
        assert_eq!(ept.unmap(&mut memory, 0), Err(Outcome::BAD_STEP));
        ept.set_entry(&mut memory, 4, 0, u64::MAX).unwrap();
        assert_eq!(ept.entry(&mut memory, 1, 0), Err(Outcome::BAD_STEP));
    }

    #[test]
    fn nonsense_is_a_bad_step_and_tables_run_out() {
        let (mut memory, mut ept) = built();
        for (page, guest, machine, low) in [
            (0x2000, 0, 0, 7),
            (0x1000, 1, 0, 7),
            (0x20_0000, 0, 0x1000, 7),
            (0x1000, 0, 0, 0x1000),
            (0x1000, 1 << 48, 0, 7),
        ] {
            assert_eq!(ept.map(&mut memory, page, guest, machine, low), Err(Outcome::BAD_STEP));
        }
        assert_eq!(ept.set_entry(&mut memory, 5, 0, 0), Err(Outcome::BAD_STEP));
        assert_eq!(ept.set_entry(&mut memory, 0, 0, 0), Err(Outcome::BAD_STEP));
        let full = (1..100).map(|i| ept.map(&mut memory, 0x1000, i << 39, 0, RWX)).find(Result::is_err);
        assert_eq!(full, Some(Err(Outcome::NO_ROOM)));
    }
}
