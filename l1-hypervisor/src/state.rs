//! What L1 remembers between steps: which pages a case has dirtied, which VMCSs are launched, which MSRs to restore.

use rig_abi::layout::{PAGE, RAM_SIZE};

const PAGES: usize = (RAM_SIZE / PAGE) as usize;

/// A bit for each page of the machine's memory.
#[derive(Clone, Debug)]
pub struct Pages([u64; PAGES / 64]);

impl Pages {
    /// No page.
    pub const fn new() -> Self {
        Self([0; PAGES / 64])
    }

    /// Adds the pages that `len` bytes at `at` touch; what lies beyond memory is left out.
    pub fn add(&mut self, at: u64, len: u64) {
        if len == 0 {
            return;
        }
        let last = at.saturating_add(len - 1) / PAGE;
        for page in at / PAGE..=last.min(PAGES as u64 - 1) {
            if let Some(word) = self.0.get_mut((page / 64) as usize) {
                *word |= 1 << (page % 64);
            }
        }
    }

    /// Whether any page of a range is in the set.
    pub fn any(&self, at: u64, len: u64) -> bool {
        (at / PAGE..at.saturating_add(len).div_ceil(PAGE))
            .any(|page| self.0.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 != 0))
    }

    /// Empties the set, calling `each` with the address of every page in it.
    pub fn drain(&mut self, mut each: impl FnMut(u64)) {
        for (i, word) in self.0.iter_mut().enumerate() {
            while *word != 0 {
                each((i as u64 * 64 + u64::from(word.trailing_zeros())) * PAGE);
                *word &= *word - 1;
            }
        }
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

/// The VMCSs whose launch state is "launched". SDM: "Organization of VMCS Data" and VMLAUNCH.
#[derive(Clone, Copy, Debug, Default)]
pub struct Launched {
    current: Option<u64>,
    launched: [Option<u64>; 8],
}

impl Launched {
    /// None, and no current VMCS.
    pub const fn new() -> Self {
        Self { current: None, launched: [None; 8] }
    }

    /// The current VMCS.
    pub const fn current(&self) -> Option<u64> {
        self.current
    }

    /// VMPTRLD succeeded.
    pub fn load(&mut self, at: u64) {
        self.current = Some(at);
    }

    /// VMCLEAR succeeded.
    pub fn clear(&mut self, at: u64) {
        for slot in &mut self.launched {
            if *slot == Some(at) {
                *slot = None;
            }
        }
        if self.current == Some(at) {
            self.current = None;
        }
    }

    /// The current VMCS entered L2.
    pub fn entered(&mut self) {
        if !self.is_launched()
            && let Some(slot) = self.launched.iter_mut().find(|slot| slot.is_none())
        {
            *slot = self.current;
        }
    }

    /// Whether the current VMCS wants VMRESUME.
    pub fn is_launched(&self) -> bool {
        self.current.is_some() && self.launched.contains(&self.current)
    }
}

/// The values that MSRs had before the first WRMSR step of a case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Saved {
    used: usize,
    entries: [(u32, u64); 16],
}

impl Saved {
    /// Nothing to restore.
    pub const fn new() -> Self {
        Self { used: 0, entries: [(0, 0); 16] }
    }

    /// Whether an MSR's old value is kept.
    pub fn has(&self, index: u32) -> bool {
        self.entries.iter().take(self.used).any(|e| e.0 == index)
    }

    /// Keeps an old value; false if there is no room.
    pub fn keep(&mut self, index: u32, old: u64) -> bool {
        let Some(entry) = self.entries.get_mut(self.used) else { return false };
        *entry = (index, old);
        self.used += 1;
        true
    }

    /// Takes back the one that was kept last.
    pub fn pop(&mut self) -> Option<(u32, u64)> {
        self.used = self.used.checked_sub(1)?;
        self.entries.get(self.used).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn pages_are_kept_once_and_given_back() {
        let mut pages = Pages::new();
        pages.add(0x1fff, 2);
        pages.add(0x2000, 0);
        pages.add(RAM_SIZE - 1, 100);
        pages.add(u64::MAX, 100);
        assert!(pages.any(0x2800, 1) && !pages.any(0x3000, 0x1000));
        let mut seen = Vec::new();
        pages.drain(|at| seen.push(at));
        assert_eq!(seen, [0x1000, 0x2000, RAM_SIZE - 0x1000]);
        pages.drain(|_| panic!("empty"));
    }

    #[test]
    fn launch_state_follows_the_instructions() {
        let mut vmcs = Launched::new();
        vmcs.entered();
        assert!(!vmcs.is_launched());
        vmcs.load(0x1000);
        vmcs.entered();
        vmcs.load(0x2000);
        assert!(!vmcs.is_launched());
        vmcs.load(0x1000);
        assert!(vmcs.is_launched());
        vmcs.clear(0x1000);
        assert_eq!(vmcs.current(), None);
        vmcs.load(0x1000);
        assert!(!vmcs.is_launched());
    }

    #[test]
    fn msrs_come_back_in_reverse() {
        let mut saved = Saved::new();
        assert!((0..16).all(|i| saved.keep(i, u64::from(i))));
        assert!(!saved.keep(16, 0) && saved.has(15) && !saved.has(16));
        assert_eq!(saved.pop(), Some((15, 15)));
        assert!((0..15).all(|_| saved.pop().is_some()) && saved.pop().is_none());
    }
}
