use super::*;
use proptest::prelude::*;
use rig_abi::record::Outcome;
use zerocopy::{Immutable, IntoBytes};

fn record<B: IntoBytes + Immutable>(stream: &mut Vec<u8>, kind: u16, seq: u32, step: u32, body: &B) {
    let len = (size_of::<Header>() + size_of::<B>()) as u32;
    stream.extend_from_slice(Header { magic: MAGIC, kind, len, seq, step }.as_bytes());
    stream.extend_from_slice(body.as_bytes());
}

fn step(stream: &mut Vec<u8>, seq: u32) {
    let body =
        StepRecord { outcome: Outcome::OK.0, error: 0, vector: 0, op: 12, value: u64::from(seq), value2: 0 };
    record(stream, Kind::STEP.0, seq, seq, &body);
}

fn steps(n: u32) -> Vec<u8> {
    let mut stream = Vec::new();
    (0..n).for_each(|seq| step(&mut stream, seq));
    stream
}

#[test]
fn reads_every_kind() {
    let mut stream = Vec::new();
    record(&mut stream, 1, 0, 0, &CaseRecord { case: 7, outcome: 0, error: 0, op: 0 });
    record(&mut stream, 3, 1, 1, &ExitRecord { reason: 10, rip: 0x1_0000, ..ExitRecord::default() });
    record(&mut stream, 4, 2, 2, &RegsRecord { regs: [9; 16] });
    record(
        &mut stream,
        5,
        3,
        3,
        &RunRecord { exits: 5, end: 0, outcome: 1, error: 0, reasons: 80, counts: [0; 80] },
    );
    record(&mut stream, 6, 4, 3, &TrapRecord { vector: 13, error: 0, rip: 1, rsp: 2, rflags: 3, cr2: 4 });
    record(&mut stream, 7, 5, 3, &PanicRecord { file: 1, file_len: 2, line: 3 });
    record(&mut stream, 8, 6, 4, &EndRecord { steps: 5, records: 6 });
    let (records, damage) = decode(&stream);
    assert_eq!(damage, None);
    assert!(matches!(&records[0], Record::Case { body, .. } if body.case == 7));
    assert!(matches!(&records[1], Record::Exit { body, .. } if body.rip == 0x1_0000));
    assert!(matches!(&records[2], Record::Regs { body, .. } if body.regs == [9; 16]));
    assert!(matches!(&records[3], Record::Run { body, .. } if body.exits == 5));
    assert!(matches!(&records[4], Record::Trap { body, .. } if body.vector == 13));
    assert!(matches!(&records[5], Record::Panic { body, file: None, .. } if body.line == 3));
    assert!(matches!(&records[6], Record::End { header, body } if body.records == 6 && header.step == 4));
    assert_eq!(exits(&records), 6);
}

#[test]
fn unknown_kinds_and_bodies_of_another_size_are_kept() {
    let mut stream = steps(1);
    record(&mut stream, 900, 1, 5, &[1_u64, 2]);
    record(&mut stream, Kind::REGS.0, 2, 5, &[3_u64]);
    step(&mut stream, 3);
    let (records, damage) = decode(&stream);
    assert_eq!((records.len(), damage), (4, None));
    assert!(
        matches!(&records[1], Record::Unknown { header, bytes } if header.kind == 900 && bytes.len() == 16)
    );
    assert!(matches!(&records[2], Record::Unknown { header, bytes } if header.kind == 4 && bytes.len() == 8));
}

#[test]
fn damage_is_named_and_what_is_before_it_is_kept() {
    let damaged = |at: usize, byte: u8| {
        let mut stream = steps(3);
        stream[at] = byte;
        let (records, damage) = decode(&stream);
        let damage = damage.unwrap();
        assert_eq!((records.len(), damage.offset, damage.len, damage.seq), (1, 48, 144, 1));
        damage.damage
    };
    assert_eq!(damaged(48, 0), Damage::Magic(0x5200));
    assert_eq!(damaged(52, 47), Damage::Length(47));
    assert_eq!(damaged(52, 8), Damage::Length(8));
    assert_eq!(damaged(53, 1), Damage::Cut { len: 0x130, left: 96 });
    assert_eq!(damaged(56, 2), Damage::Order(2));
    let (records, damage) = decode(&steps(2)[..55]);
    assert_eq!(records.len(), 1);
    let text = damage.unwrap().to_string();
    assert_eq!(text, "records are damaged at byte 48 of 55 (record 1): 7 bytes are too few for a header");
}

#[test]
fn exits_in_a_run_loop_count_once() {
    let exit = |stream: &mut Vec<u8>, seq, step| record(stream, 3, seq, step, &ExitRecord::default());
    let run = |stream: &mut Vec<u8>, seq, step, exits| {
        record(
            stream,
            5,
            seq,
            step,
            &RunRecord { exits, end: 0, outcome: 1, error: 0, reasons: 80, counts: [0; 80] },
        );
    };
    let mut stream = Vec::new();
    exit(&mut stream, 0, 1);
    exit(&mut stream, 1, 2);
    exit(&mut stream, 2, 2);
    run(&mut stream, 3, 2, 2);
    run(&mut stream, 4, 3, 1000);
    let (records, damage) = decode(&stream);
    assert_eq!((exits(&records), damage), (1003, None));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (records, damage) = decode(&bytes);
        prop_assert!(damage.is_some() || bytes.is_empty() || !records.is_empty());
        prop_assert_eq!(valid_prefix(&bytes, 0), damage.map_or(bytes.len(), |d| d.offset));
        let _ = exits(&records);
    }

    #[test]
    fn one_changed_byte_costs_nothing_before_it(at in 0_usize..480, byte in any::<u8>()) {
        let mut stream = steps(10);
        stream[at] = byte;
        prop_assert!(decode(&stream).0.len() >= at / 48);
    }
}
