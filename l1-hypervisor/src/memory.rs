//! Physical memory, as what builds tables sees it.

/// Memory by physical address, in quadwords. Addresses need not be aligned.
///
/// Users check the addresses that come from a script before they get here; see [`crate::step::writable`].
pub trait Memory {
    /// The quadword at an address.
    fn read(&self, at: u64) -> u64;

    /// Writes the quadword at an address.
    fn write(&mut self, at: u64, value: u64);

    /// Zeroes `len` bytes (a multiple of 8).
    fn zero(&mut self, at: u64, len: u64) {
        for offset in (0..len).step_by(8) {
            self.write(at + offset, 0);
        }
    }

    /// Writes `count` quadwords, `step` apart in value: a page table that maps consecutive pages.
    fn ramp(&mut self, at: u64, first: u64, step: u64, count: u64) {
        let (mut at, mut value) = (at, first);
        for _ in 0..count {
            self.write(at, value);
            at += 8;
            value = value.wrapping_add(step);
        }
    }
}

/// Memory for tests: a vector of bytes from address 0.
#[cfg(test)]
pub(crate) struct Bytes(pub std::vec::Vec<u8>);

#[cfg(test)]
impl Memory for Bytes {
    fn read(&self, at: u64) -> u64 {
        let at = at as usize;
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn write(&mut self, at: u64, value: u64) {
        let at = at as usize;
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}
