//! Checks of what a script says, before any of it reaches the machine. A script may be random bytes.
//!
//! What no check can prevent is what the script asks the processor to do: a host-state field of nonsense takes L1 with
//! it at the next VM exit, as it would take any hypervisor.

use rig_abi::{
    layout,
    script::{Mode, Op, Start, Step},
};

/// The part of memory that is L1's own: image, paging structures, boot information, L2's pristine image, script, ring.
pub const OWN: core::ops::Range<u64> = layout::L1_IMAGE..layout::VMXON_REGION;

/// Whether a script may read and write `len` bytes at a physical address: inside memory of `ram` bytes, and none of
/// L1's own.
pub const fn writable(at: u64, len: u64, ram: u64) -> bool {
    match at.checked_add(len) {
        Some(end) => end <= ram && (end <= OWN.start || at >= OWN.end),
        None => false,
    }
}

/// Whether the processor may be given this physical address for a VMX region: not a page of L1's own. Addresses beyond
/// memory are the processor's business to refuse.
pub const fn region(at: u64) -> bool {
    let page = at & !(layout::PAGE - 1);
    page < OWN.start || page >= OWN.end
}

/// Whether an instruction of L1 may have its operand at this linear address: in memory that a script may write, or
/// where nothing is mapped (4 GiB are).
pub const fn operand(at: u64, ram: u64) -> bool {
    writable(at, 16, ram) || at >= 1 << 32
}

/// What [`Op::CASE`] asks for, if it makes sense.
pub fn case(step: &Step) -> Option<(Mode, Start)> {
    let mode = mode(step.b)?;
    let start = Start::ALL.iter().copied().find(|s| u64::from(s.0) == step.c)?;
    Some((mode, start))
}

/// The mode with this number.
pub fn mode(number: u64) -> Option<Mode> {
    Mode::ALL.iter().copied().find(|m| u64::from(m.0) == number)
}

/// A repetition of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Index of the first step.
    pub first: u32,
    /// Index behind the last.
    pub end: u32,
    /// How many more times, this one included.
    pub left: u32,
}

impl Repeat {
    /// What the step at index `at` of `steps` asks for: at least one step, all of them in the script and none of them
    /// another repetition or a case.
    pub fn new(at: u32, steps: &[Step]) -> Option<Self> {
        let step = steps.get(at as usize)?;
        let first = at + 1;
        let end = u32::try_from(u64::from(first).checked_add(step.a)?).ok()?;
        let body = steps.get(first as usize..end as usize)?;
        let plain = |s: &Step| s.op != Op::REPEAT.0 && s.op != Op::CASE.0;
        (!body.is_empty() && body.iter().all(plain)).then_some(Self { first, end, left: step.arg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: u64 = layout::RAM_SIZE;

    #[test]
    fn l1s_own_memory_is_out_of_reach() {
        assert!(writable(0, 8, RAM) && writable(layout::FREE, RAM - layout::FREE, RAM));
        assert!(writable(OWN.start - 8, 8, RAM) && !writable(OWN.start - 7, 8, RAM));
        assert!(writable(OWN.end, 1, RAM) && !writable(OWN.end - 1, 1, RAM));
        assert!(!writable(RAM - 7, 8, RAM) && !writable(u64::MAX, 2, RAM) && !writable(0, RAM, RAM));
        for name in ["L1_IMAGE", "L1_PAGING", "BOOT_INFO", "L2_PRISTINE", "SCRIPT", "RING"] {
            assert!(!writable(layout::place(name).unwrap(), 1, RAM), "{name}");
        }
    }

    #[test]
    fn regions_and_operands() {
        assert!(region(layout::VMCS_0) && region(u64::MAX) && region(RAM + 1) && !region(0x10_0001));
        assert!(operand(layout::OPERAND, RAM) && operand(0x8000_0000_0000, RAM));
        assert!(!operand(RAM, RAM) && !operand(layout::RING, RAM));
    }

    #[test]
    fn a_case_names_a_known_mode_and_start() {
        let step = |b, c| Step { op: Op::CASE.0, b, c, ..Step::default() };
        assert_eq!(case(&step(4, 3)), Some((Mode::LONG64, Start::L2)));
        assert_eq!(case(&step(5, 3)), None);
        assert_eq!(case(&step(0x1_0000, 0)), None);
        assert_eq!(case(&step(0, 4)), None);
    }

    #[test]
    fn repetitions_stay_inside_and_do_not_nest() {
        let step = |op: Op, arg, a| Step { op: op.0, arg, a, ..Step::default() };
        let steps =
            [step(Op::REPEAT, 3, 1), step(Op::RESUME, 0, 0), step(Op::REPEAT, 3, 1), step(Op::CASE, 0, 0)];
        assert_eq!(Repeat::new(0, &steps), Some(Repeat { first: 1, end: 2, left: 3 }));
        assert_eq!(Repeat::new(2, &steps), None, "a case");
        for a in [0, 2, 4, u64::MAX, 0xffff_ffff] {
            assert_eq!(Repeat::new(0, &[step(Op::REPEAT, 3, a), steps[1], steps[0]]), None, "{a}");
        }
    }
}
