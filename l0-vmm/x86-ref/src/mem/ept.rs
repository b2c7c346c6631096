//! The walk of the extended page tables. SDM 3C: "The EPT Translation Mechanism", "EPT-Induced VM Exits", "Exit
//! Qualification for EPT Violations".

use super::{Access, ram::PAGE};
use crate::{
    Cpu,
    fault::{EptFault, EptKind, Exec, Halt, Why},
};

/// What VM entry sets up for EPT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EptState {
    /// In VMX non-root operation with "enable EPT".
    pub enabled: bool,
    /// Physical address of the topmost table.
    pub root: u64,
    /// Page-walk length: 4 or 5.
    pub levels: u32,
    /// Accessed and dirty flags are enabled.
    pub accessed_dirty: bool,
    /// "Mode-based execute control for EPT".
    pub mode_based_execute: bool,
    /// The processor can do execute-only translations.
    pub execute_only: bool,
    /// The processor has 1-GByte EPT pages.
    pub huge_pages: bool,
    /// The processor reports advanced information (bits 9 to 11 of the exit qualification).
    pub advanced: bool,
    /// "EPT-violation #VE": violations may be convertible.
    pub violation_exceptions: bool,
    /// "Enable PML".
    pub log: bool,
    /// "Sub-page write permissions for EPT".
    pub sub_pages: bool,
}

/// Bits of an EPT entry.
pub(crate) mod entry {
    pub const READ: u64 = 1 << 0;
    pub const WRITE: u64 = 1 << 1;
    /// Execute; for supervisor-mode linear addresses with mode-based execute control.
    pub const EXECUTE: u64 = 1 << 2;
    pub const LARGE: u64 = 1 << 7;
    pub const ACCESSED: u64 = 1 << 8;
    pub const DIRTY: u64 = 1 << 9;
    /// Execute for user-mode linear addresses, with mode-based execute control.
    pub const EXECUTE_USER: u64 = 1 << 10;
    /// Writes are looked up in the sub-page-permission table.
    pub const SUB_PAGE: u64 = 1 << 61;
    /// Violations are VM exits also under "EPT-violation #VE".
    pub const SUPPRESS_VE: u64 = 1 << 63;
}

/// Bits of the exit qualification for EPT violations.
mod qualification {
    pub const READ: u64 = 1 << 0;
    pub const WRITE: u64 = 1 << 1;
    pub const FETCH: u64 = 1 << 2;
    /// From here on the entries' rights: readable, writable, executable.
    pub const RIGHTS: u32 = 3;
    pub const EXECUTABLE_USER: u64 = 1 << 6;
    pub const LINEAR: u64 = 1 << 7;
    pub const TRANSLATED: u64 = 1 << 8;
    pub const LINEAR_USER: u64 = 1 << 9;
    pub const LINEAR_WRITABLE: u64 = 1 << 10;
    pub const LINEAR_NO_EXECUTE: u64 = 1 << 11;
}

/// The sub-page-permission table.
pub(crate) mod sub_page {
    /// Bytes that one bit is for.
    pub const SIZE: u64 = 128;
    pub const LEVELS: u32 = 4;
    pub const VALID: u64 = 1 << 0;
    /// Bits of a sub-page permission vector that are reserved.
    pub const ODD_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    /// Exit qualification: a miss, not a misconfiguration.
    pub const MISS: u64 = 1 << 11;
}

/// What a guest-physical address is translated for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub access: Access,
    /// The linear address that is being translated, if there is one.
    pub linear: Option<u64>,
    /// The address is the translation of the linear address, not that of a paging-structure entry.
    pub translated: bool,
    /// What the guest's paging structures say about the linear address: user, writable, executable.
    pub user: bool,
    pub writable: bool,
    pub executable: bool,
}

/// Where a guest-physical address is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Physical address.
    pub physical: u64,
    /// Writes would need no further look at the tables.
    pub writable: bool,
    /// The translation used a large page.
    pub large: bool,
}

