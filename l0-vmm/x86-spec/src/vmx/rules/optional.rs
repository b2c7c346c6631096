//! Checks that the manual leaves to the processor.

use super::context::implies;
use super::guest_state::blocking;
use super::{Rule, Stage, qualification};
use crate::vmx::field::Field as F;
use crate::vmx::intr_info::Kind;

pub(super) const ROWS: &[Rule] = &[Rule {
    id: "guest.interruptibility.nmi_injection_sti",
    stage: Stage::Guest,
    fields: &[F::GUEST_INTERRUPTIBILITY_INFO, F::VM_ENTRY_INTR_INFO_FIELD],
    title: "Checks on Guest Non-Register State",
    text: "there is no blocking by STI if an NMI is injected; not all processors check this",
    qualification: qualification::NMI_INJECTION,
    check: |c| implies(c.injects(Kind::NMI), c.v[F::GUEST_INTERRUPTIBILITY_INFO] & blocking::STI == 0),
}];
