//! Mutants of the rest of the guest-state area.

use super::host::NOT_CANONICAL;
use super::legal::{BAD_PDPT, BEYOND, Base::*, LINKED, NOT_ALIGNED, SHADOW, TOO_HIGH, VMCS};
use super::*;
use crate::cr::{cr0, cr4, rflags};
use crate::vmx::caps::Features;
use crate::vmx::controls::{Entry, Pin, Proc2};
use crate::vmx::field::Field as F;

const ENTRY: F = F::VM_ENTRY_CONTROLS;
const PROC2: F = F::SECONDARY_VM_EXEC_CONTROL;
const BLOCKING: F = F::GUEST_INTERRUPTIBILITY_INFO;
const ACTIVITY: F = F::GUEST_ACTIVITY_STATE;
const PENDING: F = F::GUEST_PENDING_DBG_EXCEPTIONS;
const INFO: F = F::VM_ENTRY_INTR_INFO_FIELD;
const LINK: F = F::VMCS_LINK_POINTER;
const SMM: Op = Cpu(|c| c.in_smm = true);

pub fn cases() -> Vec<Case> {
    let mut cases = control();
    cases.extend(registers());
    cases.extend(state());
    cases.extend(memory());
    cases
}

fn control() -> Vec<Case> {
    let debug = Or(ENTRY, Entry::LOAD_DEBUG_CONTROLS);
    let debugctl = F::GUEST_IA32_DEBUGCTL;
    let efer = Or(ENTRY, Entry::LOAD_IA32_EFER);
    let cet = Or(ENTRY, Entry::LOAD_CET_STATE);
    let fred = Or(ENTRY, Entry::LOAD_IA32_FRED);
    let bounds = Or(ENTRY, Entry::LOAD_BNDCFGS);
    let unrestricted = Or(PROC2, Proc2::UNRESTRICTED_GUEST);
    let mut cases = std::vec![
        case("guest.cr0.fixed", Long, &[Or(F::GUEST_CR0, cr0::CD | cr0::NW)], Clear(F::GUEST_CR0, cr0::NE)),
        case("guest.cr0.fixed", Long, &[], Or(F::GUEST_CR0, 1 << 63)),
        case("guest.cr0.fixed", Real, &[], Clear(F::GUEST_CR0, cr0::NE)),
        case(
            "guest.cr0.fixed",
            Protected,
            &[unrestricted, Clear(F::GUEST_CR0, cr0::PG)],
            Set(PROC2, Proc2::ENABLE_EPT)
        ),
        case("guest.cr0.pg_pe", Real, &[], Or(F::GUEST_CR0, cr0::PG)),
        case("guest.cr4.fixed", Long, &[], Clear(F::GUEST_CR4, cr4::VMXE)),
        case("guest.cr4.fixed", Long, &[Or(F::GUEST_CR4, cr4::LA57)], Or(F::GUEST_CR4, 1 << 63)),
        case("guest.cr4.cet_needs_wp", Long, &[Or(F::GUEST_CR4, cr4::CET)], Clear(F::GUEST_CR0, cr0::WP)),
        case("guest.debugctl.reserved", Long, &[debug, Set(debugctl, 0xffc7)], Or(debugctl, 1 << 3)),
        case("guest.debugctl.reserved", Long, &[Set(debugctl, !0)], debug),
        case(
            "guest.debugctl.reserved",
            Long,
            &[debug, Set(debugctl, 1 << 14)],
            Cap(|c| c.features.remove(Features::FREEZE_IN_SMM))
        ),
        case(
            "guest.debugctl.reserved",
            Long,
            &[debug, Set(debugctl, 1 << 15)],
            Cap(|c| c.features.remove(Features::RTM))
        ),
        case("guest.ia32e.paging", Long, &[unrestricted], Clear(F::GUEST_CR0, cr0::PG)),
        case("guest.ia32e.pae", Long, &[], Clear(F::GUEST_CR4, cr4::PAE)),
        case("guest.cr4.pcide", Protected, &[], Or(F::GUEST_CR4, cr4::PCIDE)),
        case("guest.cr4.fred", Protected, &[], Or(F::GUEST_CR4, cr4::FRED)),
        case("guest.cr3.width", Long, &[Or(F::GUEST_CR3, BEYOND / 2)], Or(F::GUEST_CR3, BEYOND)),
        case("guest.cr3.width", Protected, &[], Or(F::GUEST_CR3, 1 << 63)),
        case("guest.dr7.upper", Long, &[debug], Or(F::GUEST_DR7, 1 << 32)),
        case("guest.dr7.upper", Long, &[Or(F::GUEST_DR7, 1 << 63)], debug),
        case("guest.sysenter_esp.canonical", Long, &[], Set(F::GUEST_SYSENTER_ESP, NOT_CANONICAL)),
        case("guest.sysenter_eip.canonical", Protected, &[], Set(F::GUEST_SYSENTER_EIP, NOT_CANONICAL)),
        case("guest.ssp_table.canonical", Long, &[cet], Set(F::GUEST_INTR_SSP_TABLE, NOT_CANONICAL)),
        case(
            "guest.perf_global_ctrl",
            Long,
            &[Or(ENTRY, Entry::LOAD_IA32_PERF_GLOBAL_CTRL)],
            Set(F::GUEST_IA32_PERF_GLOBAL_CTRL, 1 << 63)
        ),
        case("guest.pat", Long, &[Or(ENTRY, Entry::LOAD_IA32_PAT)], Set(F::GUEST_IA32_PAT, 0x0300_0000)),
        case("guest.pat", Long, &[Or(ENTRY, Entry::LOAD_IA32_PAT)], Set(F::GUEST_IA32_PAT, 0x80)),
        case("guest.efer.reserved", Long, &[efer], Or(F::GUEST_IA32_EFER, 1 << 12)),
        case("guest.efer.lma_matches_entry", Real, &[efer, Or(F::GUEST_IA32_EFER, 1 << 8)], {
            Or(F::GUEST_IA32_EFER, 1 << 10)
        }),
        case("guest.efer.lma_matches_entry", Long, &[Set(F::GUEST_IA32_EFER, 1)], efer),
        case("guest.efer.lma_lme", Long, &[efer], Clear(F::GUEST_IA32_EFER, 1 << 8)),
        case("guest.efer.lma_lme", Protected, &[efer], Or(F::GUEST_IA32_EFER, 1 << 8)),
        case(
            "guest.bndcfgs.reserved",
            Long,
            &[bounds, Set(F::GUEST_BNDCFGS, 0x1003)],
            Or(F::GUEST_BNDCFGS, 4)
        ),
        case("guest.bndcfgs.canonical", Long, &[bounds], Set(F::GUEST_BNDCFGS, NOT_CANONICAL)),
        case(
            "guest.rtit_ctl.reserved",
            Long,
            &[Or(ENTRY, Entry::LOAD_IA32_RTIT_CTL), Set(F::GUEST_IA32_RTIT_CTL, 0x2001)],
            Or(F::GUEST_IA32_RTIT_CTL, 1 << 18)
        ),
        case("guest.s_cet.reserved", Long, &[cet, Set(F::GUEST_S_CET, 0x1003)], Or(F::GUEST_S_CET, 1 << 9)),
        case(
            "guest.s_cet.reserved",
            Long,
            &[cet, Set(F::GUEST_S_CET, 4)],
            Cap(|c| c.features.remove(Features::CET_IBT))
        ),
        case("guest.s_cet.tracker", Long, &[cet, Set(F::GUEST_S_CET, 1 << 11)], Or(F::GUEST_S_CET, 1 << 10)),
        case("guest.s_cet.canonical", Long, &[cet], Set(F::GUEST_S_CET, NOT_CANONICAL)),
        case(
            "guest.lbr_ctl.reserved",
            Long,
            &[Or(ENTRY, Entry::LOAD_IA32_LBR_CTL), Set(F::GUEST_IA32_LBR_CTL, 0x7f_000f)],
            Or(F::GUEST_IA32_LBR_CTL, 1 << 4)
        ),
        case("guest.pkrs.upper", Long, &[Or(ENTRY, Entry::LOAD_PKRS)], Set(F::GUEST_IA32_PKRS, 1 << 32)),
        case("guest.uinv.upper", Long, &[Or(ENTRY, Entry::LOAD_UINV)], Set(F::GUEST_UINV, 0x100)),
        case("guest.fred.config", Long, &[fred], Set(F::GUEST_IA32_FRED_CONFIG, 1 << 5)),
        case("guest.fred.config", Long, &[fred], Set(F::GUEST_IA32_FRED_CONFIG, NOT_CANONICAL)),
        case("guest.fred.rsp", Long, &[fred], Set(F::GUEST_IA32_FRED_RSP2, 0x20)),
        case("guest.fred.rsp", Long, &[fred], Set(F::GUEST_IA32_FRED_RSP3, NOT_CANONICAL)),
        case("guest.fred.ssp", Long, &[fred], Set(F::GUEST_IA32_FRED_SSP1, 4)),
        case("guest.fred.ssp", Long, &[fred], Set(F::GUEST_IA32_FRED_SSP3, NOT_CANONICAL)),
    ];
    for bit in [3, 4, 5, 16, 63] {
        cases.push(case("guest.debugctl.reserved", Long, &[debug], Set(debugctl, 1 << bit)));
    }
    cases
}

