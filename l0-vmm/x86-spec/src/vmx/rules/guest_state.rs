//! Checks on the guest's RIP, RFLAGS and SSP, on its state outside of registers, and on its PDPTEs.

use super::context::{Ctx, HIGH_HALF, PAGE_OFFSET, implies};
use super::controls_entry::OTHER_MTF;
use super::guest_control::debugctl;
use super::segments::{CS, SS};
use crate::cr::{IOPL, RFLAGS_RESERVED, rflags};
use crate::vector;
use crate::vmx::caps::Features;
use crate::vmx::controls::{Entry, Pin, Proc2};
use crate::vmx::field::Field as F;
use crate::vmx::intr_info::Kind;
use crate::vmx::segment as ar;

/// Activity states. SDM: "Guest Non-Register State".
pub(super) mod activity {
    pub(in super::super) const ACTIVE: u64 = 0;
    pub(in super::super) const HLT: u64 = 1;
    pub(in super::super) const SHUTDOWN: u64 = 2;
    pub(in super::super) const WAIT_FOR_SIPI: u64 = 3;
}

/// Interruptibility state. SDM: "Guest Non-Register State", "Format of Interruptibility State".
pub(super) mod blocking {
    pub(in super::super) const STI: u64 = 1 << 0;
    pub(super) const MOV_SS: u64 = 1 << 1;
    pub(super) const SMI: u64 = 1 << 2;
    pub(super) const NMI: u64 = 1 << 3;
    pub(super) const ENCLAVE: u64 = 1 << 4;
    pub(super) const RESERVED: u64 = !0x1f;
}

/// Pending debug exceptions. SDM: "Guest Non-Register State", "Format of Pending-Debug-Exceptions".
mod pending {
    pub(super) const BUS_LOCK: u64 = 1 << 11;
    pub(super) const ENABLED_BREAKPOINT: u64 = 1 << 12;
    pub(super) const BS: u64 = 1 << 14;
    pub(super) const RTM: u64 = 1 << 16;
    /// Bits 10:4, 13, 15 and 63:17.
    pub(super) const RESERVED: u64 = 0xffff_ffff_fffe_a7f0;
    /// Bits 11:0, 15:13 and 63:17.
    pub(super) const NOT_WITH_RTM: u64 = 0xffff_ffff_fffe_efff;
}

/// All ones: there is no VMCS that the guest's VMREAD and VMWRITE could use.
const NO_LINK: u64 = !0;
/// Bit 31 of the first four bytes of a VMCS: it is a shadow VMCS.
const SHADOW_INDICATOR: u32 = 1 << 31;

/// Page-directory-pointer-table entries. SDM: "PDPTE Registers".
mod pdpte {
    pub(super) const P: u64 = 1 << 0;
    /// Bits 2:1 and 8:5.
    pub(super) const RESERVED: u64 = 0x1e6;
    /// Bits 31:5 of CR3 are the address of the table.
    pub(super) const TABLE: u64 = 0xffff_ffe0;
    pub(super) const SIZE: u64 = 8;
}

