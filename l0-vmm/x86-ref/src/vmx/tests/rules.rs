//! Looking at marked rules finds what looking at all of them finds.

use super::*;
use crate::vmx::checks::{activator, tests_only};
use x86_spec::vmx::rules::{Ctx, PhysRead, Stage};

struct NoMemory;

impl PhysRead for NoMemory {
    fn read_u32(&self, _: u64) -> Option<u32> {
        None
    }
    fn read_u64(&self, _: u64) -> Option<u64> {
        None
    }
}

/// xorshift64.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn rules_read_the_fields_that_they_list() {
    let mut state = 0x1234_5678_9abc_def1;
    let rig = Rig::ready();
    let caps = caps();
    let cpu = tests_only::cpu_state(&rig.cpu);
    for rule in x86_spec::vmx::rules::all() {
        for _ in 0..40 {
            let mut v = rig.cpu.vmx.vmcs.v.clone();
            for field in rule.fields {
                if random(&mut state) & 1 == 0 {
                    v.set(*field, random(&mut state) >> (random(&mut state) & 63));
                }
            }
            let before = (rule.check)(&Ctx { v: &v, caps: &caps, mem: &NoMemory, cpu });
            let read = |f: &Field| {
                rule.fields.contains(f) || rule.fields.iter().any(|word| activator(*word) == Some(*f))
            };
            for field in Field::ALL.into_iter().filter(|f| !read(f)) {
                let old = v[field];
                v.set(field, random(&mut state));
                let after = (rule.check)(&Ctx { v: &v, caps: &caps, mem: &NoMemory, cpu });
                assert_eq!(before, after, "{} also reads {field}", rule.id);
                v.set(field, old);
            }
        }
    }
}

#[test]
fn marks_find_what_a_full_look_finds() {
    let mut state = 0xfeed_beef_0bad_cafe;
    let mut rig = Rig::ready();
    for _ in 0..3000 {
        let field = Field::ALL[(random(&mut state) % Field::COUNT as u64) as usize];
        let old = rig.field(field);
        if !field.exists(&caps()) || field.kind() == x86_spec::vmx::field::Kind::ReadOnly {
            continue;
        }
        rig.set(field, old ^ 1 << (random(&mut state) & 63));
        rig.cpu.entry_checks_begin();
        for stage in [Stage::Controls, Stage::Host, Stage::Guest] {
            let all = tests_only::full_look(&rig.cpu, stage).map(|r| r.id);
            assert_eq!(rig.cpu.entry_rule_broken(stage).map(|r| r.id), all, "{field}");
        }
        if random(&mut state) & 3 != 0 {
            rig.set(field, old);
        }
    }
}
