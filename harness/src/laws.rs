//! Laws of VM exits: what holds for every exit on every engine, whatever the scenario.
//!
//! A snapshot says what one trace must be; a law says what no trace can be. They are rows of one table, held on every exit that is
//! judged.

use l0_vmm::trace::Record;
use rig_abi::record::ExitRecord;
use x86_spec::{
    cr, vector,
    vmx::{
        caps::Caps,
        exit::{Defined, ENTRY_FAILURE_BIT, Reason},
        intr_info::{IntrInfo, Kind},
        qual,
    },
};

/// One law.
pub struct Law {
    /// Its id.
    pub id: &'static str,
    /// Title of the SDM's section.
    pub title: &'static str,
    /// What holds, in one sentence.
    pub text: &'static str,
    /// Whether an exit obeys it.
    pub holds: fn(&ExitRecord, &Caps) -> bool,
}

/// Bits of the exit reason above the basic reason that have a meaning: bus lock, enclave, pending MTF, VMX root, entry failure.
const REASON_FLAGS: u32 = 1 << 26 | 1 << 27 | 1 << 28 | 1 << 29 | ENTRY_FAILURE_BIT;
/// Bits of the interruptibility state that have a meaning: STI, MOV SS, SMI, NMI, enclave.
const BLOCKING: u32 = 0x1f;
/// Blocking by STI and by MOV SS.
const SHADOWS: u32 = 0x3;
/// Activity states: active, HLT, shutdown, wait-for-SIPI.
const ACTIVITIES: u32 = 4;

fn reason(exit: &ExitRecord) -> Reason {
    Reason(exit.reason as u16)
}

fn failed(exit: &ExitRecord) -> bool {
    exit.reason & ENTRY_FAILURE_BIT != 0
}

/// Information about an event, where it is valid: reserved bits, type and vector.
fn event_ok(info: IntrInfo, nmi_unblocking: bool) -> bool {
    let reserved = IntrInfo::RESERVED | if nmi_unblocking { 0 } else { IntrInfo::NMI_UNBLOCKING };
    let kind_and_vector = match info.kind() {
        Kind::NMI => info.vector() == vector::NMI,
        Kind::HARDWARE_EXCEPTION => info.vector() < 32,
        Kind::PRIVILEGED_SOFTWARE_EXCEPTION => info.vector() == vector::DB,
        Kind::SOFTWARE_EXCEPTION => matches!(info.vector(), vector::BP | vector::OF),
        Kind::EXTERNAL | Kind::SOFTWARE_INTERRUPT => true,
        _ => false,
    };
    info.0 & reserved == 0 && kind_and_vector
}

/// An error code is there exactly for hardware exceptions that have one, and never in real-address mode.
fn error_code_ok(info: IntrInfo, cr0: u64) -> bool {
    let has = info.kind() == Kind::HARDWARE_EXCEPTION && vector::has_error_code(info.vector());
    info.error_valid() == (has && cr0 & cr::cr0::PE != 0)
}

fn canonical(address: u64) -> bool {
    // 57 bits at most: what no paging mode translates.
    ((address << 7) as i64 >> 7) as u64 == address
}