super::rules! { Guest;
in "Checks on Guest RIP, RFLAGS, and SSP", NONE {
    "guest.rip.upper" [GUEST_RIP, GUEST_CS_AR_BYTES, VM_ENTRY_CONTROLS]
        "bits 63:32 of RIP are 0 outside of 64-bit mode",
        |c| implies(!code64(c), c.v[F::GUEST_RIP] & HIGH_HALF == 0);
    "guest.rip.canonical" [GUEST_RIP, GUEST_CS_AR_BYTES, VM_ENTRY_CONTROLS]
        "the bits of RIP beyond the linear-address width are all alike in 64-bit mode, be the bit below them what it may",
        |c| implies(code64(c), upper_alike(c, F::GUEST_RIP));
    "guest.rflags.reserved" [GUEST_RFLAGS]
        "bits 63:22, 15, 5 and 3 of RFLAGS are 0 and bit 1 is 1",
        |c| c.v[F::GUEST_RFLAGS] & (RFLAGS_RESERVED | rflags::FIXED) == rflags::FIXED;
    "guest.rflags.vm" [GUEST_RFLAGS, GUEST_CR0, VM_ENTRY_CONTROLS]
        "RFLAGS.VM is 0 with \"IA-32e mode guest\" and if CR0.PE is 0",
        |c| implies(c.v86(), !c.ia32e() && c.protected());
    "guest.rflags.if_injection" [GUEST_RFLAGS, VM_ENTRY_INTR_INFO_FIELD]
        "RFLAGS.IF is 1 if an external interrupt is injected",
        |c| implies(c.injects(Kind::EXTERNAL), c.v[F::GUEST_RFLAGS] & rflags::IF != 0);
    "guest.ssp.aligned" [GUEST_SSP, VM_ENTRY_CONTROLS]
        "bits 1:0 of SSP are 0 with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE), c.v[F::GUEST_SSP].is_multiple_of(4));
    "guest.ssp.upper" [GUEST_SSP, GUEST_CS_AR_BYTES, VM_ENTRY_CONTROLS]
        "bits 63:32 of SSP are 0 outside of 64-bit mode, with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE) && !code64(c), c.v[F::GUEST_SSP] & HIGH_HALF == 0);
    "guest.ssp.canonical" [GUEST_SSP, GUEST_CS_AR_BYTES, VM_ENTRY_CONTROLS]
        "the bits of SSP beyond the linear-address width are all alike in 64-bit mode, with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE) && code64(c), upper_alike(c, F::GUEST_SSP));
}
in "VM Entries (FRED Specification)", NONE {
    "guest.fred.ss_dpl" [GUEST_SS_AR_BYTES, GUEST_CR4, VM_ENTRY_CONTROLS]
        "the DPL of SS is 0 or 3 if the guest uses FRED",
        |c| implies(c.fred(), matches!(SS.dpl(c), 0 | 3));
    "guest.fred.cs_l" [GUEST_CS_AR_BYTES, GUEST_SS_AR_BYTES, GUEST_CR4, VM_ENTRY_CONTROLS]
        "the L flag of CS is 1 if the guest uses FRED and the DPL of SS is 0",
        |c| implies(c.fred() && SS.dpl(c) == 0, CS.ar(c) & ar::L != 0);
    "guest.fred.iopl" [GUEST_RFLAGS, GUEST_SS_AR_BYTES, GUEST_CR4, VM_ENTRY_CONTROLS]
        "RFLAGS.IOPL is 0 if the guest uses FRED and the DPL of SS is 3",
        |c| implies(c.fred() && SS.dpl(c) == 3, c.v[F::GUEST_RFLAGS] & IOPL == 0);
    "guest.fred.sti" [GUEST_INTERRUPTIBILITY_INFO, GUEST_SS_AR_BYTES, GUEST_CR4, VM_ENTRY_CONTROLS]
        "there is no blocking by STI if the guest uses FRED and the DPL of SS is 3",
        |c| implies(c.fred() && SS.dpl(c) == 3, !blocked(c, blocking::STI));
}
in "Checks on Guest Non-Register State", NONE {
    "guest.activity.range" [GUEST_ACTIVITY_STATE]
        "the activity state is one of 0 to 3",
        |c| c.v[F::GUEST_ACTIVITY_STATE] <= activity::WAIT_FOR_SIPI;
    "guest.activity.supported" [GUEST_ACTIVITY_STATE]
        "the activity state is active or one that IA32_VMX_MISC offers",
        |c| match c.v[F::GUEST_ACTIVITY_STATE] {
            activity::HLT => c.caps.activity_hlt(),
            activity::SHUTDOWN => c.caps.activity_shutdown(),
            activity::WAIT_FOR_SIPI => c.caps.activity_wait_for_sipi(),
            _ => true,
        };
    "guest.activity.hlt_ss_dpl" [GUEST_ACTIVITY_STATE, GUEST_SS_AR_BYTES]
        "the activity state is not HLT if the DPL of SS is not 0",
        |c| implies(c.v[F::GUEST_ACTIVITY_STATE] == activity::HLT, SS.dpl(c) == 0);
    "guest.activity.blocking" [GUEST_ACTIVITY_STATE, GUEST_INTERRUPTIBILITY_INFO]
        "the activity state is active if there is blocking by STI or by MOV SS",
        |c| implies(
            blocked(c, blocking::STI | blocking::MOV_SS),
            c.v[F::GUEST_ACTIVITY_STATE] == activity::ACTIVE,
        );
    "guest.activity.injection" [GUEST_ACTIVITY_STATE, VM_ENTRY_INTR_INFO_FIELD]
        "the event to inject can occur in the activity state: in HLT an external interrupt, NMI, #DB, #MC or pending MTF VM exit, in shutdown NMI or #MC, in wait-for-SIPI none",
        |c| implies(c.event().valid(), {
            let (kind, vector) = (c.event().kind(), c.event().vector());
            match c.v[F::GUEST_ACTIVITY_STATE] {
                activity::HLT => match kind {
                    Kind::EXTERNAL | Kind::NMI => true,
                    Kind::HARDWARE_EXCEPTION => matches!(vector, vector::DB | vector::MC),
                    Kind::OTHER => vector == OTHER_MTF,
                    _ => false,
                },
                activity::SHUTDOWN => {
                    kind == Kind::NMI || kind == Kind::HARDWARE_EXCEPTION && vector == vector::MC
                }
                activity::WAIT_FOR_SIPI => false,
                _ => true,
            }
        });
    "guest.activity.smm" [GUEST_ACTIVITY_STATE, VM_ENTRY_CONTROLS]
        "the activity state is not wait-for-SIPI with \"entry to SMM\"",
        |c| implies(c.entry(Entry::SMM), c.v[F::GUEST_ACTIVITY_STATE] != activity::WAIT_FOR_SIPI);
    "guest.interruptibility.reserved" [GUEST_INTERRUPTIBILITY_INFO]
        "bits 31:5 of the interruptibility state are 0",
        |c| !blocked(c, blocking::RESERVED);
    "guest.interruptibility.sti_and_mov_ss" [GUEST_INTERRUPTIBILITY_INFO]
        "there is not both blocking by STI and blocking by MOV SS",
        |c| !(blocked(c, blocking::STI) && blocked(c, blocking::MOV_SS));
    "guest.interruptibility.sti_if" [GUEST_INTERRUPTIBILITY_INFO, GUEST_RFLAGS]
        "there is no blocking by STI if RFLAGS.IF is 0",
        |c| implies(blocked(c, blocking::STI), c.v[F::GUEST_RFLAGS] & rflags::IF != 0);
    "guest.interruptibility.ext_intr_injection" [GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD]
        "there is no blocking by STI or by MOV SS if an external interrupt is injected",
        |c| implies(c.injects(Kind::EXTERNAL), !blocked(c, blocking::STI | blocking::MOV_SS));
    "guest.interruptibility.nmi_injection" [GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD]
        "there is no blocking by MOV SS if an NMI is injected",
        |c| implies(c.injects(Kind::NMI), !blocked(c, blocking::MOV_SS));
    "guest.interruptibility.smi" [GUEST_INTERRUPTIBILITY_INFO]
        "there is no blocking by SMI outside of SMM",
        |c| implies(blocked(c, blocking::SMI), c.cpu.in_smm);
    "guest.interruptibility.smi_entry" [GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_CONTROLS]
        "there is blocking by SMI with \"entry to SMM\"",
        |c| implies(c.entry(Entry::SMM), blocked(c, blocking::SMI));
    "guest.interruptibility.virtual_nmi_injection" [GUEST_INTERRUPTIBILITY_INFO, VM_ENTRY_INTR_INFO_FIELD,
        PIN_BASED_VM_EXEC_CONTROL]
        "there is no blocking by NMI if an NMI is injected with \"virtual NMIs\"",
        |c| implies(c.injects(Kind::NMI) && c.pin(Pin::VIRTUAL_NMIS), !blocked(c, blocking::NMI));
    "guest.interruptibility.enclave" [GUEST_INTERRUPTIBILITY_INFO]
        "the enclave-interruption bit is 0 if there is blocking by MOV SS or no SGX",
        |c| implies(blocked(c, blocking::ENCLAVE), !blocked(c, blocking::MOV_SS) && c.has(Features::SGX));
    "guest.pending_dbg.reserved" [GUEST_PENDING_DBG_EXCEPTIONS]
        "bits 10:4, 13, 15 and 63:17 of the pending debug exceptions are 0, and bit 11 without bus-lock detection",
        |c| {
            let bus_lock = if c.has(Features::BUS_LOCK_DETECT) { 0 } else { pending::BUS_LOCK };
            c.v[F::GUEST_PENDING_DBG_EXCEPTIONS] & (pending::RESERVED | bus_lock) == 0
        };
    "guest.pending_dbg.bs_set" [GUEST_PENDING_DBG_EXCEPTIONS, GUEST_RFLAGS, GUEST_IA32_DEBUGCTL,
        GUEST_INTERRUPTIBILITY_INFO, GUEST_ACTIVITY_STATE]
        "BS is 1 if RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0, in HLT and with blocking by STI or MOV SS",
        |c| implies(bs_checked(c) && single_step(c), c.v[F::GUEST_PENDING_DBG_EXCEPTIONS] & pending::BS != 0);
    "guest.pending_dbg.bs_clear" [GUEST_PENDING_DBG_EXCEPTIONS, GUEST_RFLAGS, GUEST_IA32_DEBUGCTL,
        GUEST_INTERRUPTIBILITY_INFO, GUEST_ACTIVITY_STATE]
        "BS is 0 if RFLAGS.TF is 0 or IA32_DEBUGCTL.BTF is 1, in HLT and with blocking by STI or MOV SS",
        |c| implies(bs_checked(c) && !single_step(c), c.v[F::GUEST_PENDING_DBG_EXCEPTIONS] & pending::BS == 0);
    "guest.pending_dbg.rtm" [GUEST_PENDING_DBG_EXCEPTIONS]
        "bits 11:0, 15:13 and 63:17 are 0 and bit 12 is 1 if the RTM bit is 1",
        |c| {
            let value = c.v[F::GUEST_PENDING_DBG_EXCEPTIONS];
            implies(
                value & pending::RTM != 0,
                value & pending::NOT_WITH_RTM == 0 && value & pending::ENABLED_BREAKPOINT != 0,
            )
        };
    "guest.pending_dbg.rtm_supported" [GUEST_PENDING_DBG_EXCEPTIONS]
        "the RTM bit is 0 on a processor without RTM",
        |c| implies(c.v[F::GUEST_PENDING_DBG_EXCEPTIONS] & pending::RTM != 0, c.has(Features::RTM));
    "guest.pending_dbg.rtm_blocking" [GUEST_PENDING_DBG_EXCEPTIONS, GUEST_INTERRUPTIBILITY_INFO]
        "the RTM bit is 0 if there is blocking by MOV SS",
        |c| implies(
            c.v[F::GUEST_PENDING_DBG_EXCEPTIONS] & pending::RTM != 0,
            !blocked(c, blocking::MOV_SS),
        );
}
in "Checks on Guest Non-Register State", LINK_POINTER {
    "guest.link_pointer.aligned" [VMCS_LINK_POINTER]
        "bits 11:0 of the VMCS link pointer are 0 unless all its bits are 1",
        |c| implies(linked(c), c.v[F::VMCS_LINK_POINTER] & PAGE_OFFSET == 0);
    "guest.link_pointer.width" [VMCS_LINK_POINTER]
        "the VMCS link pointer is within the physical-address width unless all its bits are 1",
        |c| implies(linked(c), c.physical(F::VMCS_LINK_POINTER));
    "guest.link_pointer.revision" [VMCS_LINK_POINTER]
        "bits 30:0 of the four bytes that the VMCS link pointer references are the VMCS revision identifier",
        |c| !linked(c) || header(c).is_some_and(|header| header & !SHADOW_INDICATOR == c.caps.revision());
    "guest.link_pointer.shadow" [VMCS_LINK_POINTER, SECONDARY_VM_EXEC_CONTROL]
        "bit 31 of the four bytes that the VMCS link pointer references equals \"VMCS shadowing\"",
        |c| {
            let shadow = c.proc2(Proc2::SHADOW_VMCS);
            !linked(c) || header(c).is_some_and(|header| (header & SHADOW_INDICATOR != 0) == shadow)
        };
    "guest.link_pointer.current" [VMCS_LINK_POINTER, VM_ENTRY_CONTROLS]
        "the VMCS link pointer is not the current-VMCS pointer, outside of SMM and with \"entry to SMM\"",
        |c| implies(
            !c.cpu.in_smm || c.entry(Entry::SMM),
            c.v[F::VMCS_LINK_POINTER] != c.cpu.vmcs_pointer || !linked(c),
        );
    "guest.link_pointer.executive" [VMCS_LINK_POINTER, EXECUTIVE_VMCS_POINTER, VM_ENTRY_CONTROLS]
        "the VMCS link pointer is not the executive-VMCS pointer, in SMM and without \"entry to SMM\"",
        |c| implies(
            linked(c) && c.cpu.in_smm && !c.entry(Entry::SMM),
            c.v[F::VMCS_LINK_POINTER] != c.v[F::EXECUTIVE_VMCS_POINTER],
        );
}
in "Checks on Guest Page-Directory-Pointer-Table Entries", PDPTE {
    "guest.pdpte.reserved" [GUEST_PDPTR0, GUEST_PDPTR1, GUEST_PDPTR2, GUEST_PDPTR3, GUEST_CR0, GUEST_CR4,
        VM_ENTRY_CONTROLS, SECONDARY_VM_EXEC_CONTROL]
        "bits 2:1, 8:5 and those beyond the physical-address width are 0 in each present PDPTE field, with PAE paging and \"enable EPT\"",
        |c| {
            let fields = [F::GUEST_PDPTR0, F::GUEST_PDPTR1, F::GUEST_PDPTR2, F::GUEST_PDPTR3];
            !(c.pae_paging() && c.ept()) || fields.into_iter().all(|field| pdpte_ok(c, c.v[field]))
        };
    "guest.pdpte.memory" [GUEST_CR3, GUEST_CR0, GUEST_CR4, VM_ENTRY_CONTROLS, SECONDARY_VM_EXEC_CONTROL]
        "bits 2:1, 8:5 and those beyond the physical-address width are 0 in each present PDPTE that CR3 references, with PAE paging and without \"enable EPT\"",
        |c| {
            let table = c.v[F::GUEST_CR3] & pdpte::TABLE;
            // No memory reads as all ones.
            let entry = |n| c.mem.read_u64(table + n * pdpte::SIZE).unwrap_or(!0);
            !c.pae_paging() || c.ept() || (0..4).all(|n| pdpte_ok(c, entry(n)))
        };
}
}

