//! The README's list of what is not modelled is that of the code, and nothing is missing from both.

use super::*;
use iced_x86::{Code, CpuidFeature};
use std::collections::BTreeSet;

/// The README's table "Not modelled", its names.
fn listed() -> BTreeSet<String> {
    let text = include_str!("../../README.md");
    let from = text.find("### Not modelled").unwrap();
    let text = &text[from..];
    let text = &text[..text.find("\n## ").unwrap()];
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_lists_what_is_not_modelled() {
    let rows: BTreeSet<String> = beyond::NOT_MODELLED.iter().map(|row| format!("{:?}", row.0)).collect();
    let listed = listed();
    let missing: Vec<_> = rows.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&rows).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not in the README: {missing:?}; only there: {stale:?}");
}

#[test]
fn everything_that_decodes_is_modelled_or_listed() {
    let mut missing = BTreeSet::new();
    for code in Code::values() {
        let mut insn = Instruction::default();
        insn.set_code(code);
        // What cannot be decoded; and moves of segment registers, which the operands tell.
        let pseudo = matches!(
            insn.mnemonic(),
            Mnemonic::INVALID
                | Mnemonic::Db
                | Mnemonic::Dw
                | Mnemonic::Dd
                | Mnemonic::Dq
                | Mnemonic::Zero_bytes
        );
        let by_operand = matches!(insn.mnemonic(), Mnemonic::Mov | Mnemonic::Push | Mnemonic::Pop);
        if !pseudo && !by_operand && crate::block::handler(&insn).is_none() {
            missing.insert(format!("{:?} ({:?})", insn.mnemonic(), insn.cpuid_features()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn each_family_that_is_not_modelled_exists() {
    let known: BTreeSet<CpuidFeature> =
        Code::values().flat_map(|code| code.cpuid_features().to_vec()).collect();
    for (feature, _) in beyond::NOT_MODELLED {
        assert!(known.contains(feature), "{feature:?}");
    }
}
