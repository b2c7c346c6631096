//! The current VMCS: its fields live in the CPU while it is current; its region in memory is written when it ceases to be.
//!
//! SDM: "Virtual-Machine Control Structures". The layout of the VMCS data is ours to choose: every field takes 8 bytes, in the
//! order of the encodings. Software that reads a region behind VMREAD's back learns what the manual says it would: nothing
//! that it could rely on.

use super::NO_POINTER;
use crate::{Cpu, mem::Mem};
use x86_spec::vmx::field::{Field, Values};

/// Offsets in a VMCS region. SDM: "Format of the VMCS Region".
const ABORT: u64 = 4;
const LAUNCHED: usize = 8;
const DATA: usize = 16;
const REGION: usize = DATA + 8 * Field::COUNT;

/// Bit 31 of the first word: this is a shadow VMCS.
pub(super) const SHADOW: u32 = 1 << 31;
/// What a launched VMCS has in its region; anything else is clear.
const IS_LAUNCHED: u32 = 1;

/// The current VMCS.
pub(super) struct Vmcs {
    /// The current-VMCS pointer, or [`NO_POINTER`].
    pub pointer: u64,
    /// Its revision identifier and shadow indicator, as its region had them.
    pub header: u32,
    /// Launch state.
    pub launched: bool,
    /// The fields.
    pub v: Values,
}

impl Vmcs {
    pub fn none() -> Self {
        Self { pointer: NO_POINTER, header: 0, launched: false, v: Values::new() }
    }

    /// Whether it is a shadow VMCS.
    pub fn is_shadow(&self) -> bool {
        self.header & SHADOW != 0
    }
}

fn word(bytes: &[u8; REGION], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// First word of a region; all ones where there is no memory.
pub(super) fn header(mem: &Mem, pointer: u64) -> u32 {
    mem.phys_read(pointer).map_or(u32::MAX, u32::from_le_bytes)
}

/// Reads one field of a VMCS that is not current (a shadow VMCS).
pub(super) fn read_field(mem: &Mem, pointer: u64, field: Field) -> u64 {
    let at = pointer.wrapping_add((DATA + 8 * field.index()) as u64);
    mem.phys_read(at).map_or(u64::MAX, u64::from_le_bytes) & field.mask()
}

/// Writes one field of a VMCS that is not current.
pub(super) fn write_field(mem: &mut Mem, pointer: u64, field: Field, value: u64) {
    let at = pointer.wrapping_add((DATA + 8 * field.index()) as u64);
    mem.phys_write(at, &(value & field.mask()).to_le_bytes());
}

impl Cpu {
    /// Makes a VMCS current: the one before goes to memory, this one comes from it.
    pub(super) fn load_vmcs(&mut self, pointer: u64) {
        if self.vmx.vmcs.pointer == pointer {
            self.vmx.vmcs.header = header(&self.mem, pointer);
            return;
        }
        self.store_vmcs();
        let bytes: [u8; REGION] = self.mem.phys_read(pointer).unwrap_or([u8::MAX; REGION]);
        let vmcs = &mut self.vmx.vmcs;
        vmcs.pointer = pointer;
        vmcs.header = word(&bytes, 0);
        vmcs.launched = word(&bytes, LAUNCHED) == IS_LAUNCHED;
        for (field, value) in Field::ALL.into_iter().zip(bytes[DATA..].chunks_exact(8)) {
            vmcs.v.set(field, value.try_into().map_or(0, u64::from_le_bytes));
        }
        self.vmx.checks.all_changed();
    }

    /// Writes the current VMCS, if there is one, to its region, and leaves none.
    pub(super) fn store_vmcs(&mut self) {
        let vmcs = &self.vmx.vmcs;
        if vmcs.pointer == NO_POINTER {
            return;
        }
        let mut bytes = [0; REGION];
        for (field, to) in Field::ALL.into_iter().zip(bytes[DATA..].chunks_exact_mut(8)) {
            to.copy_from_slice(&vmcs.v[field].to_le_bytes());
        }
        // The header is software's (the abort indicator too): it stays as it is in memory.
        let launched = if vmcs.launched { IS_LAUNCHED } else { 0 };
        bytes[LAUNCHED..LAUNCHED + 4].copy_from_slice(&launched.to_le_bytes());
        let pointer = vmcs.pointer;
        self.mem.phys_write(pointer + LAUNCHED as u64, &bytes[LAUNCHED..]);
        self.vmx.vmcs.pointer = NO_POINTER;
    }

    /// VMCLEAR of any VMCS: data to memory, launch state clear, current no more.
    pub(super) fn clear_vmcs(&mut self, pointer: u64) {
        if self.vmx.vmcs.pointer == pointer {
            self.vmx.vmcs.launched = false;
            self.store_vmcs();
        }
        self.mem.phys_write(pointer.wrapping_add(LAUNCHED as u64), &0u32.to_le_bytes());
    }

    /// Writes the VMX-abort indicator of the current VMCS.
    pub(super) fn write_abort_indicator(&mut self, code: u32) {
        let at = self.vmx.vmcs.pointer.wrapping_add(ABORT);
        self.mem.phys_write(at, &code.to_le_bytes());
    }
}
