//! Which TLB is the current one: address-space contexts, epochs, and the pages that hold decoded code.
//!
//! Each address space (L1; L2 under its VPID and EPT) keeps its own pair of TLBs, one for each privilege, and its own
//! epochs. VM entry and VM exit only swap pointers: what L1 had translated and linked is still there when L2 has exited.

use super::{
    ept::EptState,
    ram::{PAGE, Ram, Tlb},
};
use std::mem::swap;

/// Address spaces that are kept at the same time, besides the current one.
const PARKED: usize = 8;
/// Bytes for which one bit says that there is decoded code.
const CHUNK: u64 = 64;

/// What an address space is tagged with (SDM 3C, "Information That May Be Cached").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContextKey {
    /// VPID; 0 outside VMX non-root operation and without "enable VPID".
    pub vpid: u16,
    /// Bits 51:12 of EPTP; 0 without EPT.
    pub ept_root: u64,
}

/// An address space's translations.
struct Space {
    key: ContextKey,
    /// The TLB of the privilege in force, and the other one.
    tlb: Box<Tlb>,
    other: Box<Tlb>,
    /// `tlb` is the one of user mode.
    user: bool,
    /// When it was parked.
    used: u64,
}

/// Guest memory and the TLBs over it.
pub(crate) struct Mem {
    /// The TLB of the current address space and privilege.
    pub tlb: Box<Tlb>,
    /// Epoch of that TLB and mode bits in one number: a block that carries it may run. 0, which no block carries: decoded
    /// code may have gone stale, and must be looked through first.
    pub stamp: u64,
    /// What VM entry set up for EPT.
    pub ept: EptState,
    /// The APIC-access page, while its accesses are virtualized.
    pub apic_page: Option<u64>,
    /// The processor's MAXPHYADDR.
    pub physical_bits: u32,
    /// Whether 1-GByte pages exist.
    pub huge_pages: bool,
    /// Pages with decoded code that was written to from outside of instructions.
    pub(crate) dirty: Vec<u64>,
    /// How often other owners of the memory may have written to it: decoded code is compared with memory again.
    pub(crate) generation: u64,
    pub(super) ram: Ram,
    mode: u8,
    /// The base of CS.
    code_base: u64,
    other: Box<Tlb>,
    user: bool,
    key: ContextKey,
    parked: Vec<Space>,
    next_epoch: u64,
    clock: u64,
    /// For each page of RAM, which of its chunks hold decoded code.
    code: Vec<u64>,
    /// What other processors over the same memory must hear of, where there are any.
    pub(crate) others: Option<Box<Others>>,
}

/// Decoded code, as processors over the same memory tell each other of it.
pub(crate) struct Others {
    /// Pages that hold decoded code of another processor, one bit each.
    pages: Vec<u64>,
    /// Pages that were first decoded from since the last look.
    pub marked: Vec<u64>,
    /// Pages of other processors' code that were written to since the last look.
    pub written: Vec<u64>,
}

impl Others {
    pub fn new(ram: u64) -> Box<Self> {
        let pages = vec![0; ram.div_ceil(PAGE * 64) as usize];
        Box::new(Self { pages, marked: Vec::new(), written: Vec::new() })
    }

    fn have(&self, address: u64) -> bool {
        let page = address / PAGE;
        self.pages.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    fn set(&mut self, address: u64, on: bool) {
        let page = address / PAGE;
        if let Some(word) = self.pages.get_mut((page / 64) as usize) {
            *word = *word & !(1 << (page % 64)) | u64::from(on) << (page % 64);
        }
    }
}

impl Mem {
    /// Over that RAM.
    pub(super) fn over(ram: Ram) -> Self {
        let code = vec![0; ram.len().div_ceil(PAGE) as usize];
        let (tlb, other) = (Tlb::new(&ram, 1), Tlb::new(&ram, 2));
        let mut mem = Self {
            tlb,
            stamp: 0,
            ept: EptState::default(),
            apic_page: None,
            physical_bits: 36,
            huge_pages: false,
            dirty: Vec::new(),
            generation: 1,
            ram,
            mode: 0,
            code_base: 0,
            other,
            user: false,
            key: ContextKey::default(),
            parked: Vec::new(),
            next_epoch: 3,
            clock: 0,
            code,
            others: None,
        };
        mem.restamp();
        mem
    }

