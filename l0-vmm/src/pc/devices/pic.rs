//! The pair of 8259A interrupt controllers.

/// One 8259A.
#[derive(Clone, Debug, Default)]
struct Chip {
    irr: u8,
    imr: u8,
    isr: u8,
    lines: u8,
    base: u8,
    /// Level-triggered inputs (ELCR).
    level: u8,
    /// The next initialisation word that is expected: 2, 3, 4, or 0.
    expects: u8,
    needs_icw4: bool,
    auto_eoi: bool,
    read_isr: bool,
    /// The highest priority is behind this input.
    lowest: u8,
}

impl Chip {
    fn new() -> Self {
        Self { lowest: 7, ..Self::default() }
    }

    /// The first input of a set in the order of priorities, with its rank.
    fn first(&self, set: u8) -> Option<(u8, u8)> {
        (0..8).map(|rank| (rank, (self.lowest + 1 + rank) & 7)).find(|(_, irq)| set >> irq & 1 != 0)
    }

    fn pending(&self) -> Option<u8> {
        let waiting = (self.irr | self.lines & self.level) & !self.imr;
        let (rank, irq) = self.first(waiting)?;
        match self.first(self.isr) {
            Some((serving, _)) if serving <= rank => None,
            _ => Some(irq),
        }
    }

    fn set(&mut self, irq: u8, high: bool) {
        let bit = 1 << irq;
        if high && self.lines & bit == 0 {
            self.irr |= bit;
        }
        self.lines = self.lines & !bit | if high { bit } else { 0 };
    }

    fn acknowledge(&mut self, irq: u8) {
        self.irr &= !(1 << irq);
        if !self.auto_eoi {
            self.isr |= 1 << irq;
        }
    }

    fn command(&mut self, value: u8) {
        if value & 0x10 != 0 {
            let level = self.level;
            let (lines, base) = (self.lines, self.base);
            *self = Self { level, lines, base, expects: 2, needs_icw4: value & 1 != 0, ..Self::new() };
            return;
        }
        if value & 0x08 != 0 {
            match value & 3 {
                2 => self.read_isr = false,
                3 => self.read_isr = true,
                _ => {}
            }
            return;
        }
        let irq = value & 7;
        match value >> 5 {
            // Non-specific EOI, without and with rotation.
            1 | 5 => {
                if let Some((_, first)) = self.first(self.isr) {
                    self.isr &= !(1 << first);
                    if value >> 5 == 5 {
                        self.lowest = first;
                    }
                }
            }
            // Specific EOI.
            3 => self.isr &= !(1 << irq),
            7 => {
                self.isr &= !(1 << irq);
                self.lowest = irq;
            }
            6 => self.lowest = irq,
            _ => {}
        }
    }

    fn data(&mut self, value: u8) {
        match self.expects {
            2 => {
                self.base = value & 0xf8;
                self.expects = 3;
            }
            3 => self.expects = if self.needs_icw4 { 4 } else { 0 },
            4 => {
                self.auto_eoi = value & 2 != 0;
                self.expects = 0;
            }
            _ => self.imr = value,
        }
    }
}

/// Both; the second hangs at input 2 of the first.
#[derive(Clone, Debug)]
pub(crate) struct Pic {
    first: Chip,
    second: Chip,
}

/// The input of the first that the second is at.
const CASCADE: u8 = 2;
/// What is acknowledged when nothing is there any more.
const SPURIOUS: u8 = 7;

impl Pic {
    pub fn new() -> Self {
        Self { first: Chip::new(), second: Chip::new() }
    }

    /// An input changes.
    pub fn set(&mut self, irq: u8, high: bool) {
        if irq < 8 {
            self.first.set(irq, high)
        } else {
            self.second.set(irq & 7, high)
        }
        self.cascade();
    }

    fn cascade(&mut self) {
        let out = self.second.pending().is_some();
        // The second's output goes down and up again for each of its interrupts.
        if !out {
            self.first.set(CASCADE, false);
            self.first.irr &= !(1 << CASCADE);
        } else {
            self.first.lines &= !(1 << CASCADE);
            self.first.set(CASCADE, true);
        }
    }

    /// The vector that it has for the processor.
    pub fn offered(&self) -> Option<u8> {
        let irq = self.first.pending()?;
        if irq != CASCADE {
            return Some(self.first.base + irq);
        }
        Some(self.second.base + self.second.pending().unwrap_or(SPURIOUS))
    }

    /// The processor takes it.
    pub fn acknowledge(&mut self) {
        let Some(irq) = self.first.pending() else { return };
        self.first.acknowledge(irq);
        if irq == CASCADE
            && let Some(irq) = self.second.pending()
        {
            self.second.acknowledge(irq);
            self.cascade();
        }
    }

    pub fn read(&self, port: u16) -> u8 {
        let chip = if port & 0x80 == 0 { &self.first } else { &self.second };
        match (port & 1, chip.read_isr) {
            (1, _) => chip.imr,
            (_, true) => chip.isr,
            (_, false) => chip.irr,
        }
    }

    pub fn write(&mut self, port: u16, value: u8) {
        let chip = if port & 0x80 == 0 { &mut self.first } else { &mut self.second };
        if port & 1 == 0 {
            chip.command(value)
        } else {
            chip.data(value)
        }
        self.cascade();
    }

    /// Edge or level, by input: ports 0x4d0 and 0x4d1.
    pub fn elcr(&self, second: bool) -> u8 {
        if second { self.second.level } else { self.first.level }
    }

    pub fn set_elcr(&mut self, second: bool, value: u8) {
        // The timer, the keyboard, the cascade, the clock and the coprocessor are always edges.
        if second { self.second.level = value & 0xde } else { self.first.level = value & 0xf8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pic() -> Pic {
        let mut pic = Pic::new();
        for (port, base) in [(0x20, 0x20), (0xa0, 0x28)] {
            pic.write(port, 0x11);
            pic.write(port + 1, base);
            pic.write(port + 1, 4);
            pic.write(port + 1, 1);
            pic.write(port + 1, 0);
        }
        pic
    }

    #[test]
    fn priorities_and_cascade() {
        let mut pic = pic();
        pic.set(4, true);
        pic.set(8, true);
        assert_eq!(pic.offered(), Some(0x28));
        pic.acknowledge();
        assert_eq!(pic.offered(), None, "4 is behind 2");
        pic.write(0xa0, 0x20);
        pic.write(0x20, 0x20);
        assert_eq!(pic.offered(), Some(0x24));
        pic.write(0x21, 0x10);
        assert_eq!(pic.offered(), None);
        assert_eq!(pic.read(0x21), 0x10);
        pic.write(0x21, 0);
        pic.acknowledge();
        pic.write(0x20, 0x64);
        assert_eq!(pic.offered(), None, "an edge counts once");
    }
}
