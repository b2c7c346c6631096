//! Paging: linear to physical addresses. SDM 3A, "Paging": "32-Bit Paging", "PAE Paging", "4-Level Paging and 5-Level
//! Paging", "Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags".

use super::{
    Access, Mode,
    ept::Purpose,
    ram::{PAGE, Rights},
};
use crate::{
    Cpu,
    fault::{Exec, Halt},
};
use x86_spec::cr::{cr0, cr4, efer, rflags};

/// Bits of a paging-structure entry.
mod entry {
    pub const PRESENT: u64 = 1 << 0;
    pub const WRITE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const ACCESSED: u64 = 1 << 5;
    pub const DIRTY: u64 = 1 << 6;
    pub const LARGE: u64 = 1 << 7;
    pub const NO_EXECUTE: u64 = 1 << 63;
}

/// Bits of the page-fault error code.
pub(crate) mod error {
    pub const PRESENT: u32 = 1 << 0;
    pub const WRITE: u32 = 1 << 1;
    pub const USER: u32 = 1 << 2;
    pub const RESERVED: u32 = 1 << 3;
    pub const FETCH: u32 = 1 << 4;
    pub const KEY: u32 = 1 << 5;
}

/// What the walk has found so far.
struct Walk {
    linear: u64,
    access: Access,
    /// The access is one of user mode.
    user: bool,
    /// The access is implicit (descriptor tables, TSS).
    system: bool,
    /// Entries that were used: address, value.
    used: [(u64, u64); 5],
    count: usize,
    /// Rights of all levels together.
    writable: bool,
    user_page: bool,
    no_execute: bool,
}

/// What a linear address translates to, before EPT.
struct Leaf {
    address: u64,
    large: bool,
    /// A write needs no further look: the page is dirty.
    dirty: bool,
}

impl Walk {
    fn purpose(&self, access: Access, translated: bool) -> Purpose {
        Purpose {
            access,
            linear: Some(self.linear),
            translated,
            user: self.user_page,
            writable: self.writable,
            executable: !self.no_execute,
        }
    }

    fn take(&mut self, at: u64, e: u64) {
        self.writable &= e & entry::WRITE != 0;
        self.user_page &= e & entry::USER != 0;
        if let Some(slot) = self.used.get_mut(self.count) {
            *slot = (at, e);
            self.count += 1;
        }
    }
}

impl Cpu {
    /// Translates a linear address for an access, with everything that the manual makes follow (#PF, EPT violations,
    /// accessed and dirty flags), and enters it into the TLB where it may be.
    #[cold]
    #[inline(never)]
    pub(crate) fn translate(&mut self, linear: u64, access: Access, mode: Mode) -> Exec<u64> {
        let system = mode == Mode::System;
        let user = self.cpl == 3 && !system;
        let mut walk = Walk {
            linear,
            access,
            user,
            system,
            used: [(0, 0); 5],
            count: 0,
            writable: true,
            user_page: true,
            no_execute: false,
        };
        let leaf = if self.cr0 & cr0::PG == 0 {
            Leaf { address: linear & 0xffff_ffff, large: false, dirty: true }
        } else if self.cr4 & cr4::PAE == 0 {
            self.walk32(&mut walk)?
        } else {
            self.walk64(&mut walk)?
        };
        let place = self.ept_translate(leaf.address, walk.purpose(access, true))?;
        let apic = self.mem.is_apic_page(place.physical);
        if apic && access == Access::Fetch {
            return Err(self.apic_access_exit(place.physical, access));
        }
        // The APIC-access page is looked at at each access. Supervisor access to user pages under SMAP depends on RFLAGS.AC
        // at each access; accesses of the system at CPL 3 are not those that the current TLB is for.
        let smap = self.cr4 & cr4::SMAP != 0 && !user && walk.user_page && self.cr0 & cr0::PG != 0;
        let never = apic || smap && access != Access::Fetch || system && self.cpl == 3;
        if !never {
            let rights = Rights {
                read: access != Access::Fetch,
                write: access == Access::Write
                    && leaf.dirty
                    && place.writable
                    && !self.mem.is_code_page(place.physical),
                execute: access == Access::Fetch,
            };
            if self.mem.tlb.fill(linear, place.physical, rights) {
                self.mem.tlb.large |= leaf.large || place.large;
            }
        }
        Ok(place.physical)
    }