    /// Recomputes [`Mem::stamp`].
    pub(crate) fn restamp(&mut self) {
        let usable = self.dirty.is_empty() && self.tlb.code_base == self.code_base;
        self.stamp = if usable { self.tlb.epoch << 8 | u64::from(self.mode) } else { 0 };
    }

    /// Begins a new epoch if CS has got another base: the same RIP now means another address. Not done when the base
    /// changes, because VM entries and exits change it while the other side's TLB is still (or already) the current one.
    pub(crate) fn settle_base(&mut self) {
        if self.tlb.code_base != self.code_base {
            self.tlb.epoch = self.epoch();
            self.tlb.code_base = self.code_base;
        }
        self.restamp();
    }

    /// Whether an address is on the APIC-access page.
    #[inline]
    pub(crate) fn is_apic_page(&self, physical: u64) -> bool {
        self.apic_page == Some(physical & !(PAGE - 1))
    }

    /// The mode bits that blocks are decoded under.
    pub(crate) fn mode(&self) -> u8 {
        self.mode
    }

    /// Sets the mode bits, the base of CS, and which privilege's TLB is current.
    pub(super) fn set_mode(&mut self, mode: u8, code_base: u64, user: bool) {
        self.mode = mode;
        self.code_base = code_base;
        if self.user != user {
            swap(&mut self.tlb, &mut self.other);
            self.user = user;
        }
        self.restamp();
    }

    fn epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Makes another address space the current one.
    pub fn switch_context(&mut self, key: ContextKey) {
        if self.key == key {
            return;
        }
        self.clock += 1;
        let index = match self.parked.iter().position(|s| s.key == key) {
            Some(index) => index,
            None => self.new_space(key),
        };
        let used = self.clock;
        let user = self.user;
        if let Some(space) = self.parked.get_mut(index) {
            swap(&mut self.tlb, &mut space.tlb);
            swap(&mut self.other, &mut space.other);
            swap(&mut self.user, &mut space.user);
            swap(&mut self.key, &mut space.key);
            space.used = used;
        }
        self.set_mode(self.mode, self.code_base, user);
    }

    /// An empty space among the parked: a new one, or that which was not used for longest.
    fn new_space(&mut self, key: ContextKey) -> usize {
        let (first, second) = (self.epoch(), self.epoch());
        if self.parked.len() < PARKED {
            let (tlb, other) = (Tlb::new(&self.ram, first), Tlb::new(&self.ram, second));
            self.parked.push(Space { key, tlb, other, user: false, used: 0 });
            return self.parked.len() - 1;
        }
        let oldest = self.parked.iter().enumerate().min_by_key(|(_, s)| s.used).map_or(0, |(i, _)| i);
        if let Some(space) = self.parked.get_mut(oldest) {
            space.key = key;
            for (tlb, epoch) in [(&mut space.tlb, first), (&mut space.other, second)] {
                tlb.flush();
                tlb.epoch = epoch;
            }
        }
        oldest
    }

    /// Flushes the current address space.
    pub fn flush(&mut self) {
        let (first, second) = (self.epoch(), self.epoch());
        self.tlb.flush();
        self.tlb.epoch = first;
        self.other.flush();
        self.other.epoch = second;
        self.restamp();
    }

    /// Flushes one page of the current address space.
    pub fn flush_page(&mut self, linear: u64) {
        if self.tlb.large || self.other.large {
            return self.flush();
        }
        let (first, second) = (self.epoch(), self.epoch());
        self.tlb.flush_page(linear);
        self.tlb.epoch = first;
        self.other.flush_page(linear);
        self.other.epoch = second;
        self.restamp();
    }

