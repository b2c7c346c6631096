//! VMX: the virtual-machine extensions.
//!
//! `insn` the VMX instructions, `access` VMREAD and VMWRITE, `vmcs` the current VMCS, `checks` the rules of VM entry, `entry`
//! VM entry, `guest` and `host` the loading and saving of the two states, `exit` VM exit, `msrs` the MSR lists, `intercept`
//! what instructions exit, `faults` what exceptions and EPT faults exit, `windows` what happens between instructions, `apic` the local APIC, `pages` what EPT writes for the host, `protection` CET and
//! PKRS.

mod access;
mod apic;
mod bitmaps;
mod checks;
mod entry;
mod ept;
mod exit;
mod faults;
mod guest;
mod host;
mod info;
mod insn;
mod intercept;
mod msrs;
mod pages;
mod protection;
mod vmcs;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use insn::find;
pub(crate) use intercept::Intercept;

use crate::{Cpu, Profile, event::Event};
use vmcs::Vmcs;
use windows::Windows;
use x86_spec::{
    cr,
    vmx::{
        controls::{Proc, Proc2, Word},
        field::{Field, Values},
        rules::Rule,
    },
};

/// No VMCS pointer: what VMXON leaves and VMPTRST stores.
const NO_POINTER: u64 = u64::MAX;

/// State of the virtual-machine extensions.
pub(crate) struct Vmx {
    /// In VMX operation, root or non-root.
    pub on: bool,
    /// In VMX non-root operation.
    pub non_root: bool,
    /// The VMXON pointer.
    vmxon: u64,
    /// The current VMCS.
    vmcs: Vmcs,
    /// The controls that the guest runs under. Zero outside of non-root operation, so that a test of one bit is enough.
    ctl: Controls,
    /// What is waited for between instructions.
    windows: Windows,
    /// Which VM-entry rules have to be looked at again.
    checks: checks::Checks,
    /// The event that VM entry injects, while it is being delivered.
    injecting: Option<Event>,
    /// The control registers under which address spaces were used last.
    spaces: ept::Spaces,
    /// The guest has a VPID: VM entry and VM exit keep translations.
    keeps_translations: bool,
    /// The rules that failing VM entries broke, in order; no more than [`MAX_REFUSALS`].
    refusals: Vec<&'static Rule>,
}

/// How many broken rules are kept.
const MAX_REFUSALS: usize = 1 << 16;

/// The control words in effect: a word that is not activated is zero.
#[derive(Clone, Copy, Debug, Default)]
struct Controls {
    pin: u64,
    proc: u64,
    proc2: u64,
    proc3: u64,
    exit: u64,
    entry: u64,
}

impl Controls {
    /// The control words of a VMCS.
    fn of(v: &Values) -> Self {
        let proc = v[Field::CPU_BASED_VM_EXEC_CONTROL];
        let active = |bit, word: Word| if proc & bit != 0 { v[word.field()] } else { 0 };
        Self {
            pin: v[Field::PIN_BASED_VM_EXEC_CONTROL],
            proc,
            proc2: active(Proc::ACTIVATE_SECONDARY_CONTROLS, Word::Proc2),
            proc3: active(Proc::ACTIVATE_TERTIARY_CONTROLS, Word::Proc3),
            exit: v[Field::VM_EXIT_CONTROLS],
            entry: v[Field::VM_ENTRY_CONTROLS],
        }
    }
}

impl Vmx {
    pub fn new(_: &Profile) -> Self {
        Self {
            on: false,
            non_root: false,
            vmxon: NO_POINTER,
            vmcs: Vmcs::none(),
            ctl: Controls::default(),
            windows: Windows::default(),
            checks: checks::Checks::new(),
            injecting: None,
            spaces: ept::Spaces::default(),
            keeps_translations: false,
            refusals: Vec::new(),
        }
    }
}

