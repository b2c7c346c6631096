//! Mutants of the host-state area.

use super::legal::{BEYOND, Base::*};
use super::*;
use crate::cr::{cr0, cr4};
use crate::vmx::caps::Features;
use crate::vmx::controls::{Entry, Exit, Exit2};
use crate::vmx::field::Field as F;

const EXIT: F = F::VM_EXIT_CONTROLS;
/// The lowest address that is not canonical with 57 bits.
pub const NOT_CANONICAL: u64 = 1 << 56;

pub fn cases() -> Vec<Case> {
    let efer = Or(EXIT, Exit::LOAD_IA32_EFER);
    let pat = Or(EXIT, Exit::LOAD_IA32_PAT);
    let cet = Or(EXIT, Exit::LOAD_CET_STATE);
    let secondary = Or(EXIT, Exit::ACTIVATE_SECONDARY_CONTROLS);
    let fred = Or(F::SECONDARY_VM_EXIT_CONTROLS, Exit2::LOAD_IA32_FRED);
    let mut cases = std::vec![
        case("host.cr0.fixed", Long, &[], Clear(F::HOST_CR0, cr0::PG)),
        case("host.cr0.fixed", Long, &[Or(F::HOST_CR0, cr0::CD | cr0::NW)], Or(F::HOST_CR0, 1 << 32)),
        case("host.cr4.fixed", Long, &[], Clear(F::HOST_CR4, cr4::VMXE)),
        case("host.cr4.fixed", Long, &[], Or(F::HOST_CR4, 1 << 15)),
        case("host.cr4.cet_needs_wp", Long, &[Or(F::HOST_CR4, cr4::CET)], Clear(F::HOST_CR0, cr0::WP)),
        case("host.cr3.width", Long, &[Set(F::HOST_CR3, BEYOND / 2)], Set(F::HOST_CR3, BEYOND)),
        case("host.cr3.width", Long, &[Set(F::HOST_CR3, 3 << 61)], Cap(|c| c.features.remove(Features::LAM))),
        case("host.cr3.width", Long, &[], Set(F::HOST_CR3, 1 << 63)),
        case(
            "host.perf_global_ctrl",
            Long,
            &[Or(EXIT, Exit::LOAD_IA32_PERF_GLOBAL_CTRL), Set(F::HOST_IA32_PERF_GLOBAL_CTRL, 7 << 32 | 0xff)],
            Set(F::HOST_IA32_PERF_GLOBAL_CTRL, 1 << 63)
        ),
        case("host.pat", Long, &[pat], Set(F::HOST_IA32_PAT, 2)),
        case("host.pat", Long, &[pat], Set(F::HOST_IA32_PAT, 0x08 << 56)),
        case("host.pat", Long, &[Set(F::HOST_IA32_PAT, 3 << 8)], pat),
        case("host.efer.reserved", Long, &[efer], Or(F::HOST_IA32_EFER, 1 << 1)),
        case(
            "host.efer.reserved",
            Long,
            &[efer],
            Cap(|c| c.features.remove(Features::NX | Features::SYSCALL))
        ),
        case("host.efer.lma", Long, &[efer], Clear(F::HOST_IA32_EFER, 1 << 10)),
        case("host.efer.lma", Host32, &[efer], Or(F::HOST_IA32_EFER, 1 << 10)),
        case("host.efer.lme", Long, &[efer], Clear(F::HOST_IA32_EFER, 1 << 8)),
        case("host.s_cet.reserved", Long, &[cet, Set(F::HOST_S_CET, 0x3f)], Or(F::HOST_S_CET, 1 << 6)),
        case(
            "host.s_cet.reserved",
            Long,
            &[cet, Set(F::HOST_S_CET, 0x3)],
            Cap(|c| c.features.remove(Features::CET_SS))
        ),
        case("host.s_cet.canonical", Long, &[cet], Set(F::HOST_S_CET, NOT_CANONICAL)),
        case("host.s_cet.tracker", Long, &[cet, Set(F::HOST_S_CET, 1 << 10)], Or(F::HOST_S_CET, 1 << 11)),
        case("host.ssp.aligned", Long, &[cet, Set(F::HOST_SSP, 4)], Set(F::HOST_SSP, 6)),
        case("host.ssp.canonical", Long, &[cet], Set(F::HOST_SSP, NOT_CANONICAL)),
        case("host.cet.upper", Host32, &[cet], Set(F::HOST_SSP, 1 << 32)),
        case("host.cet.upper", Host32, &[cet], Set(F::HOST_S_CET, 1 << 32)),
        case("host.ssp_table.canonical", Long, &[cet], Set(F::HOST_INTR_SSP_TABLE, NOT_CANONICAL)),
        case(
            "host.pkrs.upper",
            Long,
            &[Or(EXIT, Exit::LOAD_PKRS), Set(F::HOST_IA32_PKRS, 0xffff_ffff)],
            Set(F::HOST_IA32_PKRS, 1 << 32)
        ),
        case("host.fred.config", Long, &[secondary, fred], Set(F::HOST_IA32_FRED_CONFIG, 1 << 11)),
        case("host.fred.config", Long, &[secondary, fred], Set(F::HOST_IA32_FRED_CONFIG, NOT_CANONICAL)),
        case("host.fred.config", Long, &[fred, Set(F::HOST_IA32_FRED_CONFIG, 4)], secondary),
        case("host.cs.null", Long, &[], Set(F::HOST_CS_SELECTOR, 0)),
        case("host.tr.null", Long, &[], Set(F::HOST_TR_SELECTOR, 0)),
        case("host.ss.null", Host32, &[], Set(F::HOST_SS_SELECTOR, 0)),
        case("host.ia32e.addr_space", Protected, &[], Cpu(|c| c.lma = false)),
        case("host.ia32e.addr_space", Host32, &[], Cpu(|c| c.lma = true)),
        case("host.ia32e.guest", Host32, &[], Or(F::VM_ENTRY_CONTROLS, Entry::IA32E_MODE)),
        case("host.cr4.pcide", Host32, &[], Or(F::HOST_CR4, cr4::PCIDE)),
        case("host.cr4.fred", Host32, &[], Or(F::HOST_CR4, cr4::FRED)),
        case("host.rip.upper", Host32, &[Set(F::HOST_RIP, 0xffff_ffff)], Set(F::HOST_RIP, 1 << 32)),
        case("host.cr4.pae", Long, &[], Clear(F::HOST_CR4, cr4::PAE)),
        case(
            "host.rip.canonical",
            Long,
            &[Or(F::HOST_CR4, cr4::LA57), Set(F::HOST_RIP, 1 << 47)],
            Clear(F::HOST_CR4, cr4::LA57)
        ),
        case(
            "host.rip.canonical",
            Long,
            &[Or(F::HOST_CR4, cr4::LA57), Set(F::HOST_RIP, !0 << 56)],
            Set(F::HOST_RIP, NOT_CANONICAL)
        ),
    ];
    for (field, id) in [
        (F::HOST_IA32_SYSENTER_ESP, "host.sysenter_esp.canonical"),
        (F::HOST_IA32_SYSENTER_EIP, "host.sysenter_eip.canonical"),
        (F::HOST_FS_BASE, "host.fs_base.canonical"),
        (F::HOST_GS_BASE, "host.gs_base.canonical"),
        (F::HOST_GDTR_BASE, "host.gdtr_base.canonical"),
        (F::HOST_IDTR_BASE, "host.idtr_base.canonical"),
        (F::HOST_TR_BASE, "host.tr_base.canonical"),
    ] {
        cases.push(case(id, Long, &[Set(field, NOT_CANONICAL - 1)], Set(field, NOT_CANONICAL)));
        // What counts is what the processor supports, not what CR4.LA57 says.
        let narrow = Cap(|c| c.features.remove(Features::LA57));
        cases.push(case(id, Long, &[Set(field, 1 << 47)], narrow));
    }
    for (field, id) in [
        (F::HOST_CS_SELECTOR, "host.cs.rpl_ti"),
        (F::HOST_SS_SELECTOR, "host.ss.rpl_ti"),
        (F::HOST_DS_SELECTOR, "host.ds.rpl_ti"),
        (F::HOST_ES_SELECTOR, "host.es.rpl_ti"),
        (F::HOST_FS_SELECTOR, "host.fs.rpl_ti"),
        (F::HOST_GS_SELECTOR, "host.gs.rpl_ti"),
        (F::HOST_TR_SELECTOR, "host.tr.rpl_ti"),
    ] {
        for bit in [1, 2, 4] {
            cases.push(case(id, Long, &[], Or(field, bit)));
        }
    }
    for (field, id, align) in [
        (F::HOST_IA32_FRED_RSP1, "host.fred.rsp", 64),
        (F::HOST_IA32_FRED_RSP2, "host.fred.rsp", 64),
        (F::HOST_IA32_FRED_RSP3, "host.fred.rsp", 64),
        (F::HOST_IA32_FRED_SSP1, "host.fred.ssp", 8),
        (F::HOST_IA32_FRED_SSP2, "host.fred.ssp", 8),
        (F::HOST_IA32_FRED_SSP3, "host.fred.ssp", 8),
    ] {
        cases.push(case(id, Long, &[secondary, fred, Set(field, align)], Set(field, align / 2)));
        cases.push(case(id, Long, &[secondary, fred], Set(field, NOT_CANONICAL)));
    }
    cases
}
