use super::*;
use crate::vmx::controls::{Exit, Pin};

const HASWELL: [(u32, u64); 18] = [
    (0x480, 0x00da_0400_0000_0012),
    (0x481, 0x0000_007f_0000_0016),
    (0x482, 0xfff9_fffe_0401_e172),
    (0x483, 0x007f_ffff_0003_6dff),
    (0x484, 0x0000_ffff_0000_11ff),
    (0x485, 0x0000_0000_3004_81e5),
    (0x486, 0x8000_0021),
    (0x487, 0xffff_ffff),
    (0x488, 0x2000),
    (0x489, 0x0017_27ff),
    (0x48a, 0x2a),
    (0x48b, 0x0000_7cff_0000_0000),
    (0x48c, 0x0000_0f01_0633_4141),
    (0x48d, 0x0000_007f_0000_0016),
    (0x48e, 0xfff9_fffe_0400_6172),
    (0x48f, 0x007f_ffff_0003_6dfb),
    (0x490, 0x0000_ffff_0000_11fb),
    (0x491, 1),
];

fn read(index: u32) -> Option<u64> {
    HASWELL.iter().find(|(i, _)| *i == index).map(|(_, v)| *v)
}

#[test]
fn reads_the_msrs_that_the_earlier_ones_promise() {
    let caps = Caps::from_msrs(read).unwrap();
    for (index, name) in MSRS {
        assert_eq!(caps.msr(*index), read(*index), "{name}");
    }
    assert_eq!(Caps::from_msrs(|i| read(i).filter(|_| i != 0x48c)), None);
}

#[test]
fn decodes() {
    let caps = Caps::from_msrs(read).unwrap();
    assert_eq!((caps.revision(), caps.region_size(), caps.region_memory_type()), (0x12, 1024, 6));
    assert_eq!((caps.preemption_timer_rate(), caps.cr3_targets(), caps.max_msr_list()), (5, 4, 512));
    assert_eq!(caps.highest_field_index(), 21);
    assert_eq!(caps.allowed0(Word::Proc) & Proc::CR3_LOAD_EXITING, 0, "the TRUE MSR counts");
    assert!(caps.allows(Word::Proc2, Proc2::SHADOW_VMCS) && !caps.allows(Word::Proc2, Proc2::ENABLE_PML));
    assert!(!caps.allows(Word::Pin, Pin::POSTED_INTR));
    assert_eq!(caps.allowed1(Word::Exit) & Exit::ACTIVATE_SECONDARY_CONTROLS, 0);
    assert_eq!(caps.allowed1(Word::Exit2), 0);
}

#[test]
fn abilities() {
    let caps = Caps::from_msrs(read).unwrap();
    assert_eq!(caps.has("ept"), Some(true));
    assert_eq!(caps.has("pml"), Some(false));
    assert_eq!(caps.has("teleport"), None);
    for (i, name) in ABILITIES.iter().enumerate() {
        assert_eq!(Caps::NONE.has(name), Some(false));
        assert!(!ABILITIES[..i].contains(name), "{name} twice");
    }
}