    /// Flushes the address spaces that `which` names: INVEPT, INVVPID, and VM entry and exit without VPID.
    pub fn flush_contexts(&mut self, which: impl Fn(ContextKey) -> bool) {
        if which(self.key) {
            self.flush();
        }
        let mut epoch = self.next_epoch;
        for space in self.parked.iter_mut().filter(|s| which(s.key)) {
            for tlb in [&mut space.tlb, &mut space.other] {
                epoch += 1;
                tlb.flush();
                tlb.epoch = epoch;
            }
        }
        self.next_epoch = epoch;
    }

    /// Flushes one address space.
    pub fn flush_context(&mut self, key: ContextKey) {
        self.flush_contexts(|k| k == key);
    }

    /// Flushes all address spaces.
    pub fn flush_all_contexts(&mut self) {
        self.flush_contexts(|_| true);
    }

    /// Gives every address space new stamps, so that decoded code is looked at again before it runs. Translations stay.
    pub fn renew_stamps(&mut self) {
        self.generation += 1;
        let mut epoch = self.next_epoch;
        let parked = self.parked.iter_mut().flat_map(|space| [&mut space.tlb, &mut space.other]);
        for tlb in [&mut self.tlb, &mut self.other].into_iter().chain(parked) {
            epoch += 1;
            tlb.epoch = epoch;
        }
        self.next_epoch = epoch;
        self.restamp();
    }

    /// The bits of [`Mem::code`] that stand for `size` bytes at an address, as far as they are on its page.
    fn chunks(address: u64, size: u64) -> u64 {
        let first = address % PAGE / CHUNK;
        let last = (address % PAGE + size.max(1) - 1).min(PAGE - 1) / CHUNK;
        (u64::MAX >> (63 - last)) & (u64::MAX << first)
    }

    /// Whether there is any decoded code on the page of that address.
    pub(crate) fn is_code_page(&self, address: u64) -> bool {
        self.code.get((address / PAGE) as usize).is_some_and(|&chunks| chunks != 0)
            || self.others.as_ref().is_some_and(|others| others.have(address))
    }

    /// Another processor decodes code on that page: from now on no TLB lets this one write to it unseen.
    pub(crate) fn others_decode(&mut self, address: u64) {
        if let Some(others) = &mut self.others {
            others.set(address, true);
            self.protect(address);
        }
    }

    /// Another processor has written to that page: what was decoded from it is dropped before the next block.
    pub(crate) fn drop_code(&mut self, address: u64) {
        if self.code.get((address / PAGE) as usize).is_some_and(|&chunks| chunks != 0) {
            self.dirty.push(address & !(PAGE - 1));
            self.restamp();
        }
    }

    /// Other processors have dropped what they had decoded on that page.
    pub(crate) fn others_dropped(&mut self, address: u64) {
        if let Some(others) = &mut self.others {
            others.set(address, false);
        }
    }

    /// A write hits that page: other processors that have code there will hear of it.
    pub(crate) fn tell_others(&mut self, address: u64) {
        if let Some(others) = &mut self.others
            && others.have(address)
        {
            let page = address & !(PAGE - 1);
            if others.written.last() != Some(&page) {
                others.written.push(page);
            }
        }
    }

    fn protect(&mut self, address: u64) {
        self.tlb.protect(address);
        self.other.protect(address);
        for space in &mut self.parked {
            space.tlb.protect(address);
            space.other.protect(address);
        }
    }

    /// Whether a write of `size` bytes (on one page) would hit decoded code.
    pub(crate) fn hits_code(&self, address: u64, size: u64) -> bool {
        self.code
            .get((address / PAGE) as usize)
            .is_some_and(|&chunks| chunks & Self::chunks(address, size) != 0)
    }

    /// Notes that code was decoded there (on one page): from now on no TLB lets anyone write to that page.
    pub(crate) fn mark_code(&mut self, address: u64, size: u64) {
        let Some(chunks) = self.code.get_mut((address / PAGE) as usize) else { return };
        let first = *chunks == 0;
        *chunks |= Self::chunks(address, size);
        if first {
            self.protect(address);
            if let Some(others) = &mut self.others {
                others.marked.push(address & !(PAGE - 1));
            }
        }
    }

    /// Notes that no decoded code is left on that page.
    pub(crate) fn unmark_code(&mut self, address: u64) {
        if let Some(chunks) = self.code.get_mut((address / PAGE) as usize) {
            *chunks = 0;
        }
    }

