//! Each rule is broken by a VMCS that differs in one step from one that all rules like.

extern crate std;

mod controls;
mod guest;
mod host;
mod legal;
mod segments;

use super::*;
use crate::vmx::caps::Caps;
use crate::vmx::field::Values;
use legal::{Base, MEMORY};
use std::collections::BTreeSet;
use std::format;
use std::vec::Vec;

/// One change.
#[derive(Clone, Copy, Debug)]
enum Op {
    Set(Field, u64),
    Or(Field, u64),
    Clear(Field, u64),
    Cpu(fn(&mut CpuState)),
    Caps(fn(&mut Caps)),
}
use Op::{Caps as Cap, Clear, Cpu, Or, Set};

/// A legal VMCS, and the change that breaks one rule.
struct Case {
    id: &'static str,
    base: Base,
    with: Vec<Op>,
    bad: Op,
}

fn case(id: &'static str, base: Base, with: &[Op], bad: Op) -> Case {
    Case { id, base, with: with.to_vec(), bad }
}

/// What a [`Ctx`] borrows.
#[derive(Clone)]
struct World {
    v: Values,
    caps: Caps,
    cpu: CpuState,
}

impl World {
    fn apply(&mut self, op: Op) {
        match op {
            Set(field, value) => self.v.set(field, value),
            Or(field, bits) => self.v.set(field, self.v[field] | bits),
            Clear(field, bits) => self.v.set(field, self.v[field] & !bits),
            Cpu(change) => change(&mut self.cpu),
            Cap(change) => change(&mut self.caps),
        }
    }

    fn broken(&self, stage: Stage) -> Vec<&'static str> {
        let ctx = Ctx { v: &self.v, caps: &self.caps, mem: &MEMORY, cpu: self.cpu };
        let first = first_broken(stage.rules(), &ctx).map(|rule| rule.id);
        assert_eq!(stage.first_broken(&ctx).map(|rule| rule.id), first, "the quick way differs");
        stage.rules().iter().filter(|rule| !(rule.check)(&ctx)).map(|rule| rule.id).collect()
    }

    fn all_broken(&self) -> Vec<&'static str> {
        Stage::ALL.into_iter().flat_map(|stage| self.broken(stage)).collect()
    }
}

fn cases() -> Vec<Case> {
    [controls::cases(), host::cases(), segments::cases(), guest::cases()].into_iter().flatten().collect()
}

#[test]
fn legal_ones_are_legal() {
    for base in Base::ALL {
        assert_eq!(base.world().all_broken(), [""; 0], "{base:?}");
    }
}

#[test]
fn each_mutant_breaks_its_rule_and_no_other() {
    let mut wrong = Vec::new();
    for Case { id, base, with, bad } in cases() {
        let mut world = base.world();
        with.iter().for_each(|op| world.apply(*op));
        let twin = world.all_broken();
        world.apply(bad);
        let stage = by_id(id).unwrap_or_else(|| panic!("no rule {id}")).stage;
        let earlier = Stage::ALL.into_iter().filter(|s| *s < stage).flat_map(|s| world.broken(s));
        let broken: Vec<_> = earlier.chain(world.broken(stage)).collect();
        if !twin.is_empty() || broken != [id] {
            wrong.push(format!("{id} {base:?}: {with:x?} breaks {twin:?}, then {bad:x?} breaks {broken:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Always obeyed: only the processor knows.
const NO_MUTANT: [&str; 1] = ["msrload.wrmsr"];

#[test]
fn each_rule_has_a_mutant() {
    let tested: BTreeSet<_> = cases().iter().map(|case| case.id).chain(NO_MUTANT).collect();
    let missing: Vec<_> = all().map(|rule| rule.id).filter(|id| !tested.contains(id)).collect();
    assert_eq!(missing, [""; 0]);
}

/// A rule reads no field that it does not name: its verdict depends on those alone. (Control words that activate other
/// control words are understood.)
#[test]
fn rules_name_the_fields_they_read() {
    const ACTIVATE: [Field; 2] = [Field::CPU_BASED_VM_EXEC_CONTROL, Field::VM_EXIT_CONTROLS];
    let mut wrong = BTreeSet::new();
    for Case { id, base, with, bad } in cases() {
        let rule = by_id(id).unwrap();
        let mut world = base.world();
        with.iter().for_each(|op| world.apply(*op));
        for obeyed in [true, false] {
            for field in Field::ALL.into_iter().filter(|f| !rule.fields.contains(f) && !ACTIVATE.contains(f))
            {
                let mut other = world.clone();
                other.v.set(field, !world.v[field]);
                let ctx = Ctx { v: &other.v, caps: &other.caps, mem: &MEMORY, cpu: other.cpu };
                if (rule.check)(&ctx) != obeyed {
                    wrong.insert((id, field));
                }
            }
            world.apply(bad);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ids_and_texts_are_well_formed() {
    let mut seen = BTreeSet::new();
    for rule in all().chain(OPTIONAL) {
        assert!(seen.insert(rule.id), "{} twice", rule.id);
        assert_eq!(by_id(rule.id).map(|r| r.text), Some(rule.text));
        let (area, rest) = rule.id.split_once('.').unwrap();
        let expected = match rule.stage {
            Stage::Controls => "ctl",
            Stage::Host => "host",
            Stage::Guest => "guest",
            Stage::MsrLoad => "msrload",
        };
        assert_eq!(area, expected, "{}", rule.id);
        let word = |w: &str| {
            !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        assert!(rest.split('.').all(word) && rest.split('.').count() <= 2, "{}", rule.id);
        assert!(!rule.title.is_empty() && !rule.fields.is_empty(), "{}", rule.id);
        assert!(!rule.text.ends_with('.') && !rule.text.contains("  "), "{}", rule.id);
        assert!(rule.qualification == qualification::NONE || rule.stage == Stage::Guest, "{}", rule.id);
        let fields: BTreeSet<_> = rule.fields.iter().collect();
        assert_eq!(fields.len(), rule.fields.len(), "{}: a field twice", rule.id);
    }
    assert_eq!(by_id("guest.rflags.resrved").map(|r| r.id), None);
}

#[test]
fn outcomes() {
    assert_eq!(Stage::Controls.outcome(), Outcome::Fail(InstructionError(7)));
    assert_eq!(Stage::Host.outcome(), Outcome::Fail(InstructionError(8)));
    assert_eq!(Stage::Guest.outcome(), Outcome::Exit(Reason(33)));
    assert_eq!(Stage::MsrLoad.outcome(), Outcome::Exit(Reason(34)));
}

#[test]
fn single_msr_entries() {
    let outside = CpuState::default();
    let id = |entry, cpu| refused_entry(entry, cpu).map(|rule| rule.id);
    assert_eq!(id(0xc000_0100, outside), Some("msrload.fs_gs_base"));
    assert_eq!(id(0x8ff, outside), Some("msrload.x2apic"));
    assert_eq!(id(0x1_0000_0277, outside), Some("msrload.reserved"));
    assert_eq!(id(0x9b, outside), Some("msrload.smm"));
    assert_eq!(id(0x9b, CpuState { in_smm: true, ..outside }), None);
    assert_eq!(id(0x277, outside), None);
}
