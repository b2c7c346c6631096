//! The list of behaviours is one that scenarios and traces can count on.

use l2_guests::{BEHAVIOURS, behaviour, behaviours::FAMILIES};
use std::collections::HashSet;

#[test]
fn names_are_unique_and_found() {
    let mut seen = HashSet::new();
    for b in BEHAVIOURS {
        assert!(seen.insert(b.name), "{} is there twice", b.name);
        assert_eq!(behaviour(b.name), Some(b));
    }
    assert_eq!(behaviour("nothing"), None);
    assert_eq!(BEHAVIOURS.len(), FAMILIES.iter().map(|(_, list)| list.len()).sum::<usize>());
}

#[test]
fn widths_ascend_and_texts_are_there() {
    for b in BEHAVIOURS {
        assert!(!b.bits.is_empty() && b.bits.is_sorted(), "{}: {:?}", b.name, b.bits);
        assert!(b.bits.iter().all(|w| [16, 32, 64].contains(w)), "{}: {:?}", b.name, b.bits);
        assert!(b.text.ends_with(['.', ')']) && b.text == b.text.trim(), "{}: {:?}", b.name, b.text);
    }
}

#[test]
fn points_are_unique_in_each_behaviour() {
    for b in BEHAVIOURS {
        let names: HashSet<_> = b.points.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), b.points.len(), "{}", b.name);
        assert!(!b.points.is_empty(), "{}: no point at its end", b.name);
    }
}

#[test]
fn arguments_are_registers() {
    const REGISTERS: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    for b in BEHAVIOURS {
        for (register, text) in b.args {
            let n = REGISTERS.iter().position(|r| r == register);
            assert!(n.is_some_and(|n| n < 8 || b.bits == [64]), "{}: {register}", b.name);
            assert!(!text.is_empty(), "{}: {register}", b.name);
        }
    }
}