fn registers() -> Vec<Case> {
    let cet = Or(ENTRY, Entry::LOAD_CET_STATE);
    let rip = F::GUEST_RIP;
    let interrupt = Set(INFO, 0x8000_0030);
    let fred = Or(F::GUEST_CR4, cr4::FRED);
    let ring3 = [
        fred,
        Set(F::GUEST_CS_SELECTOR, 0x0b),
        Set(F::GUEST_CS_AR_BYTES, 0xa0fb),
        Set(F::GUEST_SS_SELECTOR, 0x13),
        Set(F::GUEST_SS_AR_BYTES, 0xc0f3),
        Or(F::GUEST_RFLAGS, rflags::IF),
    ];
    let conforming = [
        fred,
        Set(F::GUEST_CS_SELECTOR, 0x0b),
        Set(F::GUEST_CS_AR_BYTES, 0xa09f),
        Set(F::GUEST_SS_SELECTOR, 0x13),
        Set(F::GUEST_SS_AR_BYTES, 0xc0f3),
        Set(PROC2, Proc2::ENABLE_EPT | Proc2::UNRESTRICTED_GUEST),
    ];
    let mut cases = std::vec![
        case("guest.rip.upper", Compat, &[Set(rip, 0xffff_ffff)], Set(rip, 1 << 32)),
        case("guest.rip.upper", Protected, &[], Set(rip, !0)),
        // Not canonical, but only the bits above the width count: fetching from there is the guest's fault.
        case("guest.rip.canonical", Long, &[Set(rip, 1 << 56)], Set(rip, 1 << 57)),
        case(
            "guest.rip.canonical",
            Long,
            &[Cap(|c| c.features.remove(Features::LA57)), Set(rip, 1 << 47)],
            Set(rip, 1 << 48)
        ),
        case("guest.rip.canonical", Long, &[Set(rip, !0 << 57)], Set(rip, !0 << 58)),
        case("guest.rflags.vm", V86, &[Or(F::GUEST_CR4, cr4::PAE)], Or(ENTRY, Entry::IA32E_MODE)),
        case(
            "guest.rflags.vm",
            V86,
            &[Or(PROC2, Proc2::UNRESTRICTED_GUEST), Clear(F::GUEST_CR0, cr0::PG)],
            Clear(F::GUEST_CR0, cr0::PE)
        ),
        case("guest.rflags.if_injection", Long, &[], interrupt),
        case("guest.rflags.if_injection", Long, &[Or(F::GUEST_RFLAGS, rflags::IF), interrupt], {
            Clear(F::GUEST_RFLAGS, rflags::IF)
        }),
        case("guest.ssp.aligned", Long, &[cet], Set(F::GUEST_SSP, 2)),
        case("guest.ssp.upper", Compat, &[cet], Set(F::GUEST_SSP, 1 << 32)),
        case("guest.ssp.canonical", Long, &[cet, Set(F::GUEST_SSP, 1 << 56)], Set(F::GUEST_SSP, 1 << 57)),
        case("guest.fred.ss_dpl", Long, &conforming, Set(F::GUEST_SS_AR_BYTES, 0xc0b3)),
        case("guest.fred.cs_l", Compat, &[], fred),
        case("guest.fred.iopl", Long, &ring3, Or(F::GUEST_RFLAGS, rflags::IOPL0)),
        case("guest.fred.sti", Long, &ring3, Set(BLOCKING, 1)),
    ];
    // The VM flag would change the meaning of the segments.
    for bit in [3, 5, 15, 22, 32, 63] {
        cases.push(case("guest.rflags.reserved", Long, &[], Or(F::GUEST_RFLAGS, 1 << bit)));
    }
    cases.push(case("guest.rflags.reserved", Long, &[], Clear(F::GUEST_RFLAGS, 2)));
    cases
}

