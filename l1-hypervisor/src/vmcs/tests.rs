use super::*;
use std::vec::Vec;

/// A processor of about 2013: everything that the default state makes use of.
fn caps() -> Caps {
    let mut caps = Caps::NONE;
    let word = |required: u64, allowed: u64| allowed << 32 | required;
    caps.basic = 1 << 55 | 0x1000 << 32 | 0x11;
    for (msr, value) in [
        (0x481, word(0x16, 0x7f)),
        (0x482, word(0x0401_e172, 0xfff9_fffe)),
        (0x483, word(0x3_6dff, 0x7f_ffff)),
        (0x484, word(0x11ff, 0xffff)),
        (0x486, 0x8000_0021),
        (0x487, 0xffff_ffff),
        (0x488, 0x2000),
        (0x489, 0x17_27ff),
        (0x48b, word(0, 0x7fff)),
        (0x48c, 0xf01_0633_4141),
        (0x48d, word(0x16, 0x7f)),
        (0x48e, word(0x0400_6172, 0xfff9_fffe)),
        (0x48f, word(0x3_6dfb, 0x7f_ffff)),
        (0x490, word(0x11fb, 0xffff)),
    ] {
        assert!(caps.set_msr(msr, value), "{msr:#x}");
    }
    caps
}

fn fields(mode: Mode, entry: u64, caps: &Caps) -> Vec<(Field, u64)> {
    let mut all = Vec::new();
    let host = Host { rip: 0x10_0000, cs: 8, data: 16, tr: 24, ..Host::default() };
    setup(mode, entry, &host, caps, (), |field, value| {
        all.push((field, value));
        Ok(())
    })
    .unwrap();
    all
}

fn value(all: &[(Field, u64)], field: Field) -> u64 {
    all.iter().find(|f| f.0 == field).map_or_else(|| panic!("{field} is not written"), |f| f.1)
}

#[test]
fn no_field_is_written_twice_or_beyond_its_width() {
    for &mode in Mode::ALL {
        let all = fields(mode, layout::L2_IMAGE, &caps());
        for (i, &(field, value)) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|f| f.0 != field), "{field} twice");
            assert_eq!(value & !field.mask(), 0, "{field}");
            assert!(field.exists(&caps()));
        }
    }
}

#[test]
fn controls_are_allowed_and_the_modes_differ_where_they_must() {
    let caps = caps();
    for &mode in Mode::ALL {
        let all = fields(mode, layout::L2_IMAGE, &caps);
        for word in [Word::Pin, Word::Proc, Word::Proc2, Word::Exit, Word::Entry] {
            let bits = value(&all, word.field());
            assert_eq!(bits & !caps.allowed1(word), 0);
            assert_eq!(!bits & caps.allowed0(word), 0);
        }
        let proc = value(&all, Word::Proc.field());
        assert_eq!(proc & (Proc::CR3_LOAD_EXITING | Proc::CR3_STORE_EXITING | Proc::USE_MSR_BITMAPS), 0);
        let unrestricted = value(&all, Word::Proc2.field()) & Proc2::UNRESTRICTED_GUEST != 0;
        assert_eq!(unrestricted, matches!(mode, Mode::REAL | Mode::PROTECTED));
        assert_eq!(value(&all, Word::Entry.field()) & Entry::IA32E_MODE != 0, mode == Mode::LONG64);
        assert_eq!(value(&all, Field::GUEST_CR0) & cr0::PG != 0, l2::cr3(mode) != 0);
    }
}

#[test]
fn real_mode_begins_at_the_linear_address() {
    let caps = caps();
    for entry in [layout::L2_IMAGE + 0x123, layout::L2_CODE + 5, 0x7c05] {
        let all = fields(Mode::REAL, entry, &caps);
        let base = value(&all, Field::GUEST_CS_BASE);
        assert_eq!(base, value(&all, Field::GUEST_CS_SELECTOR) << 4);
        assert_eq!(base + value(&all, Field::GUEST_RIP), entry);
        assert_eq!(value(&all, Field::GUEST_SS_BASE) + value(&all, Field::GUEST_RSP), layout::L2_STACK_TOP);
    }
    assert_eq!(real_entry(layout::L2_CODE + 5), Some((layout::L2_CODE, 5)));
    assert_eq!(real_entry(1 << 20), None);
    let refused = setup(Mode::REAL, 1 << 20, &Host::default(), &caps, 7, |_, _| Ok(()));
    assert_eq!(refused, Err(7));
}

#[test]
fn a_processor_without_ept_gets_no_field_of_it() {
    let mut caps = caps();
    caps.set_msr(0x48b, 0);
    let all = fields(Mode::PAGED32, layout::L2_IMAGE, &caps);
    for field in [Field::EPT_POINTER, Field::GUEST_PDPTR0, Field::VIRTUAL_PROCESSOR_ID] {
        assert!(all.iter().all(|f| f.0 != field), "{field}");
    }
    // Without unrestricted guest, protection and paging are L1's.
    let all = fields(Mode::LONG64, layout::L2_IMAGE, &caps);
    assert_eq!(value(&all, Field::CR0_GUEST_HOST_MASK), 0x8000_0021);
}

#[test]
fn an_error_ends_it() {
    let mut left = 3;
    let end = setup(Mode::LONG64, 0, &Host::default(), &caps(), Field::EPT_POINTER, |field, _| {
        left -= 1;
        if left == 0 { Err(field) } else { Ok(()) }
    });
    assert_eq!(end, Err(CONSTANT[2].0));
    assert_eq!(left, 0);
}
