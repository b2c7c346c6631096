//! The records that L1 left: decoding of the stream.

use rig_abi::record::{
    CaseRecord, EndRecord, ExitRecord, Header, Kind, MAGIC, PanicRecord, RegsRecord, RunRecord, StepRecord,
    TrapRecord,
};
use std::mem::size_of;
use zerocopy::FromBytes;

#[cfg(test)]
mod tests;

/// A record with its header.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "every variant is a header and the body that rig_abi::record documents")]
pub enum Record {
    /// A case begins.
    Case { header: Header, body: CaseRecord },
    /// A step was done.
    Step { header: Header, body: StepRecord },
    /// A VM exit.
    Exit { header: Header, body: Box<ExitRecord> },
    /// L2's registers.
    Regs { header: Header, body: Box<RegsRecord> },
    /// A run loop ended.
    Run { header: Header, body: Box<RunRecord> },
    /// An exception in L1 that no step asked for.
    Trap { header: Header, body: TrapRecord },
    /// L1 panicked; with the name of the file, where it could be read from L1's memory.
    Panic { header: Header, body: PanicRecord, file: Option<String> },
    /// The script is done.
    End { header: Header, body: EndRecord },
    /// A record of a kind, or with a body, that this program does not know.
    Unknown { header: Header, bytes: Vec<u8> },
}

impl Record {
    /// The header.
    pub const fn header(&self) -> &Header {
        match self {
            Self::Case { header, .. }
            | Self::Step { header, .. }
            | Self::Exit { header, .. }
            | Self::Regs { header, .. }
            | Self::Run { header, .. }
            | Self::Trap { header, .. }
            | Self::Panic { header, .. }
            | Self::End { header, .. }
            | Self::Unknown { header, .. } => header,
        }
    }

    fn new(header: Header, bytes: &[u8]) -> Self {
        fn body<T: FromBytes>(bytes: &[u8]) -> Option<T> {
            T::read_from_bytes(bytes).ok()
        }
        let known = match Kind(header.kind) {
            Kind::CASE => body(bytes).map(|body| Self::Case { header, body }),
            Kind::STEP => body(bytes).map(|body| Self::Step { header, body }),
            Kind::EXIT => body(bytes).map(|body| Self::Exit { header, body: Box::new(body) }),
            Kind::REGS => body(bytes).map(|body| Self::Regs { header, body: Box::new(body) }),
            Kind::RUN => body(bytes).map(|body| Self::Run { header, body: Box::new(body) }),
            Kind::TRAP => body(bytes).map(|body| Self::Trap { header, body }),
            Kind::PANIC => body(bytes).map(|body| Self::Panic { header, body, file: None }),
            Kind::END => body(bytes).map(|body| Self::End { header, body }),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown { header, bytes: bytes.to_vec() })
    }
}

/// What is wrong with a stream, and where. What lies before it was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records are damaged at byte {offset} of {len} (record {seq}): {damage}")]
pub struct TraceError {
    /// Offset of the record in the stream.
    pub offset: usize,
    /// Length of the stream.
    pub len: usize,
    /// Number that the record would have.
    pub seq: u32,
    /// What is wrong with it.
    pub damage: Damage,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The stream ends in a header.
    #[error("{0} bytes are too few for a header")]
    ShortHeader(usize),
    /// It does not begin as a record does.
    #[error("magic {0:#x}, expected {MAGIC:#x}")]
    Magic(u16),
    /// The length is impossible.
    #[error("length {0} is no multiple of 8 that holds a header")]
    Length(u32),
    /// The stream ends in the body.
    #[error("length {len}, but only {left} bytes are left")]
    Cut {
        /// Length by the header.
        len: u32,
        /// Bytes left.
        left: usize,
    },
    /// The number is not the next one.
    #[error("number {0} is out of order")]
    Order(u32),
    /// L1 rang the doorbell for more than the ring holds.
    #[error("the doorbell was rung for {0} bytes, more than the ring has")]
    Doorbell(u32),
}

/// Reads a stream: the records up to its end or up to the first damage, and that damage.
pub fn decode(stream: &[u8]) -> (Vec<Record>, Option<TraceError>) {
    decode_from(stream, 0)
}

/// The same, of a piece of a stream whose first record has the number `first`.
pub(crate) fn decode_from(stream: &[u8], first: u32) -> (Vec<Record>, Option<TraceError>) {
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < stream.len() {
        let seq = first.wrapping_add(records.len() as u32);
        match next(&stream[offset..], seq) {
            Ok((header, bytes)) => {
                offset += header.len as usize;
                records.push(Record::new(header, bytes));
            }
            Err(damage) => return (records, Some(TraceError { offset, len: stream.len(), seq, damage })),
        }
    }
    (records, None)
}

/// How many bytes from the start of `bytes` are whole records, the first one with number `seq`.
pub(crate) fn valid_prefix(bytes: &[u8], seq: u32) -> usize {
    let mut offset = 0;
    let mut seq = seq;
    while let Ok((header, _)) = next(&bytes[offset..], seq) {
        offset += header.len as usize;
        seq = seq.wrapping_add(1);
    }
    offset
}

fn next(stream: &[u8], seq: u32) -> Result<(Header, &[u8]), Damage> {
    let (header, _) = Header::read_from_prefix(stream).map_err(|_| Damage::ShortHeader(stream.len()))?;
    if header.magic != MAGIC {
        return Err(Damage::Magic(header.magic));
    }
    let len = header.len as usize;
    if !len.is_multiple_of(8) || len < size_of::<Header>() {
        return Err(Damage::Length(header.len));
    }
    let body =
        stream.get(size_of::<Header>()..len).ok_or(Damage::Cut { len: header.len, left: stream.len() })?;
    if header.seq != seq {
        return Err(Damage::Order(header.seq));
    }
    Ok((header, body))
}

/// How many VM exits L1 saw, those included that a run loop only counted.
pub fn exits(records: &[Record]) -> u64 {
    let mut total: u64 = 0;
    // Exits of the step at hand that have a record of their own; a run loop's own count replaces them.
    let mut recorded: (u32, u64) = (u32::MAX, 0);
    for record in records {
        let step = record.header().step;
        match record {
            Record::Exit { .. } => {
                total = total.saturating_add(1);
                recorded = if recorded.0 == step { (step, recorded.1 + 1) } else { (step, 1) };
            }
            Record::Run { body, .. } => {
                let seen = if recorded.0 == step { recorded.1 } else { 0 };
                total = (total - seen).saturating_add(body.exits.max(seen));
                recorded = (u32::MAX, 0);
            }
            _ => {}
        }
    }
    total
}
