//! The 8254 timer: channel 0 at IRQ 0, channel 2 behind the gate of port 0x61, as calibration loops use it.

use crate::pc::time::{ticks, time_of};

const HZ: u64 = 1_193_182;

/// Which bytes of a counter are accessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bytes {
    Low,
    High,
    #[default]
    Both,
}

#[derive(Clone, Debug, Default)]
struct Channel {
    mode: u8,
    bytes: Bytes,
    bcd: bool,
    /// What it counts down from: 0 means 65536.
    reload: u16,
    /// In ticks of the timer; `None` until a count is written.
    start: Option<u64>,
    /// The gate went down: counting stands at this many ticks.
    held: Option<u64>,
    low: Option<u8>,
    latched: Option<u16>,
    status: Option<u8>,
    /// The next byte read is the high one.
    high_next: bool,
    /// Output edges that have been told of, in ticks.
    told: u64,
}

impl Channel {
    fn period(&self) -> u64 {
        match (self.reload, self.bcd) {
            (0, true) => 10_000,
            (0, false) => 65_536,
            (n, _) => u64::from(n),
        }
    }

    fn elapsed(&self, now: u64) -> Option<u64> {
        self.held.or_else(|| self.start.map(|start| now.saturating_sub(start)))
    }

    fn periodic(&self) -> bool {
        matches!(self.mode, 2 | 3)
    }

    fn count(&self, now: u64) -> u16 {
        let Some(elapsed) = self.elapsed(now) else { return self.reload };
        let period = self.period();
        let count = match self.mode {
            2 => period - elapsed % period,
            3 => period - 2 * elapsed % period,
            _ => period.wrapping_sub(elapsed),
        };
        if self.bcd { to_bcd(count % 10_000) } else { count as u16 }
    }

    fn output(&self, now: u64) -> bool {
        let Some(elapsed) = self.elapsed(now) else { return self.mode != 0 };
        let period = self.period();
        match self.mode {
            0 | 1 => elapsed >= period,
            2 => elapsed % period != period - 1,
            3 => elapsed % period < period.div_ceil(2),
            _ => elapsed != period,
        }
    }

    /// The tick of the next rising edge of the output after those that were told of.
    fn next_edge(&self) -> Option<u64> {
        let start = self.start.filter(|_| self.held.is_none())?;
        let period = self.period();
        match self.mode {
            2 | 3 => Some(start + (self.told.saturating_sub(start) / period + 1) * period),
            0 | 4 => Some(start + period).filter(|edge| *edge > self.told),
            _ => None,
        }
    }

    fn write(&mut self, value: u8, now: u64) {
        self.reload = match (self.bytes, self.low.take()) {
            (Bytes::Low, _) => u16::from(value),
            (Bytes::High, _) => u16::from(value) << 8,
            (Bytes::Both, None) => {
                self.low = Some(value);
                return;
            }
            (Bytes::Both, Some(low)) => u16::from_le_bytes([low, value]),
        };
        if self.bcd {
            self.reload = from_bcd(self.reload);
        }
        // In the periodic modes a new count counts from the next period on; software here writes it once.
        self.start = Some(now);
        self.told = now;
        if self.held.is_some() {
            self.held = Some(0);
        }
    }

    fn read(&mut self, now: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let count = self.latched.unwrap_or_else(|| self.count(now));
        let [low, high] = count.to_le_bytes();
        let (byte, last) = match self.bytes {
            Bytes::Low => (low, true),
            Bytes::High => (high, true),
            Bytes::Both if self.high_next => (high, true),
            Bytes::Both => (low, false),
        };
        self.high_next = !last;
        if last {
            self.latched = None;
        }
        byte
    }

    fn set_gate(&mut self, open: bool, now: u64) {
        match (open, self.held) {
            (false, None) => self.held = Some(self.elapsed(now).unwrap_or(0)),
            // Modes 1, 2, 3 and 5 begin anew at a rising gate.
            (true, Some(held)) => {
                self.held = None;
                if self.start.is_some() {
                    let again = self.periodic() || matches!(self.mode, 1 | 5);
                    self.start = Some(if again { now } else { now.saturating_sub(held) });
                    self.told = now;
                }
            }
            _ => {}
        }
    }
}

fn to_bcd(n: u64) -> u16 {
    [1, 10, 100, 1000].iter().rev().fold(0, |bcd, place| bcd << 4 | (n / place % 10) as u16)
}

fn from_bcd(n: u16) -> u16 {
    (0..4).rev().fold(0, |value, digit| value * 10 + (n >> (4 * digit) & 0xf))
}

/// The timer.
#[derive(Clone, Debug)]
pub(crate) struct Pit {
    channels: [Channel; 3],
    /// Port 0x61, bits 1:0: the speaker and the gate of channel 2.
    speaker: u8,
}

