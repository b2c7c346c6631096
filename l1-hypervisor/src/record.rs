//! Records, on their way into the ring.

use l1_hypervisor::ring::Ring;
use rig_abi::{port, record::Kind};
use x86_64::instructions::port::PortWriteOnly;
use zerocopy::{Immutable, IntoBytes};

struct Sink {
    ring: Ring,
    at: u64,
    len: u64,
    step: u32,
}
static mut SINK: Sink = Sink { ring: Ring::new(), at: 0, len: 0, step: 0 };

fn sink() -> &'static mut Sink {
    let sink = &raw mut SINK;
    // SAFETY: L1 is single-threaded. A trap or a panic may come while a record is being written; then nothing comes
    // after it but the last record.
    unsafe { &mut *sink }
}

/// Says where the ring is.
pub fn open(at: u64, len: u64) {
    let sink = sink();
    (sink.at, sink.len) = (at, len);
}

/// Says which step the records belong to from here on.
pub fn at_step(step: u32) {
    sink().step = step;
}

/// Number of records so far.
pub fn count() -> u32 {
    sink().ring.seq
}

/// Appends a record.
pub fn append<B: IntoBytes + Immutable>(kind: Kind, body: &B) {
    let sink = sink();
    // SAFETY: the ring is L1's alone between two doorbells.
    let memory = unsafe { core::slice::from_raw_parts_mut(sink.at as *mut u8, sink.len as usize) };
    sink.ring.append(memory, kind, sink.step, body, doorbell);
}

/// Has L0 take what is in the ring.
pub fn flush() {
    sink().ring.flush(doorbell);
}

fn doorbell(used: usize) {
    // SAFETY: L0's port; it reads the ring and nothing else.
    unsafe { PortWriteOnly::<u32>::new(port::DOORBELL).write(used as u32) };
}
