//! The checks of VM entry: the rows of x86-spec, looked at again only where something has changed that they read.
//!
//! A nested hypervisor resumes its guest hundreds of thousands of times in a second and changes some fields in between, so
//! each change of a field marks the rules that read it, and VM entry looks at the marked ones. Rules that turn out to read
//! memory are looked at every time. What is found is what looking at all rules would find.

use crate::{Cpu, mem::Mem};
use std::cell::Cell;
use x86_spec::{
    cr::efer,
    vmx::{
        field::Field,
        rules::{CONTROLS, CpuState, Ctx, GUEST, HOST, PhysRead, Rule, Stage},
    },
};

const COUNT: usize = CONTROLS.len() + HOST.len() + GUEST.len();
const WORDS: usize = COUNT.div_ceil(64);
/// A set of rules, by their number in [`rule`].
type Set = [u64; WORDS];

/// The rule with that number: those of the stages, one after the other.
const fn rule(n: usize) -> &'static Rule {
    if n < CONTROLS.len() {
        &CONTROLS[n]
    } else if n < CONTROLS.len() + HOST.len() {
        &HOST[n - CONTROLS.len()]
    } else {
        &GUEST[n - CONTROLS.len() - HOST.len()]
    }
}

/// The control word that says whether this one counts: a rule that reads this one reads it too.
pub(super) const fn activator(word: Field) -> Option<Field> {
    const SECONDARY: usize = Field::SECONDARY_VM_EXEC_CONTROL.index();
    const TERTIARY: usize = Field::TERTIARY_VM_EXEC_CONTROL.index();
    const EXIT2: usize = Field::SECONDARY_VM_EXIT_CONTROLS.index();
    match word.index() {
        SECONDARY | TERTIARY => Some(Field::CPU_BASED_VM_EXEC_CONTROL),
        EXIT2 => Some(Field::VM_EXIT_CONTROLS),
        _ => None,
    }
}

/// Which rules read a field.
static READERS: [Set; Field::COUNT] = {
    let mut readers = [[0; WORDS]; Field::COUNT];
    let mut n = 0;
    while n < COUNT {
        let fields = rule(n).fields;
        let mut f = 0;
        while f < fields.len() {
            let (word, bit) = (n / 64, 1 << (n % 64));
            readers[fields[f].index()][word] |= bit;
            if let Some(activator) = activator(fields[f]) {
                readers[activator.index()][word] |= bit;
            }
            f += 1;
        }
        n += 1;
    }
    readers
};

/// The numbers of a stage's rules.
const fn numbers(stage: Stage) -> (usize, usize) {
    match stage {
        Stage::Controls => (0, CONTROLS.len()),
        Stage::Host => (CONTROLS.len(), CONTROLS.len() + HOST.len()),
        Stage::Guest => (CONTROLS.len() + HOST.len(), COUNT),
        Stage::MsrLoad => (COUNT, COUNT),
    }
}

/// The bits of word `word` that stand for rules from `first` up to `end`.
fn part(word: usize, first: usize, end: usize) -> u64 {
    let low = first.saturating_sub(word * 64).min(64);
    let high = end.saturating_sub(word * 64).min(64);
    let below = |n: usize| if n == 64 { u64::MAX } else { (1 << n) - 1 };
    below(high) & !below(low)
}

/// Which rules have to be looked at.
pub(super) struct Checks {
    marked: Set,
    /// Those that have been seen to read memory.
    reads_memory: Set,
    /// What the processor was like when rules were looked at last.
    cpu: CpuState,
}

impl Checks {
    pub fn new() -> Self {
        Self { marked: [u64::MAX; WORDS], reads_memory: [0; WORDS], cpu: CpuState::default() }
    }

    /// A field of the current VMCS has changed.
    #[inline]
    pub fn changed(&mut self, field: Field) {
        for (word, readers) in self.marked.iter_mut().zip(READERS[field.index()]) {
            *word |= readers;
        }
    }

    /// Another VMCS is current.
    pub fn all_changed(&mut self) {
        self.marked = [u64::MAX; WORDS];
    }

    /// A VM entry begins.
    pub fn begin(&mut self, cpu: CpuState) {
        if self.cpu != cpu {
            self.all_changed();
            self.cpu = cpu;
        }
        for (word, memory) in self.marked.iter_mut().zip(self.reads_memory) {
            *word |= memory;
        }
    }
}

/// Physical memory that notices whether it was read.
struct Watched<'a> {
    mem: &'a Mem,
    read: Cell<bool>,
}

impl PhysRead for Watched<'_> {
    fn read_u32(&self, gpa: u64) -> Option<u32> {
        self.read.set(true);
        self.mem.phys_read(gpa).map(u32::from_le_bytes)
    }

    fn read_u64(&self, gpa: u64) -> Option<u64> {
        self.read.set(true);
        self.mem.phys_read(gpa).map(u64::from_le_bytes)
    }
}

impl Cpu {
    /// A VM entry begins: what the rules may ask of the processor.
    pub(super) fn entry_checks_begin(&mut self) {
        let cpu = CpuState {
            lma: self.msr.efer & efer::LMA != 0,
            in_smm: false,
            vmcs_pointer: self.vmx.vmcs.pointer,
        };
        self.vmx.checks.begin(cpu);
    }

    /// The first rule of a stage that the current VMCS breaks.
    pub(super) fn entry_rule_broken(&mut self, stage: Stage) -> Option<&'static Rule> {
        let watched = Watched { mem: &self.mem, read: Cell::new(false) };
        let checks = &mut self.vmx.checks;
        let ctx = Ctx { v: &self.vmx.vmcs.v, caps: &self.profile.caps, mem: &watched, cpu: checks.cpu };
        let (first, end) = numbers(stage);
        for word in 0..WORDS {
            let mut rest = checks.marked[word] & part(word, first, end);
            while rest != 0 {
                let bit = rest & rest.wrapping_neg();
                rest ^= bit;
                let rule = rule(word * 64 + bit.trailing_zeros() as usize);
                watched.read.set(false);
                let obeyed = (rule.check)(&ctx);
                if watched.read.get() {
                    checks.reads_memory[word] |= bit;
                }
                if !obeyed {
                    if self.vmx.refusals.len() < super::MAX_REFUSALS {
                        self.vmx.refusals.push(rule);
                    }
                    return Some(rule);
                }
                checks.marked[word] &= !bit;
            }
        }
        None
    }
}

/// What the tests hold the marks against.
#[cfg(test)]
pub(super) mod tests_only {
    use super::*;

    pub fn cpu_state(cpu: &Cpu) -> CpuState {
        cpu.vmx.checks.cpu
    }

    pub fn full_look(cpu: &Cpu, stage: Stage) -> Option<&'static Rule> {
        let watched = Watched { mem: &cpu.mem, read: Cell::new(false) };
        stage.first_broken(&Ctx {
            v: &cpu.vmx.vmcs.v,
            caps: &cpu.profile.caps,
            mem: &watched,
            cpu: cpu.vmx.checks.cpu,
        })
    }
}
