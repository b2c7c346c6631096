//! The checks of VM entry, one row each. SDM: "Checks on VMX Controls and Host-State Area", "Checking and Loading Guest
//! State", "Loading MSRs".
//!
//! The manual lets a processor check in any order within a stage; the rows are in the order of its text. A row is
//! checked without regard to the rows before it, so a VMCS can break several.

mod context;
mod controls_entry;
mod controls_exec;
mod controls_exit;
mod guest_control;
mod guest_segment;
mod guest_state;
mod host;
mod msr_load;
mod optional;
mod segments;

use super::error::InstructionError;
use super::exit::Reason;
use super::field::Field;
pub use context::{CpuState, Ctx, PhysRead};
pub use msr_load::refused_entry;

/// When a rule is checked, and so what a VM entry that breaks it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The VM-execution, VM-exit and VM-entry control fields.
    Controls,
    /// The host-state area.
    Host,
    /// The guest-state area.
    Guest,
    /// The list of MSRs that VM entry loads.
    MsrLoad,
}

/// How a VM entry that breaks a rule ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// VMLAUNCH or VMRESUME fails with this error (VMfailValid) and the next instruction runs.
    Fail(InstructionError),
    /// A VM exit with this reason, the entry-failure bit set.
    Exit(Reason),
}

impl Stage {
    /// Every stage, in the order of the checks.
    pub const ALL: [Self; 4] = [Self::Controls, Self::Host, Self::Guest, Self::MsrLoad];

    /// How a VM entry that breaks a rule of this stage ends.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Controls => Outcome::Fail(InstructionError::ENTRY_INVALID_CONTROL_FIELD),
            Self::Host => Outcome::Fail(InstructionError::ENTRY_INVALID_HOST_STATE_FIELD),
            Self::Guest => Outcome::Exit(Reason::INVALID_STATE),
            Self::MsrLoad => Outcome::Exit(Reason::MSR_LOAD_FAIL),
        }
    }

    /// The rules of the stage.
    pub const fn rules(self) -> &'static [Rule] {
        match self {
            Self::Controls => CONTROLS,
            Self::Host => HOST,
            Self::Guest => GUEST,
            Self::MsrLoad => MSR_LOAD,
        }
    }

    /// The first rule of the stage that is broken. The quick way to ask: the checks are one function, and the rows are
    /// looked at only if it fails.
    #[inline]
    pub fn first_broken(self, ctx: &Ctx<'_>) -> Option<&'static Rule> {
        let obeyed = match self {
            Self::Controls => {
                controls_exec::obeyed(ctx) && controls_exit::obeyed(ctx) && controls_entry::obeyed(ctx)
            }
            Self::Host => host::obeyed(ctx),
            Self::Guest => {
                guest_control::obeyed(ctx) && guest_segment::obeyed(ctx) && guest_state::obeyed(ctx)
            }
            Self::MsrLoad => msr_load::obeyed(ctx),
        };
        if obeyed { None } else { first_broken(self.rules(), ctx) }
    }
}

/// One check of VM entry.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The name, for scenarios and reports: `guest.rflags.reserved`.
    pub id: &'static str,
    /// When it is checked.
    pub stage: Stage,
    /// The VMCS fields that it reads, the one that it is about first; control words that switch it on come last.
    pub fields: &'static [Field],
    /// The title of the manual's section.
    pub title: &'static str,
    /// What must hold, in one sentence.
    pub text: &'static str,
    /// The exit qualification, for a rule of [`Stage::Guest`].
    pub qualification: u64,
    /// Whether it is obeyed.
    pub check: fn(&Ctx<'_>) -> bool,
}

impl PartialEq for Rule {
    /// Ids are unique.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

/// Exit qualifications of a VM entry that failed for invalid guest state. SDM: "VM-Entry Failures During or After
/// Loading Guest State".
pub mod qualification {
    /// Nothing more to say.
    pub const NONE: u64 = 0;
    /// A problem with the page-directory-pointer-table entries.
    pub const PDPTE: u64 = 2;
    /// An NMI was to be injected while events were blocked by STI.
    pub const NMI_INJECTION: u64 = 3;
    /// A problem with the VMCS link pointer.
    pub const LINK_POINTER: u64 = 4;
}

/// Rows of one stage, grouped by the manual's sections; from them the table and one function that checks it all.
macro_rules! rules {
    ($stage:ident; $(in $title:literal, $qualification:ident {
        $($id:literal [$($field:ident),+] $text:literal, $check:expr;)+
    })+) => {
        pub(super) const ROWS: &[super::Rule] = &[$($(super::Rule {
            id: $id,
            stage: super::Stage::$stage,
            fields: &[$(super::Field::$field),+],
            title: $title,
            text: $text,
            qualification: super::qualification::$qualification,
            check: $check,
        }),+),+];

        /// Whether every rule is obeyed.
        pub(super) fn obeyed(ctx: &super::Ctx<'_>) -> bool {
            true $($(&& {
                let check: fn(&super::Ctx<'_>) -> bool = $check;
                check(ctx)
            })+)+
        }
    };
}
use rules;

/// What stands in an array before its rows are copied there.
const BLANK: Rule = Rule {
    id: "",
    stage: Stage::Controls,
    fields: &[],
    title: "",
    text: "",
    qualification: qualification::NONE,
    check: |_| true,
};

const fn join<const N: usize>(parts: &[&[Rule]]) -> [Rule; N] {
    let mut all = [BLANK; N];
    let (mut part, mut n) = (0, 0);
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[n] = parts[part][i];
            (n, i) = (n + 1, i + 1);
        }
        part += 1;
    }
    assert!(n == N, "a row is missing");
    all
}

const CONTROLS_LEN: usize =
    controls_exec::ROWS.len() + controls_exit::ROWS.len() + controls_entry::ROWS.len();
const GUEST_LEN: usize = guest_control::ROWS.len() + guest_segment::ROWS.len() + guest_state::ROWS.len();

/// SDM: "Checks on VMX Controls".
pub const CONTROLS: &[Rule] =
    &join::<CONTROLS_LEN>(&[controls_exec::ROWS, controls_exit::ROWS, controls_entry::ROWS]);

/// SDM: "Checks on Host Control Registers, MSRs, and SSP" and the sections after it.
pub const HOST: &[Rule] = host::ROWS;

/// SDM: "Checks on the Guest State Area".
pub const GUEST: &[Rule] = &join::<GUEST_LEN>(&[guest_control::ROWS, guest_segment::ROWS, guest_state::ROWS]);

/// SDM: "Loading MSRs". They are about the entries of the list; the exit qualification is the number of the entry that
/// fails, the first being 1.
pub const MSR_LOAD: &[Rule] = msr_load::ROWS;

/// Guest-state rules that a processor may check or not. They are in none of the other tables.
pub const OPTIONAL: &[Rule] = optional::ROWS;

/// Every rule but the optional ones, in the order of the checks.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    Stage::ALL.into_iter().flat_map(|stage| stage.rules())
}

/// The rule with this id, be it optional or not.
pub fn by_id(id: &str) -> Option<&'static Rule> {
    all().chain(OPTIONAL).find(|rule| rule.id == id)
}

/// The first of these rules that is broken.
pub fn first_broken(rules: &'static [Rule], ctx: &Ctx<'_>) -> Option<&'static Rule> {
    rules.iter().find(|rule| !(rule.check)(ctx))
}

#[cfg(test)]
mod tests;
