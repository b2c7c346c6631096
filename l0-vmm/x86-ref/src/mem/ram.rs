//! Guest RAM and the table of host addresses over it: the one place in this crate that touches raw memory.
//!
//! What makes it sound: a [`Tlb`] owns a handle of the [`Ram`] whose host addresses it keeps, an entry is only ever made by
//! [`Tlb::fill`], which puts it at the index of its own page and checks that the whole frame lies in RAM, and an access
//! compares the page of its *last* byte with the tag found under the index of its *first*. The two agree only when both
//! bytes are on the page that the entry was made for. Other owners of the memory (devices, KVM) may write at the same time:
//! all accesses are volatile, and nothing here ever makes a reference into guest memory.

use crate::NewCpuError;
use std::marker::PhantomData;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// Bytes in a page.
pub(crate) const PAGE: u64 = 0x1000;
/// Entries in a TLB.
const ENTRIES: usize = 1024;
/// A tag that no page has: tags are compared with page addresses.
const NO_TAG: u64 = 1;

/// Guest RAM: one region that begins at physical address 0.
#[derive(Clone)]
pub(crate) struct Ram {
    base: *mut u8,
    len: u64,
    /// Keeps the mapping alive.
    _memory: GuestMemoryMmap,
}

/// An integer of some size at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Unaligned<T>(T);

/// Reads `S` bytes, zero-extended.
///
/// # Safety
/// `at` must be valid for reads of `S` bytes.
#[inline(always)]
unsafe fn load<const S: usize>(at: *const u8) -> u64 {
    // SAFETY: the caller vouches for the bytes; the wrapper has alignment 1.
    unsafe {
        match S {
            1 => u64::from(at.read_volatile()),
            2 => u64::from(at.cast::<Unaligned<u16>>().read_volatile().0),
            4 => u64::from(at.cast::<Unaligned<u32>>().read_volatile().0),
            _ => at.cast::<Unaligned<u64>>().read_volatile().0,
        }
    }
}

/// Writes the low `S` bytes of `value`.
///
/// # Safety
/// `at` must be valid for writes of `S` bytes.
#[inline(always)]
unsafe fn store<const S: usize>(at: *mut u8, value: u64) {
    // SAFETY: the caller vouches for the bytes; the wrapper has alignment 1.
    unsafe {
        match S {
            1 => at.write_volatile(value as u8),
            2 => at.cast::<Unaligned<u16>>().write_volatile(Unaligned(value as u16)),
            4 => at.cast::<Unaligned<u32>>().write_volatile(Unaligned(value as u32)),
            _ => at.cast::<Unaligned<u64>>().write_volatile(Unaligned(value)),
        }
    }
}

/// Reads `to.len()` bytes, by eight as far as they go.
///
/// # Safety
/// `at` must be valid for reads of that many bytes.
unsafe fn load_bytes(at: *const u8, to: &mut [u8]) {
    let mut done = 0;
    let (words, rest) = to.as_chunks_mut::<8>();
    for word in words {
        // SAFETY: the caller vouches for all the bytes.
        *word = unsafe { load::<8>(at.wrapping_add(done)) }.to_le_bytes();
        done += 8;
    }
    for byte in rest {
        // SAFETY: as above.
        *byte = unsafe { load::<1>(at.wrapping_add(done)) } as u8;
        done += 1;
    }
}

/// Writes bytes, by eight as far as they go.
///
/// # Safety
/// `at` must be valid for writes of that many bytes.
unsafe fn store_bytes(at: *mut u8, from: &[u8]) {
    let mut done = 0;
    let (words, rest) = from.as_chunks::<8>();
    for word in words {
        // SAFETY: the caller vouches for all the bytes.
        unsafe { store::<8>(at.wrapping_add(done), u64::from_le_bytes(*word)) };
        done += 8;
    }
    for byte in rest {
        // SAFETY: as above.
        unsafe { store::<1>(at.wrapping_add(done), u64::from(*byte)) };
        done += 1;
    }
}