/// The laws.
pub const LAWS: &[Law] = &[
    Law {
        id: "exit.reason.basic",
        title: "VMX Basic Exit Reasons",
        text: "the basic exit reason is one that the manual defines",
        holds: |e, _| reason(e).ident().is_some(),
    },
    Law {
        id: "exit.reason.flags",
        title: "Basic VM-Exit Information",
        text: "the reserved bits of the exit reason are 0",
        holds: |e, _| e.reason >> 16 << 16 & !REASON_FLAGS == 0,
    },
    Law {
        id: "exit.reason.entry_failure",
        title: "Basic VM-Exit Information",
        text: "bit 31 is set exactly with the reasons of failed VM entries",
        holds: |e, _| {
            let reasons = [Reason::INVALID_STATE, Reason::MSR_LOAD_FAIL, Reason::MCE_DURING_VMENTRY];
            failed(e) == reasons.contains(&reason(e))
        },
    },
    Law {
        id: "exit.length",
        title: "Information for VM Exits Due to Instruction Execution",
        text: "where the reason is an instruction, its length is 1 to 15 bytes",
        holds: |e, _| {
            failed(e) || reason(e).defines().length != Defined::Always || (1..=15).contains(&e.insn_len)
        },
    },
    Law {
        id: "exit.qualification.reserved",
        title: "Basic VM-Exit Information",
        text: "bits of the exit qualification that have no meaning with the reason are 0",
        holds: |e, _| {
            let vectored = [Reason::EXCEPTION_NMI, Reason::EXTERNAL_INTERRUPT].contains(&reason(e));
            failed(e) || vectored || qual::reserved_bits(reason(e), e.qualification) == 0
        },
    },
    Law {
        id: "exit.event.only_with_its_reason",
        title: "Information for VM Exits Due to Vectored Events",
        text: "VM-exit interruption information is valid only with exceptions, NMIs and external interrupts",
        holds: |e, _| {
            let vectored = [Reason::EXCEPTION_NMI, Reason::EXTERNAL_INTERRUPT].contains(&reason(e));
            failed(e) || vectored || !IntrInfo(e.intr_info).valid()
        },
    },
    Law {
        id: "exit.event.format",
        title: "Information for VM Exits Due to Vectored Events",
        text: "reserved bits of VM-exit interruption information are 0, its type and vector go together",
        holds: |e, _| {
            let info = IntrInfo(e.intr_info);
            failed(e) || !info.valid() || event_ok(info, true)
        },
    },
    Law {
        id: "exit.event.error_code",
        title: "Information for VM Exits Due to Vectored Events",
        text: "an exception has an error code exactly if its vector has one and the guest is not in real-address mode",
        holds: |e, _| {
            let info = IntrInfo(e.intr_info);
            failed(e) || !info.valid() || error_code_ok(info, e.cr0)
        },
    },
    Law {
        id: "exit.vectoring.format",
        title: "Information for VM Exits That Occur During Event Delivery",
        text: "reserved bits of IDT-vectoring information are 0, its type and vector go together",
        holds: |e, _| {
            let info = IntrInfo(e.idt_info);
            failed(e) || !info.valid() || event_ok(info, false)
        },
    },
    Law {
        id: "exit.injection_cleared",
        title: "Recording VM-Exit Information and Updating VM-Entry Control Fields",
        text: "a VM exit clears the valid bit of the VM-entry interruption information",
        holds: |e, _| failed(e) || !IntrInfo(e.entry_intr_info).valid(),
    },
    Law {
        id: "exit.linear.canonical",
        title: "Guest-Linear Address",
        text: "a guest-linear address that is valid is canonical",
        holds: |e, _| failed(e) || !qual::linear_valid(reason(e), e.qualification) || canonical(e.linear),
    },
    Law {
        id: "exit.physical.width",
        title: "Guest-Physical Address",
        text: "a guest-physical address has no bits beyond the physical-address width",
        holds: |e, caps| {
            let ept = [Reason::EPT_VIOLATION, Reason::EPT_MISCONFIG].contains(&reason(e));
            failed(e) || !ept || e.physical & caps.beyond_physical() & !0xfff == 0
        },
    },
    Law {
        id: "state.rflags",
        title: "Saving RIP, RSP, RFLAGS, and SSP",
        text: "the reserved bits of the saved RFLAGS are 0, and bit 1 is 1",
        holds: |e, _| failed(e) || e.rflags & (cr::RFLAGS_RESERVED | cr::rflags::FIXED) == cr::rflags::FIXED,
    },
    Law {
        id: "state.interruptibility",
        title: "Guest Non-Register State",
        text: "the saved interruptibility state has no reserved bits, and not both shadows",
        holds: |e, _| {
            failed(e) || (e.interruptibility & !BLOCKING == 0 && e.interruptibility & SHADOWS != SHADOWS)
        },
    },
    Law {
        id: "state.activity",
        title: "Guest Non-Register State",
        text: "the saved activity state is one of the four",
        holds: |e, _| failed(e) || e.activity < ACTIVITIES,
    },
];

/// The first law that a run breaks, and the number of the record that does.
pub fn broken(records: &[Record], caps: &Caps) -> Option<(&'static Law, u32)> {
    records.iter().find_map(|record| match record {
        Record::Exit { header, body } => {
            LAWS.iter().find(|law| !(law.holds)(body, caps)).map(|law| (law, header.seq))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpuid() -> ExitRecord {
        ExitRecord { reason: 10, insn_len: 2, rflags: 2, cr0: cr::cr0::PE, ..ExitRecord::default() }
    }

    /// For each law an exit that breaks it and no law before it.
    #[test]
    fn every_law_can_be_broken() {
        let caps = Caps { maxphyaddr: 40, ..Caps::NONE };
        let pf = 0x8000_0b0e;
        let broken: &[(&str, ExitRecord)] = &[
            ("exit.reason.basic", ExitRecord { reason: 0xfff, ..cpuid() }),
            ("exit.reason.flags", ExitRecord { reason: 0x0010_000a, ..cpuid() }),
            ("exit.reason.entry_failure", ExitRecord { reason: 0x8000_000a, ..cpuid() }),
            ("exit.length", ExitRecord { insn_len: 16, ..cpuid() }),
            ("exit.qualification.reserved", ExitRecord { qualification: 1, ..cpuid() }),
            ("exit.event.only_with_its_reason", ExitRecord { intr_info: pf, ..cpuid() }),
            ("exit.event.format", ExitRecord { reason: 0, intr_info: 0x8000_0102, ..cpuid() }),
            ("exit.event.error_code", ExitRecord { reason: 0, intr_info: 0x8000_030e, ..cpuid() }),
            ("exit.vectoring.format", ExitRecord { idt_info: 0x8000_1306, ..cpuid() }),
            ("exit.injection_cleared", ExitRecord { entry_intr_info: pf, ..cpuid() }),
            (
                "exit.linear.canonical",
                ExitRecord { reason: 48, qualification: 0x181, linear: 1 << 60, ..cpuid() },
            ),
            ("exit.physical.width", ExitRecord { reason: 49, physical: 1 << 40, ..cpuid() }),
            ("state.rflags", ExitRecord { rflags: 0, ..cpuid() }),
            ("state.interruptibility", ExitRecord { interruptibility: 3, ..cpuid() }),
            ("state.activity", ExitRecord { activity: 4, ..cpuid() }),
        ];
        let first = |exit: &ExitRecord| LAWS.iter().find(|law| !(law.holds)(exit, &caps)).map(|law| law.id);
        assert_eq!(first(&cpuid()), None);
        for (id, exit) in broken {
            assert_eq!(first(exit), Some(*id));
        }
        let ids: Vec<&str> = broken.iter().map(|b| b.0).collect();
        assert_eq!(
            ids,
            LAWS.iter().map(|law| law.id).collect::<Vec<_>>(),
            "a law without an exit that breaks it"
        );
    }
}
