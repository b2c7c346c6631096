//! Checks on the VM-entry control fields.

use super::context::implies;
use super::controls_exec::allowed;
use super::controls_exit::{list_aligned, list_physical};
use crate::vector;
use crate::vmx::controls::{Entry, Proc, Word};
use crate::vmx::field::Field as F;
use crate::vmx::intr_info::{IntrInfo, Kind};

/// The one interruption type without a meaning.
const RESERVED_KIND: Kind = Kind(1);
/// Vectors of exceptions are below it.
const EXCEPTIONS: u8 = 32;
/// Vectors of the interruption type "other event": a pending MTF VM exit, SYSCALL, SYSENTER.
pub(super) const OTHER_MTF: u8 = 0;
const OTHER_SYSENTER: u8 = 2;
/// Bits 31:16 of an error code.
const ERROR_CODE_UPPER: u64 = 0xffff_0000;
/// No instruction is longer.
const MAX_INSTRUCTION: u64 = 15;
/// Bits 30:12 of the interruption information.
const RESERVED: u32 = IntrInfo::RESERVED | IntrInfo::NMI_UNBLOCKING;
/// Bit 13: the exception happened during the delivery of another event.
const NESTED_EXCEPTION: u32 = 1 << 13;
/// Bit 58 of IA32_VMX_BASIC: bit 13 of the interruption information has a meaning.
const BASIC_NESTED_EXCEPTION: u64 = 1 << 58;

super::rules! { Controls;
in "VM-Entry Control Fields", NONE {
    "ctl.entry.reserved" [VM_ENTRY_CONTROLS]
        "the VM-entry controls have only settings that IA32_VMX_ENTRY_CTLS allows",
        |c| allowed(c, Word::Entry);
    "ctl.inject.type_reserved" [VM_ENTRY_INTR_INFO_FIELD]
        "the interruption type of an injected event is not 1, and a pending MTF VM exit needs support for the monitor trap flag",
        |c| implies(c.event().valid(), match c.event().kind() {
            RESERVED_KIND => false,
            Kind::OTHER => {
                c.caps.allows(Word::Proc, Proc::MONITOR_TRAP_FLAG) || c.event().vector() != OTHER_MTF
            }
            _ => true,
        });
    "ctl.inject.vector" [VM_ENTRY_INTR_INFO_FIELD, GUEST_CR4, VM_ENTRY_CONTROLS]
        "the vector of an injected event fits its type: 2 for an NMI, at most 31 for a hardware exception, 0 for other events, or 1 or 2 if the guest uses FRED",
        |c| implies(c.event().valid(), match c.event().kind() {
            Kind::NMI => c.event().vector() == vector::NMI,
            Kind::HARDWARE_EXCEPTION => c.event().vector() < EXCEPTIONS,
            Kind::OTHER => {
                c.event().vector() == OTHER_MTF || c.event().vector() <= OTHER_SYSENTER && c.fred()
            }
            _ => true,
        });
    "ctl.inject.error_code_deliver" [VM_ENTRY_INTR_INFO_FIELD, GUEST_CR0]
        "the deliver-error-code bit is 1 exactly for hardware exceptions that have an error code, and only if guest CR0.PE is 1; where IA32_VMX_BASIC bit 56 is 1 the vector does not matter",
        |c| implies(c.event().valid(), {
            let event = c.event();
            let may = event.kind() == Kind::HARDWARE_EXCEPTION && c.protected();
            if may && c.caps.inject_any_error_code() {
                true
            } else {
                event.error_valid() == (may && delivers_error_code(event.vector()))
            }
        });
    "ctl.inject.reserved" [VM_ENTRY_INTR_INFO_FIELD]
        "bits 30:12 of the interruption information are 0 in an injected event",
        |c| {
            let event = c.event();
            let nested = c.caps.basic & BASIC_NESTED_EXCEPTION != 0 && event.kind() == Kind::HARDWARE_EXCEPTION;
            let reserved = if nested { RESERVED & !NESTED_EXCEPTION } else { RESERVED };
            implies(event.valid(), event.0 & reserved == 0)
        };
    "ctl.inject.error_code_upper" [VM_ENTRY_EXCEPTION_ERROR_CODE, VM_ENTRY_INTR_INFO_FIELD]
        "bits 31:16 of the error code to inject are 0",
        |c| implies(
            c.event().valid() && c.event().error_valid(),
            c.v[F::VM_ENTRY_EXCEPTION_ERROR_CODE] & ERROR_CODE_UPPER == 0,
        );
    "ctl.inject.length" [VM_ENTRY_INSTRUCTION_LEN, VM_ENTRY_INTR_INFO_FIELD]
        "the instruction length of an injected software event is at most 15, and 0 only where IA32_VMX_MISC bit 30 allows it",
        |c| implies(c.event().valid() && has_length(c.event()), match c.v[F::VM_ENTRY_INSTRUCTION_LEN] {
            0 => c.caps.inject_zero_length() || c.event().kind() == Kind::OTHER,
            length => length <= MAX_INSTRUCTION,
        });
    "ctl.entry.msr_load_address" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "bits 3:0 of the VM-entry MSR-load address are 0 if the count is not 0",
        |c| list_aligned(c, F::VM_ENTRY_MSR_LOAD_ADDR, F::VM_ENTRY_MSR_LOAD_COUNT);
    "ctl.entry.msr_load_width" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "the VM-entry MSR-load area begins and ends within the physical-address width if the count is not 0",
        |c| list_physical(c, F::VM_ENTRY_MSR_LOAD_ADDR, F::VM_ENTRY_MSR_LOAD_COUNT);
    "ctl.entry.smm" [VM_ENTRY_CONTROLS]
        "\"entry to SMM\" is 0 outside of SMM",
        |c| implies(c.entry(Entry::SMM), c.cpu.in_smm);
    "ctl.entry.deactivate_dual_monitor" [VM_ENTRY_CONTROLS]
        "\"deactivate dual-monitor treatment\" is 0 outside of SMM",
        |c| implies(c.entry(Entry::DEACT_DUAL_MONITOR), c.cpu.in_smm);
    "ctl.entry.smm_or_deactivate" [VM_ENTRY_CONTROLS]
        "\"entry to SMM\" and \"deactivate dual-monitor treatment\" are not both 1",
        |c| !c.entry(Entry::SMM | Entry::DEACT_DUAL_MONITOR);
}
}

/// Vectors with an error code, as VM entry sees them. It leaves out #CP, which is younger than the rule.
const fn delivers_error_code(vector: u8) -> bool {
    matches!(vector, vector::DF | vector::TS | vector::NP | vector::SS | vector::GP | vector::PF | vector::AC)
}

/// The event is delivered as if by an instruction: its length matters.
const fn has_length(event: IntrInfo) -> bool {
    event.is_software() || matches!(event.kind(), Kind::OTHER) && event.vector() != OTHER_MTF
}