    fn page_fault(&mut self, w: &Walk, bits: u32) -> Halt {
        let mut code = bits;
        if w.access == Access::Write {
            code |= error::WRITE;
        }
        if w.user {
            code |= error::USER;
        }
        let reports_fetch = self.cr4 & cr4::SMEP != 0 || self.cr4 & cr4::PAE != 0 && self.nxe();
        if w.access == Access::Fetch && reports_fetch {
            code |= error::FETCH;
        }
        self.pf(w.linear, code)
    }

    fn nxe(&self) -> bool {
        self.msr.efer & efer::NXE != 0
    }

    /// Reads a paging-structure entry of 4 or 8 bytes. What is not RAM reads as all ones.
    fn paging_entry<const S: usize>(&mut self, w: &Walk, at: u64) -> Exec<u64> {
        let place = self.ept_translate(at, w.purpose(Access::Read, false))?;
        Ok(self.mem.ram.load::<S>(place.physical).unwrap_or(u64::MAX >> (64 - 8 * S)))
    }

    /// PAE (2 levels under the PDPTEs), 4-level and 5-level paging.
    fn walk64(&mut self, w: &mut Walk) -> Exec<Leaf> {
        let long = self.msr.efer & efer::LMA != 0;
        let above = (1u64 << 52) - (1u64 << self.mem.physical_bits);
        let mask = (1u64 << self.mem.physical_bits) - PAGE;
        let mut reserved_always = above | if self.nxe() { 0 } else { entry::NO_EXECUTE };
        let (mut table, mut level) = if long {
            (self.cr3 & mask, if self.cr4 & cr4::LA57 != 0 { 5 } else { 4 })
        } else {
            // "PAE Paging": bits 62:52 are reserved there.
            reserved_always |= entry::NO_EXECUTE - (1 << 52);
            let pdpte = self.pdptr[(w.linear >> 30 & 3) as usize];
            if pdpte & entry::PRESENT == 0 {
                return Err(self.page_fault(w, 0));
            }
            (pdpte & mask, 2)
        };
        let (e, shift) = loop {
            let shift = 12 + 9 * (level - 1);
            let at = table + (w.linear >> shift & 511) * 8;
            let e = self.paging_entry::<8>(w, at)?;
            if e & entry::PRESENT == 0 {
                return Err(self.page_fault(w, 0));
            }
            let large = e & entry::LARGE != 0 && level > 1;
            let reserved = match (large, level) {
                (false, _) => 0,
                (true, 2) => (1 << 21) - (1 << 13),
                (true, 3) if self.mem.huge_pages => (1 << 30) - (1 << 13),
                (true, _) => entry::LARGE,
            };
            if e & (reserved | reserved_always) != 0 {
                return Err(self.page_fault(w, error::PRESENT | error::RESERVED));
            }
            w.take(at, e);
            w.no_execute |= e & entry::NO_EXECUTE != 0;
            if large || level == 1 {
                break (e, shift);
            }
            table = e & mask;
            level -= 1;
        };
        let offset = (1u64 << shift) - 1;
        let address = e & mask & !offset | w.linear & offset;
        let dirty = self.use_entries::<8>(w)?;
        Ok(Leaf { address, large: shift > 12, dirty })
    }

    /// 32-bit paging, with 4-MByte pages and PSE-36.
    fn walk32(&mut self, w: &mut Walk) -> Exec<Leaf> {
        let at = (self.cr3 & 0xffff_f000) + (w.linear >> 22 & 1023) * 4;
        let pde = self.paging_entry::<4>(w, at)?;
        if pde & entry::PRESENT == 0 {
            return Err(self.page_fault(w, 0));
        }
        w.take(at, pde);
        if pde & entry::LARGE != 0 && self.cr4 & cr4::PSE != 0 {
            // Bits 20:13 are bits 39:32 of the address as far as the processor has them; what is left up to bit 21 is
            // reserved.
            let extra = self.mem.physical_bits.min(40).saturating_sub(32);
            let reserved = (1u64 << 22) - (1u64 << (13 + extra));
            if pde & reserved != 0 {
                return Err(self.page_fault(w, error::PRESENT | error::RESERVED));
            }
            let high = pde >> 13 & ((1 << extra) - 1);
            let dirty = self.use_entries::<4>(w)?;
            return Ok(Leaf {
                address: high << 32 | pde & 0xffc0_0000 | w.linear & 0x3f_ffff,
                large: true,
                dirty,
            });
        }
        let at = (pde & 0xffff_f000) + (w.linear >> 12 & 1023) * 4;
        let pte = self.paging_entry::<4>(w, at)?;
        if pte & entry::PRESENT == 0 {
            return Err(self.page_fault(w, 0));
        }
        w.take(at, pte);
        let dirty = self.use_entries::<4>(w)?;
        Ok(Leaf { address: pte & 0xffff_f000 | w.linear & 0xfff, large: false, dirty })
    }

