use super::*;

#[test]
fn rows_are_sorted_and_unique() {
    for word in Word::ALL {
        assert!(word.bits().windows(2).all(|w| w[0].bit < w[1].bit), "{word:?}");
        assert_eq!(Word::of_field(word.field()), Some(word));
        for bit in word.bits() {
            assert_eq!(word.bit_by_name(bit.ident), Some(bit));
            assert_eq!(word.bit_by_name(bit.name), Some(bit));
        }
    }
    assert_eq!(Word::Proc.bit_by_name("hlt EXITING").map(Bit::mask), Some(Proc::HLT_EXITING));
}
