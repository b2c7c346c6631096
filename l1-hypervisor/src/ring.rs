//! The ring of records. L1 appends; when a record does not fit, L0 is told by the doorbell to take what is there.

use rig_abi::record::{Header, Kind, MAGIC};
use zerocopy::{Immutable, IntoBytes};

/// Where the ring is filled to, and the number of the next record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// Bytes in use.
    pub used: usize,
    /// Records so far.
    pub seq: u32,
}

impl Ring {
    /// An empty ring.
    pub const fn new() -> Self {
        Self { used: 0, seq: 0 }
    }

    /// Appends a record. `doorbell` is called with the number of bytes in use when they have to be taken first.
    /// A record that is larger than the whole ring is dropped, but counted.
    pub fn append<B: IntoBytes + Immutable>(
        &mut self,
        memory: &mut [u8],
        kind: Kind,
        step: u32,
        body: &B,
        doorbell: impl FnOnce(usize),
    ) {
        const HEADER: usize = size_of::<Header>();
        let len = HEADER + size_of::<B>();
        let header = Header { magic: MAGIC, kind: kind.0, len: len as u32, seq: self.seq, step };
        self.seq = self.seq.wrapping_add(1);
        if memory.len().saturating_sub(self.used) < len {
            self.flush(doorbell);
        }
        let Some(place) = memory.get_mut(self.used..).and_then(|free| free.get_mut(..len)) else { return };
        let (head, tail) = place.split_at_mut(HEADER);
        head.copy_from_slice(header.as_bytes());
        tail.copy_from_slice(body.as_bytes());
        self.used += len;
    }

    /// Has L0 take what is there.
    pub fn flush(&mut self, doorbell: impl FnOnce(usize)) {
        if self.used > 0 {
            doorbell(self.used);
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_abi::record::{EndRecord, RegsRecord};
    use std::vec::Vec;
    use zerocopy::FromBytes;

    #[test]
    fn a_full_ring_is_taken_and_begins_again() {
        let mut memory = [0; 80];
        let mut ring = Ring::new();
        let mut taken = Vec::new();
        for steps in 0..5 {
            let body = EndRecord { steps, records: 0 };
            ring.append(&mut memory, Kind::END, 9, &body, |n| taken.push(n));
        }
        assert_eq!(taken, [64, 64]);
        assert_eq!(ring, Ring { used: 32, seq: 5 });
        let (header, body) = Header::read_from_prefix(&memory).unwrap();
        assert_eq!(header, Header { magic: MAGIC, kind: Kind::END.0, len: 32, seq: 4, step: 9 });
        assert_eq!(EndRecord::read_from_prefix(body).unwrap().0.steps, 4);
    }

    #[test]
    fn a_record_that_never_fits_is_dropped() {
        let mut memory = [0; 40];
        let mut ring = Ring::new();
        ring.append(&mut memory, Kind::REGS, 0, &RegsRecord { regs: [0; 16] }, |_| panic!("nothing to take"));
        assert_eq!(ring, Ring { used: 0, seq: 1 });
    }
}
