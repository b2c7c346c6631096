//! What lies outside the processor: ports and memory-mapped devices.

/// Whether the processor goes on after a device was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Complete this instruction and give the processor back to its owner, with [`crate::Stop::Bus`].
    Stop,
}

/// Ports and memory-mapped devices. What nobody answers reads as all ones and swallows writes.
pub trait Bus {
    /// Reads `size` (1, 2 or 4) bytes from a port.
    fn io_in(&mut self, port: u16, size: u8) -> u32;
    /// Writes `size` (1, 2 or 4) bytes to a port.
    fn io_out(&mut self, port: u16, size: u8, value: u32) -> Flow;
    /// Reads `size` (1, 2, 4 or 8) bytes at a physical address outside RAM.
    fn mmio_read(&mut self, address: u64, size: u8) -> u64;
    /// Writes `size` (1, 2, 4 or 8) bytes at a physical address outside RAM.
    fn mmio_write(&mut self, address: u64, size: u8, value: u64) -> Flow;
}
