//! A scenario that names a rule of the manual breaks that rule: not only is the VM entry refused, it is refused for this reason.

use harness::{
    fixtures::{self, Images},
    render, verdict,
};
use l0_vmm::engine::{self, EngineKind, Limits};
use std::{collections::BTreeSet, sync::Arc};
use x86_spec::vmx::rules;

/// Rules that no scenario breaks: what the default profile has not, and what cannot be reached from outside SMM. The list may
/// only shrink.
const UNCOVERED_AT_MOST: usize = 80;

#[test]
fn the_named_rule_is_the_one_that_is_broken() {
    let folder = fixtures::folder(None).unwrap();
    let profile = fixtures::profile(&folder, fixtures::DEFAULT_PROFILE).unwrap();
    let images = Images::built_in().unwrap();
    let mut wrong = Vec::new();
    let mut covered = BTreeSet::new();
    for scenario in fixtures::select(&folder, &[], &profile.caps, &images.l2).unwrap() {
        if scenario.lacks(&profile.caps).is_some() {
            continue;
        }
        let mut engine = engine::open(EngineKind::Ref, Arc::clone(&profile)).unwrap();
        let (program, run) = verdict::run(&scenario, engine.as_mut(), &images, Limits::default()).unwrap();
        let broken = render::refusals_by_case(&run);
        covered.extend(broken.iter().map(|(_, rule)| rule.id));
        for (n, case) in program.cases.iter().enumerate() {
            let Some(named) = case.rule.as_deref().filter(|id| !id.starts_with("msrload.")) else { continue };
            let ids: BTreeSet<&str> =
                broken.iter().filter(|(c, _)| *c == n).map(|(_, rule)| rule.id).collect();
            // A case in which every entry succeeds is the legal twin of another.
            if !ids.is_empty() && !ids.contains(named) {
                wrong.push(format!("{} {}: names {named}, breaks {ids:?}", scenario.name, case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let uncovered: Vec<&str> = rules::all()
        .map(|r| r.id)
        .filter(|id| !id.starts_with("msrload.") && !covered.contains(id))
        .collect();
    println!("{} rules broken by scenarios, {} not: {uncovered:?}", covered.len(), uncovered.len());
    assert!(
        uncovered.len() <= UNCOVERED_AT_MOST,
        "{} rules are broken by no scenario: {uncovered:?}",
        uncovered.len()
    );
}
