//! Checks on the VM-exit control fields.

use super::context::implies;
use super::controls_exec::allowed;
use crate::vmx::controls::{Exit, Pin, Word};
use crate::vmx::field::Field as F;

/// The size of an entry of an MSR list, which is also how the list is aligned. SDM: "VM-Exit Controls for MSRs".
pub(super) const MSR_ENTRY: u64 = 16;

super::rules! { Controls;
in "VM-Exit Control Fields", NONE {
    "ctl.exit.reserved" [VM_EXIT_CONTROLS]
        "the primary VM-exit controls have only settings that IA32_VMX_EXIT_CTLS allows",
        |c| allowed(c, Word::Exit);
    "ctl.exit2.reserved" [SECONDARY_VM_EXIT_CONTROLS, VM_EXIT_CONTROLS]
        "activated secondary VM-exit controls have only settings that IA32_VMX_EXIT_CTLS2 allows",
        |c| implies(c.exit(Exit::ACTIVATE_SECONDARY_CONTROLS), allowed(c, Word::Exit2));
    "ctl.exit.preemption_save" [VM_EXIT_CONTROLS, PIN_BASED_VM_EXEC_CONTROL]
        "\"save VMX-preemption timer value\" is 0 without \"activate VMX-preemption timer\"",
        |c| implies(c.exit(Exit::SAVE_VMX_PREEMPTION_TIMER), c.pin(Pin::VMX_PREEMPTION_TIMER));
    "ctl.exit.msr_store_address" [VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT]
        "bits 3:0 of the VM-exit MSR-store address are 0 if the count is not 0",
        |c| list_aligned(c, F::VM_EXIT_MSR_STORE_ADDR, F::VM_EXIT_MSR_STORE_COUNT);
    "ctl.exit.msr_store_width" [VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT]
        "the VM-exit MSR-store area begins and ends within the physical-address width if the count is not 0",
        |c| list_physical(c, F::VM_EXIT_MSR_STORE_ADDR, F::VM_EXIT_MSR_STORE_COUNT);
    "ctl.exit.msr_load_address" [VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT]
        "bits 3:0 of the VM-exit MSR-load address are 0 if the count is not 0",
        |c| list_aligned(c, F::VM_EXIT_MSR_LOAD_ADDR, F::VM_EXIT_MSR_LOAD_COUNT);
    "ctl.exit.msr_load_width" [VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT]
        "the VM-exit MSR-load area begins and ends within the physical-address width if the count is not 0",
        |c| list_physical(c, F::VM_EXIT_MSR_LOAD_ADDR, F::VM_EXIT_MSR_LOAD_COUNT);
}
}

/// An MSR list that is not empty is aligned.
#[inline]
pub(super) fn list_aligned(c: &super::Ctx<'_>, address: F, count: F) -> bool {
    implies(c.v[count] != 0, c.v[address].is_multiple_of(MSR_ENTRY))
}

/// An MSR list that is not empty has its first and its last byte within the width of physical addresses.
#[inline]
pub(super) fn list_physical(c: &super::Ctx<'_>, address: F, count: F) -> bool {
    let (address, count) = (c.v[address], c.v[count]);
    count == 0
        || c.caps.physical_ok(address)
            && address.checked_add(count * MSR_ENTRY - 1).is_some_and(|last| c.caps.physical_ok(last))
}