impl Ram {
    pub fn new(memory: GuestMemoryMmap) -> Result<Self, NewCpuError> {
        let regions: Vec<_> =
            memory.iter().map(|r| (r.start_addr().raw_value(), r.as_ptr(), r.len())).collect();
        let &[(0, base, len)] = regions.as_slice() else {
            let found: Vec<_> = regions.iter().map(|(at, _, len)| format!("{at:#x}+{len:#x}")).collect();
            return Err(NewCpuError::Memory(found.join(", ")));
        };
        Ok(Self { base, len, _memory: memory })
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Host address of `size` bytes at a physical address, if they all are RAM.
    #[inline(always)]
    fn at(&self, address: u64, size: u64) -> Option<*mut u8> {
        let inside = address <= self.len && size <= self.len - address;
        inside.then(|| self.base.wrapping_add(address as usize))
    }

    /// Reads `S` bytes at a physical address, zero-extended.
    #[inline(always)]
    pub fn load<const S: usize>(&self, address: u64) -> Option<u64> {
        // SAFETY: `at` gives an address only for bytes inside the mapping, which lives as long as `self`.
        self.at(address, S as u64).map(|at| unsafe { load::<S>(at) })
    }

    /// Writes `S` bytes at a physical address; false when they are not all RAM.
    #[inline(always)]
    pub fn store<const S: usize>(&self, address: u64, value: u64) -> bool {
        // SAFETY: as in `load`.
        self.at(address, S as u64).map(|at| unsafe { store::<S>(at, value) }).is_some()
    }

    /// Reads bytes at a physical address; false when they are not all RAM.
    pub fn read(&self, address: u64, to: &mut [u8]) -> bool {
        let Some(at) = self.at(address, to.len() as u64) else { return false };
        // SAFETY: `at` vouches for `to.len()` bytes.
        unsafe { load_bytes(at, to) };
        true
    }

    /// Writes bytes at a physical address; false when they are not all RAM.
    pub fn write(&self, address: u64, from: &[u8]) -> bool {
        let Some(at) = self.at(address, from.len() as u64) else { return false };
        // SAFETY: `at` vouches for `from.len()` bytes.
        unsafe { store_bytes(at, from) };
        true
    }
}

/// One entry: the linear page that may be read, written, executed through it, and what makes a host address of a linear
/// one. The three tags differ from each other only by being absent.
#[derive(Clone, Copy)]
struct Entry {
    read: u64,
    write: u64,
    execute: u64,
    add: u64,
}

const EMPTY: Entry = Entry { read: NO_TAG, write: NO_TAG, execute: NO_TAG, add: 0 };

/// What an entry allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// A translation lookaside buffer for one address space and one privilege.
pub(crate) struct Tlb {
    entries: [Entry; ENTRIES],
    ram: Ram,
    /// Indexes of the entries in use, so that flushing costs what was filled. Complete unless longer than [`ENTRIES`].
    journal: Vec<u16>,
    /// Number of the state of this address space, never used again after a flush: blocks are checked against it.
    pub epoch: u64,
    /// Pieces of large pages are in here: INVLPG of one page must flush them all.
    pub large: bool,
    /// The base of CS that this epoch is for: blocks are found by RIP.
    pub code_base: u64,
}

/// Host memory of one operand that is read and then written.
pub(crate) struct Slot<'a, const S: usize> {
    at: *mut u8,
    tlb: PhantomData<&'a Tlb>,
}

impl<const S: usize> Slot<'_, S> {
    /// Reads it, zero-extended.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: slots are only made by `Tlb::slot`, for `S` bytes that may be read and written while the TLB is borrowed.
        unsafe { load::<S>(self.at) }
    }

    /// Writes it.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: as in `load`.
        unsafe { store::<S>(self.at, value) }
    }
}

impl Tlb {
    pub fn new(ram: &Ram, epoch: u64) -> Box<Self> {
        Box::new(Self {
            entries: [EMPTY; ENTRIES],
            ram: ram.clone(),
            journal: Vec::with_capacity(ENTRIES),
            epoch,
            large: false,
            code_base: 0,
        })
    }

    #[inline(always)]
    fn entry(&self, linear: u64) -> &Entry {
        &self.entries[(linear / PAGE) as usize % ENTRIES]
    }

    /// The page that the last of `S` bytes is on: what a tag must be for the access to be allowed.
    #[inline(always)]
    fn tag<const S: usize>(linear: u64) -> u64 {
        linear.wrapping_add(S as u64 - 1) & !(PAGE - 1)
    }