/// The guest will be in 64-bit mode.
#[inline]
fn code64(c: &Ctx<'_>) -> bool {
    c.ia32e() && CS.ar(c) & ar::L != 0
}

/// Bits 63 to the linear-address width are alike. This is less than canonical: the bit below may differ.
#[inline]
fn upper_alike(c: &Ctx<'_>, field: F) -> bool {
    let upper = c.v[field] as i64 >> c.linear_width();
    upper == 0 || upper == -1
}

/// Any of these bits of the interruptibility state is 1.
#[inline]
fn blocked(c: &Ctx<'_>, bits: u64) -> bool {
    c.v[F::GUEST_INTERRUPTIBILITY_INFO] & bits != 0
}

/// The BS bit of the pending debug exceptions is checked.
#[inline]
fn bs_checked(c: &Ctx<'_>) -> bool {
    blocked(c, blocking::STI | blocking::MOV_SS) || c.v[F::GUEST_ACTIVITY_STATE] == activity::HLT
}

/// The guest single-steps instructions.
#[inline]
fn single_step(c: &Ctx<'_>) -> bool {
    c.v[F::GUEST_RFLAGS] & rflags::TF != 0 && c.v[F::GUEST_IA32_DEBUGCTL] & debugctl::BTF == 0
}

/// There is a VMCS at the link pointer.
#[inline]
fn linked(c: &Ctx<'_>) -> bool {
    c.v[F::VMCS_LINK_POINTER] != NO_LINK
}

/// The first four bytes of the VMCS at the link pointer. `None` if there is no memory: then all bits read as 1, which
/// is no revision identifier.
fn header(c: &Ctx<'_>) -> Option<u32> {
    c.mem.read_u32(c.v[F::VMCS_LINK_POINTER])
}

#[inline]
fn pdpte_ok(c: &Ctx<'_>, entry: u64) -> bool {
    entry & pdpte::P == 0 || entry & (pdpte::RESERVED | c.caps.beyond_physical()) == 0
}