impl Pit {
    pub fn new() -> Self {
        let mut pit = Self { channels: Default::default(), speaker: 0 };
        // As the firmware of a PC leaves it: channel 0 runs with the longest period, in mode 3.
        pit.channels[0].mode = 3;
        pit.channels[0].start = Some(0);
        pit.channels[2].held = Some(0);
        pit
    }

    pub fn read(&mut self, port: u16, now: u64) -> u8 {
        let now = ticks(now, HZ);
        match self.channels.get_mut(usize::from(port & 3)) {
            Some(channel) => channel.read(now),
            None => 0,
        }
    }

    pub fn write(&mut self, port: u16, value: u8, now: u64) {
        let now = ticks(now, HZ);
        match self.channels.get_mut(usize::from(port & 3)) {
            Some(channel) => channel.write(value, now),
            None => self.command(value, now),
        }
    }

    fn command(&mut self, value: u8, now: u64) {
        let Some(channel) = self.channels.get_mut(usize::from(value >> 6)) else {
            return self.read_back(value, now);
        };
        let bytes = match value >> 4 & 3 {
            0 => {
                let count = channel.count(now);
                channel.latched.get_or_insert(count);
                return;
            }
            1 => Bytes::Low,
            2 => Bytes::High,
            _ => Bytes::Both,
        };
        let mode = match value >> 1 & 7 {
            mode @ 6.. => mode & 3,
            mode => mode,
        };
        let held = channel.held.map(|_| 0);
        *channel = Channel { mode, bytes, bcd: value & 1 != 0, held, ..Channel::default() };
    }

    fn read_back(&mut self, value: u8, now: u64) {
        for (n, channel) in self.channels.iter_mut().enumerate() {
            if value >> (n + 1) & 1 == 0 {
                continue;
            }
            if value & 0x20 == 0 {
                let count = channel.count(now);
                channel.latched.get_or_insert(count);
            }
            if value & 0x10 == 0 {
                let bytes = match channel.bytes {
                    Bytes::Low => 1,
                    Bytes::High => 2,
                    Bytes::Both => 3,
                };
                let null = u8::from(channel.start.is_none()) << 6;
                let output = u8::from(channel.output(now)) << 7;
                channel.status = Some(output | null | bytes << 4 | channel.mode << 1 | u8::from(channel.bcd));
            }
        }
    }

    /// Port 0x61: gate and speaker, the refresh toggle, the output of channel 2.
    pub fn speaker(&self, now: u64) -> u8 {
        let refresh = (now / 15_085 % 2) as u8;
        let output = u8::from(self.channels[2].output(ticks(now, HZ)));
        self.speaker | refresh << 4 | output << 5
    }

    pub fn set_speaker(&mut self, value: u8, now: u64) {
        self.speaker = value & 3;
        self.channels[2].set_gate(value & 1 != 0, ticks(now, HZ));
    }

    /// When IRQ 0 rises next.
    pub fn due(&self) -> Option<u64> {
        self.channels[0].next_edge().map(|tick| time_of(tick, HZ))
    }

    /// Time has come this far: whether IRQ 0 has risen.
    pub fn advance(&mut self, now: u64) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.channels[0].told = ticks(now, HZ);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn channel_0_ticks_at_the_rate_that_was_asked_for() {
        let mut pit = Pit::new();
        pit.write(0x43, 0x34, 0);
        pit.write(0x40, (11_932 & 0xff) as u8, 0);
        pit.write(0x40, (11_932 >> 8) as u8, 0);
        let mut edges = 0;
        for now in 0..=100 {
            edges += u32::from(pit.advance(now * MS));
        }
        assert_eq!(edges, 9, "10 ms and a bit each");
    }

    #[test]
    fn channel_2_as_calibration_reads_it() {
        let mut pit = Pit::new();
        pit.set_speaker(1, 0);
        pit.write(0x43, 0xb0, 0);
        pit.write(0x42, 0xff, 0);
        pit.write(0x42, 0xff, 0);
        let read = |pit: &mut Pit, now| u16::from_le_bytes([pit.read(0x42, now), pit.read(0x42, now)]);
        assert_eq!(read(&mut pit, 10 * MS), 0xffff - 11_931);
        assert_eq!(pit.speaker(54 * MS) & 0x20, 0);
        assert_eq!(pit.speaker(56 * MS) & 0x20, 0x20);
        assert_eq!(pit.due().map(|due| due / MS), Some(54), "channel 0 goes on");
    }

    #[test]
    fn a_latched_count_stays() {
        let mut pit = Pit::new();
        pit.write(0x43, 0x00, 5 * MS);
        let first = [pit.read(0x40, 6 * MS), pit.read(0x40, 7 * MS)];
        pit.write(0x43, 0xd2, 5 * MS);
        assert_eq!([pit.read(0x40, 8 * MS), pit.read(0x40, 9 * MS)], first);
    }
}
