//! The I/O APIC, as in the 82093AA's data sheet.

use super::lapic::{Delivery, Destination, Message};

/// Where it is.
pub(crate) const BASE: u64 = 0xfec0_0000;
/// Inputs.
pub(crate) const PINS: usize = 24;

const VERSION: u32 = 0x11 | (PINS as u32 - 1) << 16;
const MASKED: u64 = 1 << 16;
const LEVEL: u64 = 1 << 15;
const REMOTE_IRR: u64 = 1 << 14;
const LOGICAL: u64 = 1 << 11;
/// What software can write of an entry.
const WRITABLE: u64 = 0xff00_0000_0001_afff;

#[derive(Clone, Debug)]
pub(crate) struct IoApic {
    id: u32,
    select: u32,
    entries: [u64; PINS],
    lines: u32,
}

impl IoApic {
    pub fn new(id: u32) -> Self {
        Self { id, select: 0, entries: [MASKED; PINS], lines: 0 }
    }

    pub fn read(&self, offset: u64) -> u32 {
        match (offset, self.select) {
            (0, _) => self.select,
            (0x10, 0 | 2) => self.id << 24,
            (0x10, 1) => VERSION,
            (0x10, 0x10..=0x3f) => {
                let entry = self.entries[(self.select as usize - 0x10) / 2 % PINS];
                if self.select & 1 == 0 { entry as u32 } else { (entry >> 32) as u32 }
            }
            _ => 0,
        }
    }

    /// Writes; a level that waits behind a mask may go out.
    pub fn write(&mut self, offset: u64, value: u32) -> Option<Message> {
        match (offset, self.select) {
            (0, _) => self.select = value & 0xff,
            (0x10, 0) => self.id = value >> 24 & 0xf,
            (0x10, 0x10..=0x3f) => {
                let pin = (self.select as usize - 0x10) / 2 % PINS;
                let entry = &mut self.entries[pin];
                let shift = 32 * (self.select & 1);
                let written = *entry & !(0xffff_ffff << shift) | u64::from(value) << shift;
                *entry = written & WRITABLE | *entry & REMOTE_IRR;
                if *entry & LEVEL == 0 {
                    *entry &= !REMOTE_IRR;
                }
                return self.level(pin);
            }
            _ => {}
        }
        None
    }

    /// An input changes.
    pub fn set(&mut self, pin: usize, high: bool) -> Option<Message> {
        let pin = pin % PINS;
        let rises = high && self.lines >> pin & 1 == 0;
        self.lines = self.lines & !(1 << pin) | u32::from(high) << pin;
        let entry = self.entries[pin];
        if entry & LEVEL != 0 {
            return self.level(pin);
        }
        (rises && entry & MASKED == 0).then(|| Self::message(entry))
    }

    /// Whether the 8259s' interrupts are led through here.
    pub fn takes_external(&self) -> bool {
        self.entries[0] & MASKED == 0 && Delivery::of(self.entries[0] as u32) == Delivery::External
    }

    /// A level-triggered interrupt of this vector has ended: those that are still there come again.
    pub fn ended(&mut self, vector: u8) -> Vec<Message> {
        let of_vector = |entry: &u64| entry & REMOTE_IRR != 0 && *entry as u8 == vector;
        let pins: Vec<usize> = (0..PINS).filter(|pin| of_vector(&self.entries[*pin])).collect();
        for pin in &pins {
            self.entries[*pin] &= !REMOTE_IRR;
        }
        pins.into_iter().filter_map(|pin| self.level(pin)).collect()
    }

    fn level(&mut self, pin: usize) -> Option<Message> {
        let entry = &mut self.entries[pin];
        if self.lines >> pin & 1 == 0 || *entry & (MASKED | REMOTE_IRR) != 0 || *entry & LEVEL == 0 {
            return None;
        }
        *entry |= REMOTE_IRR;
        Some(Self::message(*entry))
    }

    fn message(entry: u64) -> Message {
        let id = (entry >> 56) as u32;
        let to = if entry & LOGICAL != 0 { Destination::Logical(id) } else { Destination::Physical(id) };
        let delivery = Delivery::of(entry as u32);
        Message { delivery, vector: entry as u8, to, level: entry & LEVEL != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(io: &mut IoApic, pin: u32, entry: u64) -> Option<Message> {
        io.write(0, 0x11 + 2 * pin);
        io.write(0x10, (entry >> 32) as u32);
        io.write(0, 0x10 + 2 * pin);
        io.write(0x10, entry as u32)
    }

    #[test]
    fn edges_and_levels() {
        let mut io = IoApic::new(1);
        assert_eq!(io.set(4, true), None);
        program(&mut io, 4, 0x0100_0000_0000_0034);
        assert_eq!(io.set(4, true), None, "no edge");
        io.set(4, false);
        let to = Destination::Physical(1);
        let message = Message { delivery: Delivery::Fixed, vector: 0x34, to, level: false };
        assert_eq!(io.set(4, true), Some(message));

        program(&mut io, 9, 0x8039);
        assert!(io.set(9, true).is_some());
        assert_eq!(io.set(9, true), None, "in service");
        assert_eq!(io.ended(0x39).len(), 1);
        io.set(9, false);
        assert_eq!(io.ended(0x39).len(), 0);
    }
}
