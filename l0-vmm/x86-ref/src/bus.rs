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

    /// What time it is on the processor's clock ([`crate::Cpu::retired`]); comes before every other call.
    fn clock(&mut self, _now: u64) {}
    /// Reads an MSR of the local APIC: x2APIC registers, IA32_TSC_DEADLINE (in the processor's time). `None`: there is none.
    fn msr_read(&mut self, _index: u32) -> Option<u64> {
        None
    }
    /// Writes an MSR of the local APIC, IA32_APIC_BASE included. `None`: there is none, or it may not hold that.
    fn msr_write(&mut self, _index: u32, _value: u64) -> Option<Flow> {
        None
    }
    /// The processor takes the interrupt that was offered ([`crate::Cpu::offer`]). Gives the next one, if there is one that
    /// could interrupt this one.
    fn acknowledge(&mut self, _vector: u8) -> Option<u8> {
        None
    }
    /// CR8 was written.
    fn task_priority(&mut self, _class: u8) -> Flow {
        Flow::Continue
    }
    /// The processor waits for another one in a loop (PAUSE).
    fn pause(&mut self) -> Flow {
        Flow::Continue
    }
}