impl Cpu {
    /// Translates a guest-physical address, where EPT is on, and sets accessed and dirty flags.
    pub(crate) fn ept_translate(&mut self, guest: u64, purpose: Purpose) -> Exec<Place> {
        use entry::*;
        let ept = self.mem.ept;
        if !ept.enabled {
            return Ok(Place { physical: guest, writable: true, large: false });
        }
        // "Accessed and Dirty Flags for EPT": accesses to guest paging structures are then treated as writes.
        let structure = ept.accessed_dirty && !purpose.translated;
        let writes = purpose.access == Access::Write || structure;
        let mask = (1u64 << self.mem.physical_bits) - PAGE;
        let mut rights = READ | WRITE | EXECUTE | EXECUTE_USER;
        let mut used = [(0, 0); 5];
        let mut count = 0;
        let mut table = ept.root & mask;
        let mut level = ept.levels.clamp(4, 5);
        // Rights of the entries above the leaf, and the leaf.
        let mut upper = rights;
        let (address, size, leaf) = loop {
            let shift = 12 + 9 * (level - 1);
            let at = table + (guest >> shift & 511) * 8;
            let e = self.mem.ram.load::<8>(at).unwrap_or(u64::MAX);
            let present =
                e & (READ | WRITE | EXECUTE) != 0 || ept.mode_based_execute && e & EXECUTE_USER != 0;
            if !present {
                return Err(self.ept_violation(guest, purpose, structure, 0, e));
            }
            let leaf = level == 1 || level <= 3 && e & LARGE != 0;
            if self.ept_misconfigured(e, level, leaf) {
                return Err(self.ept_fault(EptKind::Misconfiguration, guest, purpose, 0));
            }
            if leaf {
                upper = rights;
            }
            rights &= e;
            if let Some(slot) = used.get_mut(count) {
                *slot = (at, e);
                count += 1;
            }
            if leaf {
                break (e & mask, 1u64 << shift, e);
            }
            table = e & mask;
            level -= 1;
        };
        let execute = if ept.mode_based_execute && purpose.user { EXECUTE_USER } else { EXECUTE };
        let mut needed = match purpose.access {
            Access::Read => READ,
            Access::Write => WRITE,
            Access::Fetch => execute,
        };
        if structure {
            needed |= READ | WRITE;
        }
        let mut sub_page = false;
        if rights & needed != needed {
            // "Sub-Page Write Permissions": what only the leaf forbids, the table may allow; the processor's own writes to
            // guest paging structures are not looked up.
            sub_page = ept.sub_pages
                && size == PAGE
                && leaf & SUB_PAGE != 0
                && purpose.translated
                && purpose.access == Access::Write
                && upper & WRITE != 0;
            if !sub_page || !self.sub_page_writable(guest, purpose)? {
                return Err(self.ept_violation(guest, purpose, structure, rights, leaf));
            }
        }
        let mut dirty = true;
        if ept.accessed_dirty {
            let flags = |i: usize| ACCESSED | if i + 1 == count && writes { DIRTY } else { 0 };
            let sets = used.iter().take(count).enumerate().any(|(i, (_, e))| e | flags(i) != *e);
            if ept.log && sets {
                self.log_access(guest, purpose, writes && leaf & DIRTY == 0)?;
            }
            for (i, (at, e)) in used.into_iter().take(count).enumerate() {
                let new = e | flags(i);
                dirty = new & DIRTY != 0;
                if new != e {
                    self.mem.ram.store::<8>(at, new);
                    self.mem.written(at, 8);
                }
            }
        }
        let physical = address & !(size - 1) | guest & (size - 1);
        if !purpose.translated && self.mem.is_apic_page(physical) {
            return Err(self.apic_structure_access());
        }
        Ok(Place { physical, writable: !sub_page && rights & WRITE != 0 && dirty, large: size > PAGE })
    }