fn state() -> Vec<Case> {
    let on = Or(F::GUEST_RFLAGS, rflags::IF);
    let tf = Or(F::GUEST_RFLAGS, rflags::TF);
    let btf = Set(F::GUEST_IA32_DEBUGCTL, 2);
    let smm_entry = [SMM, Or(ENTRY, Entry::SMM), Set(BLOCKING, 4)];
    let ring1 = [
        Set(F::GUEST_CS_AR_BYTES, 0xa09f),
        Set(F::GUEST_CS_SELECTOR, 0x09),
        Set(F::GUEST_SS_SELECTOR, 0x11),
        Set(F::GUEST_SS_AR_BYTES, 0xc0b3),
    ];
    let nmi = Set(INFO, 0x8000_0202);
    let virtual_nmis = Or(F::PIN_BASED_VM_EXEC_CONTROL, Pin::NMI_EXITING | Pin::VIRTUAL_NMIS);
    let rtm = Set(PENDING, 0x1_1000);
    let mut cases = std::vec![
        case("guest.activity.range", Long, &[Set(ACTIVITY, 3)], Set(ACTIVITY, 4)),
        case("guest.activity.supported", Long, &[Set(ACTIVITY, 1)], Cap(|c| c.misc &= !(1 << 6))),
        case("guest.activity.supported", Long, &[Set(ACTIVITY, 2)], Cap(|c| c.misc &= !(1 << 7))),
        case("guest.activity.supported", Long, &[Set(ACTIVITY, 3)], Cap(|c| c.misc &= !(1 << 8))),
        case("guest.activity.hlt_ss_dpl", Long, &ring1, Set(ACTIVITY, 1)),
        case("guest.activity.blocking", Long, &[on, Set(ACTIVITY, 1)], Set(BLOCKING, 1)),
        case("guest.activity.blocking", Long, &[Set(BLOCKING, 2)], Set(ACTIVITY, 2)),
        case("guest.activity.smm", Long, &smm_entry, Set(ACTIVITY, 3)),
        case("guest.interruptibility.reserved", Long, &[], Set(BLOCKING, 1 << 5)),
        case("guest.interruptibility.reserved", Long, &[], Set(BLOCKING, 1 << 31)),
        case("guest.interruptibility.sti_and_mov_ss", Long, &[on, Set(BLOCKING, 1)], Set(BLOCKING, 3)),
        case("guest.interruptibility.sti_if", Long, &[on, Set(BLOCKING, 1)], {
            Clear(F::GUEST_RFLAGS, rflags::IF)
        }),
        case(
            "guest.interruptibility.ext_intr_injection",
            Long,
            &[on, Set(INFO, 0x8000_0030)],
            Set(BLOCKING, 1)
        ),
        case(
            "guest.interruptibility.ext_intr_injection",
            Long,
            &[on, Set(BLOCKING, 2)],
            Set(INFO, 0x8000_0030)
        ),
        case("guest.interruptibility.nmi_injection", Long, &[nmi], Set(BLOCKING, 2)),
        case("guest.interruptibility.smi", Long, &[SMM, Set(BLOCKING, 4)], Cpu(|c| c.in_smm = false)),
        case("guest.interruptibility.smi_entry", Long, &smm_entry, Set(BLOCKING, 0)),
        case("guest.interruptibility.virtual_nmi_injection", Long, &[nmi, Set(BLOCKING, 8)], virtual_nmis),
        case("guest.interruptibility.enclave", Long, &[Set(BLOCKING, 0x10)], Set(BLOCKING, 0x12)),
        case(
            "guest.interruptibility.enclave",
            Long,
            &[Set(BLOCKING, 0x10)],
            Cap(|c| c.features.remove(Features::SGX))
        ),
        case(
            "guest.pending_dbg.reserved",
            Long,
            &[Set(PENDING, 0x580f)],
            Cap(|c| c.features.remove(Features::BUS_LOCK_DETECT))
        ),
        case(
            "guest.pending_dbg.bs_set",
            Long,
            &[tf, Set(PENDING, 0x4000), Set(BLOCKING, 2)],
            Set(PENDING, 0)
        ),
        case("guest.pending_dbg.bs_set", Long, &[on, tf], Set(BLOCKING, 1)),
        case("guest.pending_dbg.bs_set", Long, &[tf, btf, Set(ACTIVITY, 1)], Set(F::GUEST_IA32_DEBUGCTL, 0)),
        case("guest.pending_dbg.bs_clear", Long, &[Set(ACTIVITY, 1)], Set(PENDING, 0x4000)),
        case("guest.pending_dbg.bs_clear", Long, &[tf, Set(BLOCKING, 2), Set(PENDING, 0x4000)], btf),
        case("guest.pending_dbg.rtm", Long, &[rtm], Set(PENDING, 0x1_0000)),
        case("guest.pending_dbg.rtm", Long, &[rtm], Or(PENDING, 1)),
        case("guest.pending_dbg.rtm", Long, &[rtm], Or(PENDING, 1 << 14)),
        case("guest.pending_dbg.rtm_supported", Long, &[rtm], Cap(|c| c.features.remove(Features::RTM))),
        case("guest.pending_dbg.rtm_blocking", Long, &[rtm], Set(BLOCKING, 2)),
    ];
    for bit in [4, 10, 13, 15, 17, 63] {
        cases.push(case("guest.pending_dbg.reserved", Long, &[], Set(PENDING, 1 << bit)));
    }
    // Activity state, an event that it allows, one that it does not.
    for (activity, good, bad) in [
        (1, 0x8000_0030, 0x8000_0480),
        (1, 0x8000_0202, 0x8000_0300),
        (1, 0x8000_0301, 0x8000_0b08),
        (1, 0x8000_0312, 0x8000_0603),
        (1, 0x8000_0700, 0x8000_0501),
        (2, 0x8000_0202, 0x8000_0030),
        (2, 0x8000_0312, 0x8000_0301),
        (2, 0x8000_0312, 0x8000_0700),
        (3, 0x0000_0202, 0x8000_0202),
    ] {
        let with = [on, Set(ACTIVITY, activity), Set(INFO, good)];
        cases.push(case("guest.activity.injection", Long, &with, Set(INFO, bad)));
    }
    cases
}

