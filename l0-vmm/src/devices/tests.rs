use super::*;
use rig_abi::record::{EndRecord, Header, Kind, MAGIC, PanicRecord};
use zerocopy::{Immutable, IntoBytes};

fn machine() -> (Ram, Devices) {
    let ram = Ram::new().unwrap();
    (ram.clone(), Devices::new(ram))
}

fn record<B: IntoBytes + Immutable>(ram: &Ram, offset: u64, seq: u32, kind: Kind, body: &B) -> u64 {
    let len = size_of::<Header>() + size_of::<B>();
    let header = Header { magic: MAGIC, kind: kind.0, len: len as u32, seq, step: seq };
    assert!(ram.write(layout::RING + offset, header.as_bytes()));
    assert!(ram.write(layout::RING + offset + 16, body.as_bytes()));
    offset + len as u64
}

const BODY: EndRecord = EndRecord { steps: 1, records: 2 };

#[test]
fn records_come_by_the_doorbell_and_without() {
    let (ram, mut devices) = machine();
    let len = record(&ram, record(&ram, 0, 0, Kind::END, &BODY), 1, Kind::END, &BODY);
    assert_eq!(devices.io_out(port::DOORBELL, 4, len as u32), Flow::Continue);
    // One more, and a piece of another: L1 did not get to the doorbell.
    let len = record(&ram, 0, 2, Kind::END, &BODY);
    assert!(ram.write(layout::RING + len, &MAGIC.to_le_bytes()));
    let heard = devices.finish();
    assert_eq!((heard.records.len(), heard.damage), (3, None));
    assert_eq!(heard.records[2].header().step, 2);
}

#[test]
fn what_was_taken_is_not_read_again() {
    let (ram, mut devices) = machine();
    let len = record(&ram, 0, 0, Kind::END, &BODY);
    devices.io_out(port::DOORBELL, 4, len as u32);
    assert_eq!(devices.finish().records.len(), 1);
}

#[test]
fn rubbish_is_damage_and_the_rest_before_it_is_kept() {
    let (ram, mut devices) = machine();
    let len = record(&ram, 0, 0, Kind::END, &BODY);
    assert!(ram.write(layout::RING + len, &[0xee; 24]));
    devices.io_out(port::DOORBELL, 4, len as u32 + 24);
    let heard = devices.finish();
    assert_eq!(heard.records.len(), 1);
    let damage = heard.damage.unwrap();
    assert_eq!((damage.offset, damage.damage), (32, Damage::Magic(0xeeee)));
}

#[test]
fn a_doorbell_for_more_than_the_ring_is_damage() {
    let (ram, mut devices) = machine();
    let len = record(&ram, 0, 0, Kind::END, &BODY);
    devices.io_out(port::DOORBELL, 4, len as u32);
    devices.io_out(port::DOORBELL, 4, u32::MAX);
    let heard = devices.finish();
    assert_eq!((heard.records.len(), heard.damage.unwrap().damage), (1, Damage::Doorbell(u32::MAX)));
}

#[test]
fn a_panic_comes_with_its_file_if_that_can_be_read() {
    let (ram, mut devices) = machine();
    assert!(ram.write(0x10_0000, b"src/run.rs"));
    let len = record(&ram, 0, 0, Kind::PANIC, &PanicRecord { file: 0x10_0000, file_len: 10, line: 3 });
    record(&ram, len, 1, Kind::PANIC, &PanicRecord { file: u64::MAX, file_len: u64::MAX, line: 3 });
    let heard = devices.finish();
    let files: Vec<_> = heard
        .records
        .iter()
        .map(|r| match r {
            Record::Panic { file, .. } => file.as_deref(),
            _ => panic!("{r:?}"),
        })
        .collect();
    assert_eq!(files, [Some("src/run.rs"), None]);
}

#[test]
fn nobody_else_answers() {
    let (_, mut devices) = machine();
    assert_eq!(
        (devices.io_in(0x60, 1), devices.io_in(0x60, 2), devices.io_in(0xcf8, 4)),
        (0xff, 0xffff, u32::MAX)
    );
    assert_eq!((devices.mmio_read(0xfee0_0000, 4), devices.mmio_read(0, 8)), (0xffff_ffff, u64::MAX));
    assert_eq!(devices.io_out(0x80, 1, 5), Flow::Continue);
    assert_eq!(devices.mmio_write(0xfee0_0000, 4, 0), Flow::Continue);
    assert_eq!((devices.exit, devices.exhausted()), (None, None));
    assert_eq!(devices.io_out(port::EXIT, 4, 9), Flow::Stop);
    assert_eq!(devices.exit, Some(9));
    devices.io_out(port::DEBUG, 1, u32::from(b'x'));
    let heard = devices.finish();
    assert_eq!(heard.debug, b"x");
    assert_eq!(heard.track.len(), 1);
}
