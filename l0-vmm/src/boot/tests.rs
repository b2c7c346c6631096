use super::*;
use crate::{engine::Limits, image::Segment as Piece};
use rig_abi::script::Step;
use std::sync::Arc;
use zerocopy::FromBytes;

fn image(address: u64, bytes: &[u8], size: u64) -> Arc<Image> {
    let piece = Piece { address, bytes: bytes.to_vec(), size, executable: true, writable: false };
    Arc::new(Image { segments: vec![piece], entry: address, symbols: Vec::new(), sensitive: Vec::new() })
}

fn job() -> Job {
    Job {
        l1: image(layout::L1_IMAGE, &[0xf4, 1], 0x1000),
        l2: image(layout::L2_IMAGE + 0x10, &[7, 8, 9], 3),
        script: Script { steps: vec![Step { op: 9, a: 5, ..Step::default() }; 2], bytes: vec![0xaa; 3] },
        limits: Limits::default(),
    }
}

#[test]
fn memory_is_as_l1_is_told() {
    let ram = Ram::new().unwrap();
    load(&ram, &job()).unwrap();
    assert_eq!(ram.bytes(layout::L1_IMAGE, 3), [0xf4, 1, 0]);
    let bytes = ram.bytes(layout::BOOT_INFO, size_of::<boot::BootInfo>());
    let info = boot::BootInfo::read_from_bytes(&bytes).unwrap();
    assert_eq!((info.magic, info.version, info.steps), (boot::MAGIC, rig_abi::VERSION, 2));
    assert_eq!((info.script_len, info.l2_len), (83, 0x13));
    assert_eq!(ram.bytes(info.script, 83)[80..], [0xaa; 3]);
    assert_eq!(ram.bytes(info.l2 + 0x10, 3), [7, 8, 9]);
    assert_eq!((info.ram, info.ring, info.ring_len), (layout::RAM_SIZE, layout::RING, layout::RING_SIZE));
}

/// Walks the paging structures as a processor does.
fn translate(ram: &Ram, linear: u64) -> u64 {
    let entry = |table: u64, shift: u32| {
        let at = (table & !0xfff) + (linear >> shift & 0x1ff) * 8;
        u64::from_le_bytes(ram.bytes(at, 8).try_into().unwrap())
    };
    let pml4e = entry(layout::L1_PAGING, 39);
    let pdpte = entry(pml4e, 30);
    let pde = entry(pdpte, 21);
    assert_eq!((pml4e & 0x83, pdpte & 0x83, pde & 0x83), (3, 3, 0x83), "{linear:#x}");
    pde & !0x1f_ffff | linear & 0x1f_ffff
}

#[test]
fn the_first_4_gib_are_mapped_to_themselves() {
    let ram = Ram::new().unwrap();
    load(&ram, &job()).unwrap();
    for linear in [0, 0x1f_ffff, 0x10_0000, 0x4000_0000, 0xbfff_ffff, 0xffff_ffff] {
        assert_eq!(translate(&ram, linear), linear);
    }
    let size = layout::PLACES.iter().find(|p| p.0 == "L1_PAGING").unwrap().2;
    assert!(size_of_val(&paging()[..]) as u64 <= size);
}

#[test]
fn what_does_not_fit_is_refused() {
    let ram = Ram::new().unwrap();
    let error = |change: fn(&mut Job)| {
        let mut job = job();
        change(&mut job);
        load(&ram, &job).unwrap_err().to_string()
    };
    assert_eq!(
        error(|j| j.l1 = image(0x1f_f000, &[1], 0x1001)),
        "the segment of L1 at 0x1ff000 (size 0x1001) does not lie in 0x100000..0x200000"
    );
    assert!(error(|j| j.l1 = image(u64::MAX, &[1], 2)).contains("0xffffffffffffffff"));
    assert_eq!(
        error(|j| j.l2 = image(0x1_fffe, &[1], 4)),
        "the L2 image lies at 0x1fffe..0x20002, not in the 0x10000 bytes from 0x10000"
    );
    assert_eq!(
        error(|j| j.script.bytes = vec![0; layout::SCRIPT_MAX as usize]),
        "the script has 0x200050 bytes, more than the 0x200000 that there is room for"
    );
}

#[test]
fn selectors_mean_what_the_segments_hold() {
    let state = state(1);
    for s in [&state.seg[1], &state.seg[2], &state.tr] {
        let descriptor = GDT[usize::from(s.selector >> 3)];
        assert_eq!((descriptor >> 40) as u32 & 0xf0ff, s.rights & 0xf0ff, "selector {:#x}", s.selector);
    }
    assert_eq!(state.gdtr.limit, 39);
}