fn memory() -> Vec<Case> {
    let linked = Set(LINK, LINKED);
    let shadowing = Or(PROC2, Proc2::SHADOW_VMCS);
    let mut cases = std::vec![
        case("guest.link_pointer.aligned", Long, &[linked], Set(LINK, NOT_ALIGNED)),
        case("guest.link_pointer.width", Long, &[linked], Set(LINK, TOO_HIGH)),
        case("guest.link_pointer.revision", Long, &[linked], Cap(|c| c.basic += 1)),
        case("guest.link_pointer.shadow", Long, &[linked], Set(LINK, SHADOW)),
        case("guest.link_pointer.shadow", Long, &[shadowing, Set(LINK, SHADOW)], Set(LINK, LINKED)),
        case("guest.link_pointer.shadow", Long, &[linked], shadowing),
        case("guest.link_pointer.current", Long, &[linked], Set(LINK, VMCS)),
        case("guest.link_pointer.executive", Long, &[SMM, linked], Set(F::EXECUTIVE_VMCS_POINTER, LINKED)),
        case("guest.pdpte.memory", Pae, &[Set(PROC2, 0)], Set(F::GUEST_CR3, BAD_PDPT)),
        case("guest.pdpte.memory", Pae, &[Set(F::GUEST_CR3, BAD_PDPT)], Set(PROC2, 0)),
        case("guest.pdpte.reserved", Pae, &[Set(F::GUEST_PDPTR3, !1)], Or(F::GUEST_PDPTR3, 1)),
    ];
    for (field, bit) in [
        (F::GUEST_PDPTR0, 1),
        (F::GUEST_PDPTR1, 2),
        (F::GUEST_PDPTR2, 5),
        (F::GUEST_PDPTR3, 8),
        (F::GUEST_PDPTR3, 39),
        (F::GUEST_PDPTR3, 63),
    ] {
        cases.push(case("guest.pdpte.reserved", Pae, &[Set(field, 0x1e19)], Or(field, 1 << bit)));
    }
    cases
}

/// An NMI over blocking by STI is legal, save for a processor that minds.
#[test]
fn nmi_over_sti() {
    let mut world = Long.world();
    world.apply(Or(F::GUEST_RFLAGS, rflags::IF));
    world.apply(Set(INFO, 0x8000_0202));
    world.apply(Set(BLOCKING, 1));
    assert_eq!(world.all_broken(), [""; 0]);
    let ctx = Ctx { v: &world.v, caps: &world.caps, mem: &MEMORY, cpu: world.cpu };
    let rule = first_broken(OPTIONAL, &ctx).unwrap();
    assert_eq!((rule.id, rule.qualification), ("guest.interruptibility.nmi_injection_sti", 3));
}