    /// SDM 3C, "EPT Misconfigurations".
    fn ept_misconfigured(&self, e: u64, level: u32, leaf: bool) -> bool {
        use entry::*;
        let ept = &self.mem.ept;
        let execute = EXECUTE | if ept.mode_based_execute { EXECUTE_USER } else { 0 };
        if e & READ == 0 && (e & WRITE != 0 || e & execute != 0 && !ept.execute_only) {
            return true;
        }
        let above = (1u64 << 52) - (1u64 << self.mem.physical_bits);
        let reserved = match (leaf, level) {
            (true, 1) => 0,
            (true, 3) if !ept.huge_pages => return true,
            // The address bits under a large page.
            (true, _) => (1u64 << (12 + 9 * (level - 1))) - PAGE,
            // Bits 7:3 of an entry that refers to a table; bit 7 is "large" where that exists.
            (false, _) => 0xf8,
        };
        // Memory types that exist: UC, WC, WT, WP, WB.
        let bad_type = leaf && matches!(e >> 3 & 7, 2 | 3 | 7);
        e & (above | reserved) != 0 || bad_type
    }

    fn ept_fault(&mut self, kind: EptKind, guest: u64, p: Purpose, qualification: u64) -> Halt {
        self.stop(Why::Ept(EptFault { physical: guest, linear: p.linear, qualification, kind }))
    }

    /// `entry`: the one that decides whether the violation is convertible. SDM 3C: "Convertible EPT Violations".
    fn ept_violation(&mut self, guest: u64, p: Purpose, structure: bool, rights: u64, entry: u64) -> Halt {
        use qualification::*;
        let mut q = match p.access {
            Access::Read => READ,
            Access::Write => WRITE,
            Access::Fetch => FETCH,
        };
        if structure {
            q |= READ | WRITE;
        }
        q |= (rights & 7) << RIGHTS;
        if self.mem.ept.mode_based_execute && rights & entry::EXECUTE_USER != 0 {
            q |= EXECUTABLE_USER;
        }
        if p.linear.is_some() {
            q |= LINEAR;
            if p.translated {
                q |= TRANSLATED;
                if self.mem.ept.advanced {
                    q |= if p.user { LINEAR_USER } else { 0 };
                    q |= if p.writable { LINEAR_WRITABLE } else { 0 };
                    q |= if p.executable { 0 } else { LINEAR_NO_EXECUTE };
                }
            }
        }
        let convertible = self.mem.ept.violation_exceptions && entry & entry::SUPPRESS_VE == 0;
        self.ept_fault(EptKind::Violation { convertible }, guest, p, q)
    }

    /// Flags of an entry are about to be set. SDM 3C: "Page-Modification Logging".
    fn log_access(&mut self, guest: u64, p: Purpose, dirties: bool) -> Exec {
        if !self.log_has_room() {
            return Err(self.ept_fault(EptKind::LogFull, guest, p, 0));
        }
        if dirties {
            self.log_page(guest & !(PAGE - 1));
        }
        Ok(())
    }

    /// Looks a write up in the sub-page-permission table. SDM 3C: "Sub-Page Write Permissions for EPT".
    fn sub_page_writable(&mut self, guest: u64, p: Purpose) -> Exec<bool> {
        use sub_page::*;
        let mask = (1u64 << self.mem.physical_bits) - PAGE;
        let mut table = self.sub_page_root() & mask;
        for level in (2..=LEVELS).rev() {
            let shift = 12 + 9 * (level - 1);
            let e = self.mem.ram.load::<8>(table + (guest >> shift & 511) * 8).unwrap_or(u64::MAX);
            if e & VALID == 0 {
                return Err(self.ept_fault(EptKind::SubPage, guest, p, MISS));
            }
            if e & !(mask | VALID) != 0 {
                return Err(self.ept_fault(EptKind::SubPage, guest, p, 0));
            }
            table = e & mask;
        }
        let vector = self.mem.ram.load::<8>(table + (guest >> 12 & 511) * 8).unwrap_or(u64::MAX);
        if vector & ODD_BITS != 0 {
            return Err(self.ept_fault(EptKind::SubPage, guest, p, 0));
        }
        Ok(vector >> (2 * (guest % PAGE / SIZE)) & 1 != 0)
    }
}