impl Cpu {
    /// The rules that failing VM entries broke, in order: errors 7 and 8 and the exit for invalid guest state.
    pub fn refusals(&self) -> &[&'static Rule] {
        &self.vmx.refusals
    }

    /// The rule that the last failing VM entry broke.
    pub fn last_entry_failure(&self) -> Option<&'static Rule> {
        self.vmx.refusals.last().copied()
    }

    /// Pointer and fields of the current VMCS.
    pub fn current_vmcs(&self) -> Option<(u64, &Values)> {
        (self.vmx.vmcs.pointer != NO_POINTER).then_some((self.vmx.vmcs.pointer, &self.vmx.vmcs.v))
    }

    /// RDMSR of a VMX capability MSR.
    pub(crate) fn vmx_msr(&self, index: u32) -> Option<u64> {
        self.profile.caps.msr(index)
    }

    /// The CR0 or CR4 bits that must be 1 in VMX operation and those that may be. SDM: "Restrictions on VMX Operation";
    /// an unrestricted guest may clear CR0.PE and CR0.PG.
    fn fixed_bits(&self, cr: u8) -> (u64, u64) {
        let caps = &self.profile.caps;
        if cr != 0 {
            return (caps.cr4_fixed0, caps.cr4_fixed1);
        }
        let free =
            if self.vmx.ctl.proc2 & Proc2::UNRESTRICTED_GUEST != 0 { cr::cr0::PE | cr::cr0::PG } else { 0 };
        (caps.cr0_fixed0 & !free, caps.cr0_fixed1)
    }

    /// Whether CR0 and CR4 may be written with these values as far as VMX is concerned (fixed bits in VMX operation).
    pub(crate) fn cr_fixed_ok(&self, cr: u8, value: u64) -> bool {
        if !self.vmx.on {
            return true;
        }
        let (fixed0, fixed1) = self.fixed_bits(cr);
        value & fixed0 == fixed0 && value & !fixed1 == 0
    }

    /// What MOV from CR0 or CR4 reads, SMSW too: the read shadow under the guest/host mask in non-root operation.
    pub(crate) fn cr_view(&self, cr: u8) -> u64 {
        let real = if cr == 0 { self.cr0 } else { self.cr4 };
        if !self.vmx.non_root {
            return real;
        }
        let (mask, shadow) = self.cr_mask(cr);
        real & !mask | shadow & mask
    }

    /// What MOV to CR0 or CR4 really writes: in non-root operation host-owned bits stay.
    pub(crate) fn cr_merge(&self, cr: u8, value: u64) -> u64 {
        if !self.vmx.non_root {
            return value;
        }
        let real = if cr == 0 { self.cr0 } else { self.cr4 };
        let (mask, _) = self.cr_mask(cr);
        value & !mask | real & mask
    }

    /// Guest/host mask and read shadow of CR0 or CR4.
    fn cr_mask(&self, cr: u8) -> (u64, u64) {
        let v = &self.vmx.vmcs.v;
        if cr == 0 {
            (v[Field::CR0_GUEST_HOST_MASK], v[Field::CR0_READ_SHADOW])
        } else {
            (v[Field::CR4_GUEST_HOST_MASK], v[Field::CR4_READ_SHADOW])
        }
    }
}

/// Numbers that no other part of the manual's tables names.
mod bits {
    /// Bits of IA32_FEATURE_CONTROL.
    pub const FEATURE_CONTROL_LOCK: u64 = 1 << 0;
    pub const FEATURE_CONTROL_VMX: u64 = 1 << 2;

    /// Interruptibility state and `Cpu::blocking`. SDM: "Guest Non-Register State".
    pub const BLOCKED_BY_STI: u32 = 1 << 0;
    pub const BLOCKED_BY_MOV_SS: u32 = 1 << 1;
    pub const BLOCKED_BY_NMI: u32 = 1 << 3;
    /// Blocking that delays maskable interrupts by one instruction.
    pub const SHADOW: u32 = BLOCKED_BY_STI | BLOCKED_BY_MOV_SS;
}