    /// Notes that no decoded code is left anywhere.
    pub(crate) fn unmark_all_code(&mut self) {
        self.code.fill(0);
    }

    /// Notes a write from outside of the instructions: decoded code that it hits is dropped before the next block.
    pub(crate) fn written(&mut self, address: u64, size: u64) {
        let end = address.saturating_add(size);
        let mut at = address;
        while at < end {
            let next = (at & !(PAGE - 1)).saturating_add(PAGE).min(end);
            self.tell_others(at);
            if self.hits_code(at, next - at) {
                self.dirty.push(at & !(PAGE - 1));
                self.restamp();
            }
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::ram::Rights;
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    fn mem() -> Mem {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        Mem::over(Ram::new(memory).unwrap())
    }

    #[test]
    fn contexts_keep_their_translations_and_epochs() {
        let mut mem = mem();
        let rights = Rights { read: true, ..Rights::default() };
        let guest = ContextKey { vpid: 1, ept_root: 0x5000 };
        mem.tlb.fill(0x1000, 0x2000, rights);
        let host_stamp = mem.stamp;
        mem.switch_context(guest);
        assert_ne!(mem.stamp, host_stamp);
        assert_eq!(mem.tlb.load::<1>(0x1000), None);
        let guest_stamp = mem.stamp;
        mem.switch_context(ContextKey::default());
        assert_eq!(mem.stamp, host_stamp);
        assert_eq!(mem.tlb.load::<1>(0x1000), Some(0));
        mem.flush_context(guest);
        assert_eq!(mem.stamp, host_stamp);
        mem.switch_context(guest);
        assert_ne!(mem.stamp, guest_stamp);
    }

    #[test]
    fn new_stamps_leave_translations() {
        let mut mem = mem();
        let rights = Rights { read: true, ..Rights::default() };
        mem.tlb.fill(0x1000, 0x2000, rights);
        let host_stamp = mem.stamp;
        mem.switch_context(ContextKey { vpid: 1, ept_root: 0x5000 });
        let (guest_stamp, generation) = (mem.stamp, mem.generation);
        mem.renew_stamps();
        assert!(mem.stamp != guest_stamp && mem.generation != generation);
        mem.switch_context(ContextKey::default());
        assert_ne!(mem.stamp, host_stamp);
        assert_eq!(mem.tlb.load::<1>(0x1000), Some(0));
    }

    #[test]
    fn more_contexts_than_places() {
        let mut mem = mem();
        for n in 0..100u16 {
            mem.switch_context(ContextKey { vpid: n % 30, ept_root: 0 });
            mem.tlb.fill(0x1000, 0x2000, Rights { read: true, ..Rights::default() });
        }
        assert_eq!(mem.parked.len(), PARKED);
        mem.switch_context(ContextKey { vpid: 77, ept_root: 0 });
        assert_eq!(mem.tlb.load::<1>(0x1000), None);
    }

    #[test]
    fn privileges_have_their_own_stamps() {
        let mut mem = mem();
        let kernel = mem.stamp;
        mem.set_mode(0, 0, true);
        assert_ne!(mem.stamp, kernel);
        mem.switch_context(ContextKey { vpid: 1, ept_root: 0 });
        mem.set_mode(0, 0, false);
        mem.switch_context(ContextKey::default());
        assert_eq!(mem.stamp, kernel);
    }

    #[test]
    fn code_is_noticed_by_chunk() {
        let mut mem = mem();
        mem.tlb.fill(0x3000, 0x3000, Rights { write: true, ..Rights::default() });
        mem.mark_code(0x3010, 0x20);
        assert!(!mem.tlb.store::<1>(0x3000, 0));
        assert!(mem.hits_code(0x3000, 1) && !mem.hits_code(0x3040, 8) && mem.hits_code(0x3000, 0x1000));
        mem.written(0x3040, 0x100);
        assert!(mem.dirty.is_empty());
        mem.written(0x2000, 0x1001);
        assert_eq!((mem.dirty.as_slice(), mem.stamp), ([0x3000].as_slice(), 0));
    }
}
