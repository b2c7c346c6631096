//! VM exits in words: the fields that the manual defines for the reason, each decoded.

use super::Symbols;
use rig_abi::record::{ExitRecord, Outcome, RunEnd, RunRecord};
use std::fmt::Write;
use x86_spec::{
    cr, vector,
    vmx::{
        error::InstructionError,
        exit::{Defined, ENTRY_FAILURE_BIT, Reason},
        insn_info,
        intr_info::IntrInfo,
        qual,
    },
};

/// Names of the activity states. SDM: "Guest Non-Register State".
const ACTIVITY: [&str; 4] = ["active", "HLT", "shutdown", "wait-for-SIPI"];
/// Names of the bits of the interruptibility state, from bit 0. SDM: "Guest Non-Register State".
const BLOCKING: [&str; 5] = ["STI", "MOV SS", "SMI", "NMI", "enclave"];

/// One line for an exit.
pub(super) fn words(exit: &ExitRecord, symbols: &Symbols<'_>) -> String {
    let reason = Reason(exit.reason as u16);
    let mut out = format!("EXIT {} {}", reason.0, reason.name());
    if exit.reason >> 16 != 0 {
        let _ = write!(out, " ({:#x})", exit.reason);
    }
    if exit.reason & ENTRY_FAILURE_BIT != 0 {
        let _ = write!(out, " qualification {:#x}", exit.qualification);
        out.push_str(&rest(exit));
        return out;
    }
    let linear_rip = exit.cs_base.wrapping_add(exit.rip);
    let _ = write!(out, " at {}", symbols.l2_address(linear_rip));
    let defines = reason.defines();
    let exception = IntrInfo(exit.intr_info);
    let is_vector = reason == Reason::EXCEPTION_NMI || reason == Reason::EXTERNAL_INTERRUPT;
    if is_vector && exception.valid() {
        let _ = write!(out, " {exception} ({:#x})", exit.intr_info);
        if exception.error_valid() {
            let _ = write!(out, " code {:#x}", exit.intr_error);
        }
    }
    let page_fault = is_vector && exception.vector() == vector::PF && exception.is_exception();
    let debug = is_vector && exception.vector() == vector::DB && exception.is_exception();
    let software = is_vector && exception.is_software();
    let by_instruction = reason == Reason::TASK_SWITCH && !qual::TaskSwitch(exit.qualification).by_gate();
    let length = match defines.length {
        Defined::Always => true,
        Defined::Sometimes => software || by_instruction || has_vectored_software(exit),
        Defined::Never => false,
    };
    if length {
        let _ = write!(out, " len {}", exit.insn_len);
    }
    if page_fault {
        let _ = write!(out, " address {:#x}", exit.qualification);
    } else if debug {
        let _ = write!(out, " {} ({:#x})", qual::Debug(exit.qualification), exit.qualification);
    } else if defines.qualification == Defined::Always {
        let _ = write!(out, " {} ({:#x})", qual::words(reason, exit.qualification), exit.qualification);
    }
    if defines.physical == Defined::Always {
        let _ = write!(out, " gpa {}", symbols.place(exit.physical));
    }
    if qual::linear_valid(reason, exit.qualification) {
        let _ = write!(out, " linear {}", symbols.l2_address(exit.linear));
    }
    let string_io = reason == Reason::IO_INSTRUCTION && qual::Io(exit.qualification).string();
    if defines.info == Defined::Always || string_io {
        let ia32e = exit.efer & cr::efer::LMA != 0;
        let info = insn_info::defined(reason, exit.qualification, exit.insn_info, ia32e);
        let _ = write!(out, " {} ({info:#x})", insn_info::words(reason, info));
    }
    out.push_str(&rest(exit));
    out
}

/// What is there with any reason: the event that was being delivered, and the state that is not the usual one.
fn rest(exit: &ExitRecord) -> String {
    let mut out = String::new();
    let vectoring = IntrInfo(exit.idt_info);
    if vectoring.valid() {
        let _ = write!(out, " delivering {vectoring} ({:#x})", exit.idt_info);
        if vectoring.error_valid() {
            let _ = write!(out, " code {:#x}", exit.idt_error);
        }
    }
    if exit.activity != 0 {
        let name = ACTIVITY.get(exit.activity as usize).unwrap_or(&"?");
        let _ = write!(out, " activity {name} ({})", exit.activity);
    }
    if exit.interruptibility != 0 {
        let bits = (0..32).filter(|n| exit.interruptibility >> n & 1 != 0);
        let names: Vec<&str> = bits.map(|n| BLOCKING.get(n).copied().unwrap_or("?")).collect();
        let _ = write!(out, " blocking by {} ({:#x})", names.join(", "), exit.interruptibility);
    }
    if exit.pending_dbg != 0 {
        let _ = write!(out, " pending debug {:#x}", exit.pending_dbg);
    }
    let entry = IntrInfo(exit.entry_intr_info);
    if entry.valid() {
        let _ = write!(out, " VM-entry event {entry} ({:#x})", exit.entry_intr_info);
    }
    out
}

fn has_vectored_software(exit: &ExitRecord) -> bool {
    let vectoring = IntrInfo(exit.idt_info);
    vectoring.valid() && vectoring.is_software()
}

/// How a run loop ended.
pub(super) fn run_end(run: &RunRecord) -> String {
    let end = match RunEnd(run.end) {
        RunEnd::NO_ENTRY => {
            let outcome = Outcome(run.outcome).name().unwrap_or("?");
            match run.error {
                0 => format!("no entry: {outcome}"),
                n => format!("no entry: {outcome} {n} ({})", InstructionError(n).text().unwrap_or("?")),
            }
        }
        end => end.name().map_or_else(|| format!("end {}", run.end), str::to_owned),
    };
    let counts = run.counts.iter().enumerate().filter(|(_, count)| **count != 0);
    let counts: Vec<String> =
        counts.map(|(n, count)| format!("{} x{count}", Reason(n as u16).name())).collect();
    format!("{} exits ({}), {end}", run.exits, counts.join(", "))
}
