//! What L1 speaks to: the doorbell, the exit port, the debug port. Nobody else is there.

use crate::{
    engine::{L0Event, L0What, Limit},
    ram::Ram,
    trace::{self, Damage, Record, TraceError},
};
use rig_abi::{layout, port};
use std::collections::VecDeque;
use x86_ref::{Bus, Flow};

#[cfg(test)]
mod tests;

/// Events that the L0 track keeps: the last ones.
const TRACK: usize = 256;
/// Most bytes of debug text that are kept.
const DEBUG_MAX: usize = 1 << 20;
/// Most bytes of records that a run may leave.
pub(crate) const STREAM_MAX: usize = 256 << 20;

/// The devices, and what they heard.
pub(crate) struct Devices {
    ram: Ram,
    /// The records so far, as the doorbell brought them.
    stream: Vec<u8>,
    /// A doorbell that made no sense: where in the stream, and what it said.
    bad_doorbell: Option<(usize, u32)>,
    debug: Vec<u8>,
    /// What was written to the exit port.
    pub exit: Option<u32>,
    track: VecDeque<L0Event>,
    /// Exits to L0; engines that do not count them leave it to the devices.
    pub exits: u64,
}

/// What is left of the devices at the end of a run.
pub(crate) struct Heard {
    pub records: Vec<Record>,
    pub damage: Option<TraceError>,
    pub debug: Vec<u8>,
    pub track: Vec<L0Event>,
}

impl Devices {
    pub fn new(ram: Ram) -> Self {
        Self {
            ram,
            stream: Vec::new(),
            bad_doorbell: None,
            debug: Vec::new(),
            exit: None,
            track: VecDeque::new(),
            exits: 0,
        }
    }

    /// Adds to the L0 track.
    pub fn note(&mut self, rip: Option<u64>, what: L0What) {
        if self.track.len() == TRACK {
            self.track.pop_front();
        }
        self.track.push_back(L0Event { exit: self.exits, rip, what });
    }

    /// Why a run must end that the devices stopped without an exit code.
    pub fn exhausted(&self) -> Option<Limit> {
        (self.stream.len() >= STREAM_MAX).then_some(Limit::Records(STREAM_MAX as u64))
    }

    fn doorbell(&mut self, len: u32) -> Flow {
        self.note(None, L0What::Doorbell(len));
        if self.bad_doorbell.is_some() {
            return Flow::Continue;
        }
        if u64::from(len) > layout::RING_SIZE {
            self.bad_doorbell = Some((self.stream.len(), len));
            return Flow::Continue;
        }
        let bytes = self.ram.bytes(layout::RING, len as usize);
        self.stream.extend_from_slice(&bytes);
        // What is found in the ring later is then new.
        let _ = self.ram.write(layout::RING, &vec![0; bytes.len()]);
        if self.stream.len() >= STREAM_MAX { Flow::Stop } else { Flow::Continue }
    }

    /// The end of a run: everything that L1 recorded, what lies in the ring without a doorbell included.
    pub fn finish(&mut self) -> Heard {
        let (mut records, mut damage) = trace::decode(&self.stream);
        match (&damage, self.bad_doorbell) {
            (None, Some((offset, len))) => {
                let seq = records.len() as u32;
                damage =
                    Some(TraceError { offset, len: self.stream.len(), seq, damage: Damage::Doorbell(len) });
            }
            (None, None) => {
                let ring = self.ram.bytes(layout::RING, layout::RING_SIZE as usize);
                let seq = records.len() as u32;
                let left = &ring[..trace::valid_prefix(&ring, seq)];
                records.extend(trace::decode_from(left, seq).0);
            }
            (Some(_), _) => {}
        }
        for record in &mut records {
            if let Record::Panic { body, file, .. } = record {
                *file = self.text(body.file, body.file_len);
            }
        }
        Heard {
            records,
            damage,
            debug: std::mem::take(&mut self.debug),
            track: std::mem::take(&mut self.track).into(),
        }
    }

    /// Text in L1's memory, if that is what it is.
    fn text(&self, address: u64, len: u64) -> Option<String> {
        const MOST: u64 = 4096;
        let len = usize::try_from(len).ok().filter(|l| *l as u64 <= MOST)?;
        let bytes = self.ram.bytes(address, len);
        (bytes.len() == len).then(|| String::from_utf8(bytes).ok())?
    }
}

/// All ones, in so many bytes.
const fn ones(size: u8) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (8 * size)) - 1 }
}

impl Bus for Devices {
    fn io_in(&mut self, _port: u16, size: u8) -> u32 {
        ones(size) as u32
    }

    fn io_out(&mut self, port: u16, _size: u8, value: u32) -> Flow {
        match port {
            port::DOORBELL => self.doorbell(value),
            port::EXIT => {
                self.exit = Some(value);
                self.note(None, L0What::Exit(value));
                Flow::Stop
            }
            port::DEBUG => {
                if self.debug.len() < DEBUG_MAX {
                    self.debug.push(value as u8);
                }
                Flow::Continue
            }
            _ => Flow::Continue,
        }
    }

    fn mmio_read(&mut self, _address: u64, size: u8) -> u64 {
        ones(size)
    }

    fn mmio_write(&mut self, _address: u64, _size: u8, _value: u64) -> Flow {
        Flow::Continue
    }
}
