//! What happens between two instructions: traps, interrupts, NMIs, windows and timers, in the manual's order.

use crate::{Cpu, cpu::attention};

impl Cpu {
    /// Recomputes [`Cpu::attention`] from the state it follows from. Call it after changing RFLAGS.TF/IF as a whole, DR7,
    /// the activity state, blocking, pending events, or VMX controls.
    pub(crate) fn attention_changed(&mut self) {
        let _ = attention::TRAP;
    }
}