    /// Checks the access rights, then sets accessed and dirty flags. Says whether the page is dirty.
    fn use_entries<const S: usize>(&mut self, w: &Walk) -> Exec<bool> {
        if !self.access_allowed(w) {
            return Err(self.page_fault(w, error::PRESENT));
        }
        if self.key_forbids(w) {
            return Err(self.page_fault(w, error::PRESENT | error::KEY));
        }
        let mut dirty = false;
        for (i, (at, e)) in w.used.into_iter().take(w.count).enumerate() {
            let last = i + 1 == w.count;
            let mut new = e | entry::ACCESSED;
            if last && w.access == Access::Write {
                new |= entry::DIRTY;
            }
            dirty = new & entry::DIRTY != 0;
            if new != e {
                let place = self.ept_translate(at, w.purpose(Access::Write, false))?;
                self.mem.ram.store::<S>(place.physical, new);
                self.mem.written(place.physical, S as u64);
            }
        }
        Ok(dirty)
    }

    /// SDM 3A, "Protection Keys": whether the key of a user page forbids a data access, of supervisor mode too.
    fn key_forbids(&self, w: &Walk) -> bool {
        let long = self.msr.efer & efer::LMA != 0;
        if self.cr4 & cr4::PKE == 0 || !long || !w.user_page || w.access == Access::Fetch {
            return false;
        }
        let leaf = w.count.checked_sub(1).and_then(|n| w.used.get(n)).map_or(0, |slot| slot.1);
        let rights = self.fpu.pkru >> (2 * (leaf >> 59 & 15));
        let (no_access, no_write) = (rights & 1 != 0, rights & 2 != 0);
        let write = w.access == Access::Write && (w.user || self.cr0 & cr0::WP != 0);
        no_access || no_write && write
    }

    /// SDM 3A, "Determination of Access Rights".
    fn access_allowed(&self, w: &Walk) -> bool {
        if w.access == Access::Fetch {
            let smep = self.cr4 & cr4::SMEP != 0 && !w.user && w.user_page;
            return !w.no_execute && !smep && (w.user_page || !w.user);
        }
        if w.user {
            return w.user_page && (w.writable || w.access == Access::Read);
        }
        if w.user_page && self.cr4 & cr4::SMAP != 0 && (w.system || self.sysflags & rflags::AC == 0) {
            return false;
        }
        w.writable || w.access == Access::Read || self.cr0 & cr0::WP == 0
    }

    /// Loads the PAE PDPTEs from CR3 into [`Cpu::pdptr`] (MOV to CR0, CR3, CR4 with PAE paging): #GP(0) on reserved bits.
    /// SDM 3A, "PDPTE Registers".
    pub(crate) fn load_pdptrs(&mut self, cr3: u64) -> Exec {
        let mut new = [0; 4];
        for (i, pdpte) in new.iter_mut().enumerate() {
            let purpose = Purpose {
                access: Access::Read,
                linear: None,
                translated: false,
                user: false,
                writable: false,
                executable: false,
            };
            let at = self.ept_translate((cr3 & 0xffff_ffe0) + 8 * i as u64, purpose)?.physical;
            *pdpte = self.mem.ram.load::<8>(at).unwrap_or(u64::MAX);
        }
        if !new.iter().all(|&e| self.pdpte_ok(e)) {
            return Err(self.gp(0));
        }
        self.pdptr = new;
        Ok(())
    }

    /// Whether a PDPTE has no reserved bit set, or is not present.
    pub(crate) fn pdpte_ok(&self, e: u64) -> bool {
        // Bits 2:1, 8:5 and those above the physical address.
        let reserved = 0x1e6 | u64::MAX << self.mem.physical_bits;
        e & entry::PRESENT == 0 || e & reserved == 0
    }
}
