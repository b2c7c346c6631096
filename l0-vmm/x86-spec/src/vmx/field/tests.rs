use super::*;

#[test]
fn encodings_and_names_lead_back() {
    for field in Field::ALL {
        assert_eq!(Field::from_encoding(field.encoding()), Some((field, false)));
        assert_eq!(Field::from_name(field.name()), Some(field));
        assert_eq!(Field::from_index(field.index()), Some(field));
        let high = Field::from_encoding(field.encoding() | 1);
        assert_eq!(high, (field.width() == Width::W64).then_some((field, true)), "{field}");
    }
    assert!(Field::ALL.windows(2).all(|w| w[0].encoding() < w[1].encoding()));
    assert_eq!(Field::from_index(Field::COUNT), None);
}

#[test]
fn only_rows_have_encodings() {
    let known = (0..=0xffff).filter(|e| Field::from_encoding(*e).is_some_and(|(_, high)| !high)).count();
    assert_eq!(known, Field::COUNT);
    assert_eq!(Field::from_encoding(0x1_0000 | Field::GUEST_RIP.encoding()), None);
    assert_eq!(Field::from_encoding(0x8000_0000 | Field::GUEST_RIP.encoding()), None);
}

#[test]
fn kinds_and_widths_follow_the_names() {
    for field in Field::ALL {
        let exit_address = matches!(field, Field::GUEST_PHYSICAL_ADDRESS | Field::GUEST_LINEAR_ADDRESS);
        let unnamed_guest = matches!(field, Field::VMCS_LINK_POINTER | Field::VMX_PREEMPTION_TIMER_VALUE);
        let kind = if field.name().starts_with("HOST_") {
            Kind::Host
        } else if (field.name().starts_with("GUEST_") && !exit_address) || unnamed_guest {
            Kind::Guest
        } else {
            continue;
        };
        assert_eq!(field.kind(), kind, "{field}");
        if field.name().ends_with("_SELECTOR") {
            assert_eq!(field.width(), Width::W16);
        }
        if field.name().ends_with("_BASE") {
            assert_eq!(field.width(), Width::Natural);
        }
    }
}

#[test]
fn values_keep_to_the_width() {
    let mut values = Values::new();
    values.set(Field::GUEST_CS_SELECTOR, 0x12345);
    assert_eq!(values[Field::GUEST_CS_SELECTOR], 0x2345);
    values[Field::GUEST_RIP] = 7;
    assert_eq!(values.get(Field::GUEST_RIP), 7);
}