    /// Host address of a linear one that has been checked against a tag of that entry.
    #[inline(always)]
    fn host(entry: &Entry, linear: u64) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(linear.wrapping_add(entry.add) as usize)
    }

    /// Reads `S` bytes if their page is in here.
    #[inline(always)]
    pub fn load<const S: usize>(&self, linear: u64) -> Option<u64> {
        let entry = self.entry(linear);
        if entry.read != Self::tag::<S>(linear) {
            return None;
        }
        // SAFETY: the tag says that all the bytes are on the page of this entry, and `fill` that its frame is RAM.
        Some(unsafe { load::<S>(Self::host(entry, linear)) })
    }

    /// Writes `S` bytes if their page is in here and may be written; says whether.
    #[inline(always)]
    pub fn store<const S: usize>(&self, linear: u64, value: u64) -> bool {
        let entry = self.entry(linear);
        if entry.write != Self::tag::<S>(linear) {
            return false;
        }
        // SAFETY: as in `load`.
        unsafe { store::<S>(Self::host(entry, linear), value) };
        true
    }

    /// The place of `S` bytes to be read and written, if their page is in here and may be written (and so read).
    #[inline(always)]
    pub fn slot<const S: usize>(&self, linear: u64) -> Option<Slot<'_, S>> {
        let entry = self.entry(linear);
        (entry.write == Self::tag::<S>(linear))
            .then(|| Slot { at: Self::host(entry, linear), tlb: PhantomData })
    }

    /// Whether `size` bytes are on the page of that tag.
    fn covers(tag: u64, linear: u64, size: usize) -> bool {
        size != 0 && linear & !(PAGE - 1) == tag && size as u64 <= PAGE - linear % PAGE
    }

    /// Reads bytes if they are on one page, and that is in here; says whether.
    pub fn load_bytes(&self, linear: u64, to: &mut [u8]) -> bool {
        let entry = self.entry(linear);
        let here = Self::covers(entry.read, linear, to.len());
        if here {
            // SAFETY: all the bytes are on the page of this entry, and `fill` says that its frame is RAM.
            unsafe { load_bytes(Self::host(entry, linear), to) };
        }
        here
    }

    /// Writes bytes if they are on one page, and that is in here and may be written; says whether.
    pub fn store_bytes(&self, linear: u64, from: &[u8]) -> bool {
        let entry = self.entry(linear);
        let here = Self::covers(entry.write, linear, from.len());
        if here {
            // SAFETY: as in `load_bytes`.
            unsafe { store_bytes(Self::host(entry, linear), from) };
        }
        here
    }

    /// Physical address of a linear one on a page that is in here for execution.
    #[inline(always)]
    pub fn executable(&self, linear: u64) -> Option<u64> {
        let entry = self.entry(linear);
        (entry.execute == Self::tag::<1>(linear))
            .then(|| linear.wrapping_add(entry.add).wrapping_sub(self.ram.base.expose_provenance() as u64))
    }

    /// Enters the page of `linear`, whose frame is at `physical`. Says whether it could: only whole frames of RAM can.
    pub fn fill(&mut self, linear: u64, physical: u64, rights: Rights) -> bool {
        let (page, frame) = (linear & !(PAGE - 1), physical & !(PAGE - 1));
        let Some(host) = self.ram.at(frame, PAGE) else { return false };
        let index = (linear / PAGE) as usize % ENTRIES;
        let entry = &mut self.entries[index];
        if entry.read == NO_TAG && entry.write == NO_TAG && entry.execute == NO_TAG {
            self.journal.push(index as u16);
        }
        let add = (host.expose_provenance() as u64).wrapping_sub(page);
        let same = entry.add == add && [entry.read, entry.write, entry.execute].contains(&page);
        if !same {
            *entry = Entry { add, ..EMPTY };
        }
        // A frame that may be written may be read: no paging mode and no legal EPT entry says otherwise.
        if rights.read || rights.write {
            entry.read = page;
        }
        if rights.write {
            entry.write = page;
        }
        if rights.execute {
            entry.execute = page;
        }
        true
    }

    /// Empties it.
    pub fn flush(&mut self) {
        if self.journal.len() > ENTRIES / 2 {
            self.entries = [EMPTY; ENTRIES];
        } else {
            for &index in &self.journal {
                self.entries[usize::from(index) % ENTRIES] = EMPTY;
            }
        }
        self.journal.clear();
        self.large = false;
    }

    /// Drops one page.
    pub fn flush_page(&mut self, linear: u64) {
        let page = linear & !(PAGE - 1);
        let entry = &mut self.entries[(linear / PAGE) as usize % ENTRIES];
        if [entry.read, entry.write, entry.execute].contains(&page) {
            *entry = EMPTY;
        }
        // Entries that come and go must not make the journal grow for ever.
        if self.journal.len() > 2 * ENTRIES {
            self.flush();
        }
    }

    /// Takes away the right to write to a frame, whatever linear page shows it.
    pub fn protect(&mut self, physical: u64) {
        let host = self.ram.base.wrapping_add((physical & !(PAGE - 1)) as usize).expose_provenance() as u64;
        for &index in &self.journal {
            let entry = &mut self.entries[usize::from(index) % ENTRIES];
            if entry.write != NO_TAG && entry.write.wrapping_add(entry.add) == host {
                entry.write = NO_TAG;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::GuestAddress;

    fn ram(pages: u64) -> Ram {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), (pages * PAGE) as usize)]).unwrap();
        Ram::new(memory).unwrap()
    }

    #[test]
    fn ram_ends_where_it_ends() {
        let ram = ram(2);
        assert!(ram.store::<8>(2 * PAGE - 8, 0x0102_0304_0506_0708));
        assert_eq!(ram.load::<4>(2 * PAGE - 8), Some(0x0506_0708));
        assert_eq!(ram.load::<1>(2 * PAGE - 1), Some(1));
        assert_eq!(ram.load::<8>(2 * PAGE - 7), None);
        assert_eq!(ram.load::<1>(u64::MAX), None);
        assert!(!ram.store::<2>(2 * PAGE - 1, 0));
        assert!(!ram.read(PAGE, &mut [0; 0x1001]));
    }

    #[test]
    fn tlb_hits_only_inside_the_page() {
        let ram = ram(4);
        let mut tlb = Tlb::new(&ram, 1);
        let rights = Rights { read: true, ..Rights::default() };
        assert!(tlb.fill(0x7000_0123, 2 * PAGE, rights));
        assert!(!tlb.fill(0x7000_0123, 4 * PAGE, rights), "outside of RAM");
        ram.store::<8>(2 * PAGE + 0xff8, 42);
        assert_eq!(tlb.load::<8>(0x7000_0ff8), Some(42));
        assert_eq!(tlb.load::<8>(0x7000_0ff9), None, "crosses the page");
        assert_eq!(tlb.load::<1>(0x7000_1000), None);
        assert_eq!(tlb.load::<1>(0x7000_0000 + (ENTRIES as u64) * PAGE), None, "same index, other page");
        assert!(!tlb.store::<1>(0x7000_0000, 1));
        assert!(tlb.fill(0x7000_0000, 2 * PAGE, Rights { write: true, ..Rights::default() }));
        assert!(tlb.store::<1>(0x7000_0000, 7));
        let mut bytes = [0; 13];
        assert!(tlb.store_bytes(0x7000_0ff3, b"thirteen byte"));
        assert!(tlb.load_bytes(0x7000_0ff3, &mut bytes) && &bytes == b"thirteen byte");
        assert!(!tlb.store_bytes(0x7000_0ff4, &bytes) && !tlb.load_bytes(0x7000_0ff4, &mut bytes));
        tlb.protect(2 * PAGE);
        assert!(!tlb.store::<1>(0x7000_0000, 8) && !tlb.store_bytes(0x7000_0000, &bytes));
        assert_eq!(tlb.load::<1>(0x7000_0000), Some(7));
        tlb.flush();
        assert_eq!(tlb.load::<1>(0x7000_0000), None);
    }

    #[test]
    fn a_page_at_the_last_index_does_not_meet_the_first() {
        let ram = ram(4);
        let mut tlb = Tlb::new(&ram, 1);
        let last = (ENTRIES as u64 - 1) * PAGE;
        let rights = Rights { read: true, write: true, execute: true };
        tlb.fill(last, PAGE, rights);
        tlb.fill(last + PAGE, 2 * PAGE, rights);
        assert_eq!(tlb.load::<2>(last + 0xfff), None);
        assert!(tlb.slot::<4>(last + 0xffd).is_none());
        assert_eq!(tlb.executable(last + 0xffd), Some(PAGE + 0xffd));
    }
}
