//! A scenario that names a rule of the manual breaks that rule: not only is the VM entry refused, it is refused for this reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use harness::{
    fixtures::{self, Images},
    render, verdict,
};
use l0_vmm::engine::{self, EngineKind, Limits};
use std::collections::BTreeSet;
use x86_spec::vmx::rules;

/// Rules that no scenario breaks, and why. A rule that is not here must be broken by a scenario; one that is here must not, so that
/// the list can only shrink on purpose.
const NOT_BROKEN: &[(&str, &[&str])] = &[
    (
        "no reviewed profile offers the feature",
        &[
            "ctl.pt.needs_ept",
            "ctl.pt.needs_entry_load",
            "ctl.pt.needs_exit_clear",
            "ctl.pasid.low_address",
            "ctl.pasid.high_address",
            "ctl.hlat.needs_ept",
            "ctl.hlat.pointer",
            "ctl.hlat.prefix_size",
            "ctl.paging_write.needs_ept",
            "ctl.paging_verification.needs_ept",
            "ctl.exit2.reserved",
            "host.fred.config",
            "host.fred.rsp",
            "host.fred.ssp",
            "host.cr4.fred",
            "host.cet.upper",
            "guest.cr4.fred",
            "guest.bndcfgs.reserved",
            "guest.bndcfgs.canonical",
            "guest.rtit_ctl.reserved",
            "guest.lbr_ctl.reserved",
            "guest.uinv.upper",
            "guest.fred.config",
            "guest.fred.rsp",
            "guest.fred.ssp",
            "guest.fred.ss_dpl",
            "guest.fred.cs_l",
            "guest.fred.iopl",
            "guest.fred.sti",
        ],
    ),
    (
        "only inside SMM, which is not modelled",
        &[
            "ctl.entry.smm",
            "ctl.entry.deactivate_dual_monitor",
            "ctl.entry.smm_or_deactivate",
            "guest.activity.smm",
            "guest.interruptibility.smi_entry",
            "guest.link_pointer.executive",
        ],
    ),
    (
        "a processor in IA-32e mode breaks host.ia32e.addr_space first",
        &["host.ia32e.guest", "host.cr4.pcide", "host.rip.upper"],
    ),
    (
        "only a processor that lacks what the default profile has breaks it, or one that has what it lacks",
        &["ctl.eptp.ad", "guest.activity.supported", "guest.pending_dbg.rtm_blocking"],
    ),
];

#[test]
fn the_named_rule_is_the_one_that_is_broken() {
    let folder = fixtures::folder(None).unwrap();
    let images = Images::built_in().unwrap();
    let mut wrong = Vec::new();
    let mut covered = BTreeSet::new();
    for (scenario, profile) in fixtures::all_reviewed(&folder, &images.l2).unwrap() {
        let mut engine = engine::open(EngineKind::Ref, profile).unwrap();
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
    let listed: BTreeSet<&str> = NOT_BROKEN.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    for rule in rules::all().filter(|r| !r.id.starts_with("msrload.")) {
        match (covered.contains(rule.id), listed.contains(rule.id)) {
            (false, false) => {
                panic!("no scenario breaks {}: write one (\"{}\": {})", rule.id, rule.title, rule.text)
            }
            (true, true) => panic!("a scenario breaks {}: take it off the list", rule.id),
            _ => {}
        }
    }
}
