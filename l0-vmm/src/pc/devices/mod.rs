//! The devices, one file each. None of them knows a processor or another device: the board connects them.

pub(super) mod acpi_pm;
pub(super) mod fw_cfg;
pub(super) mod ioapic;
pub(super) mod lapic;
pub(super) mod pic;
pub(super) mod pit;
pub(super) mod rtc;
pub(super) mod serial;

/// Bits of IRR, ISR, TMR: one for each vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vectors([u32; 8]);

impl Vectors {
    pub fn set(&mut self, vector: u8) {
        self.0[usize::from(vector >> 5)] |= 1 << (vector & 31);
    }

    pub fn clear(&mut self, vector: u8) {
        self.0[usize::from(vector >> 5)] &= !(1 << (vector & 31));
    }

    pub fn has(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 5)] >> (vector & 31) & 1 != 0
    }

    /// The highest vector.
    pub fn highest(&self) -> Option<u8> {
        let (n, word) = self.0.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        Some((n as u32 * 32 + word.ilog2()) as u8)
    }

    /// 32 of the bits.
    pub fn word(&self, n: u32) -> u32 {
        self.0[n as usize % 8]
    }
}
