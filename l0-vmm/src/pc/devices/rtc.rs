//! The real-time clock and its memory (MC146818). It tells the time; it makes no interrupts.

use crate::pc::time::HZ;

/// What time it is when the machine starts: the same in every run. 2023-11-14 22:13:20 UTC.
const START: u64 = 1_700_000_000;

/// Register B: 24-hour mode.
const B_24H: u8 = 1 << 1;
/// Register B: binary instead of BCD.
const B_BINARY: u8 = 1 << 2;
/// Register A: divider for 32768 Hz, periodic rate of 1024 Hz.
const A: u8 = 0x26;
/// Register D: the battery is good.
const D: u8 = 0x80;

#[derive(Clone, Debug)]
pub(crate) struct Rtc {
    index: u8,
    memory: [u8; 128],
}

impl Rtc {
    /// With the sizes of memory where firmware of PCs puts them.
    pub fn new(ram: u64, cpus: u32) -> Self {
        let mut memory = [0; 128];
        let mut word = |at: usize, value: u64| {
            memory[at] = value as u8;
            memory[at + 1] = (value >> 8) as u8;
        };
        let extended = ((ram >> 10).saturating_sub(1024)).min(0xffff);
        word(0x15, 640);
        word(0x17, extended);
        word(0x30, extended);
        word(0x34, (ram.saturating_sub(16 << 20) >> 16).min(0xffff));
        memory[0x5f] = cpus.saturating_sub(1) as u8;
        memory[0x0a] = A;
        memory[0x0b] = B_24H;
        memory[0x0d] = D;
        Self { index: 0, memory }
    }

    pub fn read(&self, port: u16, now: u64) -> u8 {
        if port & 1 == 0 {
            return 0xff;
        }
        let index = self.index & 0x7f;
        match time(index, START + now / HZ) {
            Some(n) => self.coded(index, n),
            None => self.memory[usize::from(index)],
        }
    }

    fn coded(&self, index: u8, n: u8) -> u8 {
        let b = self.memory[0x0b];
        let (n, afternoon) = match index {
            4 if b & B_24H == 0 => ((n + 11) % 12 + 1, n >= 12),
            _ => (n, false),
        };
        let n = if b & B_BINARY != 0 { n } else { n / 10 * 16 + n % 10 };
        n | if afternoon { 0x80 } else { 0 }
    }

    pub fn write(&mut self, port: u16, value: u8) {
        if port & 1 == 0 {
            self.index = value;
            return;
        }
        match self.index & 0x7f {
            // The clock is not set, and tells of no events.
            0 | 2 | 4 | 6..=9 | 0x0c | 0x0d | 0x32 => {}
            0x0a => self.memory[0x0a] = value & 0x7f,
            index => self.memory[usize::from(index)] = value,
        }
    }
}

/// The register of that number, from seconds since 1970.
fn time(index: u8, seconds: u64) -> Option<u8> {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, date) = civil(day);
    Some(match index {
        0 => second % 60,
        2 => second / 60 % 60,
        4 => second / 3600,
        // 1970-01-01 was a Thursday; Sunday is 1.
        6 => (day + 4) % 7 + 1,
        7 => date,
        8 => month,
        9 => year % 100,
        0x32 => year / 100,
        _ => return None,
    } as u8)
}

/// Year, month and day of a day since 1970-01-01.
fn civil(mut day: u64) -> (u64, u64, u64) {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_time_in_bcd_and_in_binary() {
        let mut rtc = Rtc::new(64 << 20, 2);
        let mut read = |index, now| {
            rtc.write(0x70, index);
            rtc.read(0x71, now)
        };
        let all: Vec<u8> = [0x32, 9, 8, 7, 4, 2, 0, 6].map(|i| read(i, 0)).to_vec();
        assert_eq!(all, [0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20, 3]);
        assert_eq!(read(0, 41 * HZ), 0x01);
        assert_eq!(read(0x5f, 0), 1);
        rtc.write(0x70, 0x0b);
        rtc.write(0x71, B_24H | B_BINARY);
        rtc.write(0x70, 4);
        assert_eq!(rtc.read(0x71, 0), 22);
    }
}
