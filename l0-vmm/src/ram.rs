//! The machine's memory.

use rig_abi::layout::RAM_SIZE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// There is no memory for the machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot map {size:#x} bytes of memory for the machine: {source}")]
pub struct RamError {
    size: u64,
    source: vm_memory::mmap::FromRangesError,
}

/// [`RAM_SIZE`] bytes from physical address 0, zero at first. Clones share the memory.
#[derive(Clone, Debug)]
pub(crate) struct Ram {
    memory: GuestMemoryMmap,
}

impl Ram {
    pub fn new() -> Result<Self, RamError> {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM_SIZE as usize)])
            .map(|memory| Self { memory })
            .map_err(|source| RamError { size: RAM_SIZE, source })
    }

    /// What the reference CPU and KVM work on.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Reads into all of `to`; false if some of that is no memory.
    #[must_use]
    pub fn read(&self, address: u64, to: &mut [u8]) -> bool {
        self.memory.read_slice(to, GuestAddress(address)).is_ok()
    }

    /// Writes all of `from`; false, and nothing is written, if some of that is no memory.
    #[must_use]
    pub fn write(&self, address: u64, from: &[u8]) -> bool {
        let at = GuestAddress(address);
        self.memory.check_range(at, from.len()) && self.memory.write_slice(from, at).is_ok()
    }

    /// Where an address is in this process, as long as this memory or a clone of it lives.
    pub fn host(&self, address: u64) -> Option<*mut u8> {
        self.memory.get_host_address(GuestAddress(address)).ok()
    }

    /// Reads one byte.
    pub fn byte(&self, address: u64) -> Option<u8> {
        let mut byte = [0];
        self.read(address, &mut byte).then_some(byte[0])
    }

    /// Up to `len` bytes at an address, fewer at the end of memory.
    pub fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let len = len.min(RAM_SIZE.saturating_sub(address) as usize);
        let mut bytes = vec![0; len];
        if self.read(address, &mut bytes) { bytes } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_nothing_beyond_the_end() {
        let ram = Ram::new().unwrap();
        assert!(ram.write(RAM_SIZE - 4, &[1, 2, 3, 4]));
        assert!(!ram.write(RAM_SIZE - 3, &[0; 4]));
        assert_eq!(ram.bytes(RAM_SIZE - 2, 15), [3, 4]);
        assert_eq!(ram.byte(RAM_SIZE), None);
        assert!(ram.bytes(u64::MAX, 2).is_empty());
    }
}
