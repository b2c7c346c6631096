//! Checks on the host-state area.

use super::context::{HIGH_HALF, canonical, implies};
use super::guest_control::{
    cr3_ok, efer_defined, fred, fred_config_ok, fred_stacks_ok, pat_ok, perf, s_cet_defined, s_cet_tracker,
};
use crate::cr::{cr0, cr4, efer};
use crate::vmx::controls::{Exit, Exit2};
use crate::vmx::field::Field as F;

/// CR0 bits that VM exit does not change, and VM entry does not check: NW, CD.
pub(super) const CR0_UNCHECKED: u64 = cr0::NW | cr0::CD;
/// The RPL and the TI flag of a selector.
const RPL_TI: u64 = 7;

super::rules! { Host;
in "Checks on Host Control Registers, MSRs, and SSP", NONE {
    "host.cr0.fixed" [HOST_CR0]
        "the CR0 field has only bits that VMX operation supports, NW and CD aside",
        |c| {
            let cr0 = c.v[F::HOST_CR0];
            c.caps.cr0_fixed0 & !cr0 & !CR0_UNCHECKED == 0 && cr0 & !c.caps.cr0_fixed1 & !CR0_UNCHECKED == 0
        };
    "host.cr4.fixed" [HOST_CR4]
        "the CR4 field has only bits that VMX operation supports",
        |c| {
            let cr4 = c.v[F::HOST_CR4];
            c.caps.cr4_fixed0 & !cr4 == 0 && cr4 & !c.caps.cr4_fixed1 == 0
        };
    "host.cr4.cet_needs_wp" [HOST_CR4, HOST_CR0]
        "CR4.CET is 0 if CR0.WP is 0",
        |c| implies(c.v[F::HOST_CR4] & cr4::CET != 0, c.v[F::HOST_CR0] & cr0::WP != 0);
    "host.cr3.width" [HOST_CR3]
        "bits 63:52 of the CR3 field and those beyond the physical-address width are 0, linear-address masking aside",
        |c| cr3_ok(c, F::HOST_CR3);
    "host.sysenter_esp.canonical" [HOST_IA32_SYSENTER_ESP]
        "the IA32_SYSENTER_ESP field holds a canonical address",
        |c| c.canonical(F::HOST_IA32_SYSENTER_ESP);
    "host.sysenter_eip.canonical" [HOST_IA32_SYSENTER_EIP]
        "the IA32_SYSENTER_EIP field holds a canonical address",
        |c| c.canonical(F::HOST_IA32_SYSENTER_EIP);
    "host.ssp_table.canonical" [HOST_INTR_SSP_TABLE, VM_EXIT_CONTROLS]
        "the IA32_INTERRUPT_SSP_TABLE_ADDR field holds a canonical address with \"load CET state\"",
        |c| implies(c.exit(Exit::LOAD_CET_STATE), c.canonical(F::HOST_INTR_SSP_TABLE));
    "host.perf_global_ctrl" [HOST_IA32_PERF_GLOBAL_CTRL, VM_EXIT_CONTROLS]
        "the IA32_PERF_GLOBAL_CTRL field sets no reserved bit with \"load IA32_PERF_GLOBAL_CTRL\"",
        |c| implies(
            c.exit(Exit::LOAD_IA32_PERF_GLOBAL_CTRL),
            c.v[F::HOST_IA32_PERF_GLOBAL_CTRL] & !perf::DEFINED == 0,
        );
    "host.pat" [HOST_IA32_PAT, VM_EXIT_CONTROLS]
        "each byte of the IA32_PAT field is 0, 1, 4, 5, 6 or 7 with \"load IA32_PAT\"",
        |c| implies(c.exit(Exit::LOAD_IA32_PAT), pat_ok(c.v[F::HOST_IA32_PAT]));
    "host.efer.reserved" [HOST_IA32_EFER, VM_EXIT_CONTROLS]
        "the IA32_EFER field sets no reserved bit with \"load IA32_EFER\"",
        |c| implies(c.exit(Exit::LOAD_IA32_EFER), c.v[F::HOST_IA32_EFER] & !efer_defined(c) == 0);
    "host.efer.lma" [HOST_IA32_EFER, VM_EXIT_CONTROLS]
        "LMA in the IA32_EFER field equals \"host address-space size\" with \"load IA32_EFER\"",
        |c| implies(
            c.exit(Exit::LOAD_IA32_EFER),
            (c.v[F::HOST_IA32_EFER] & efer::LMA != 0) == c.host64(),
        );
    "host.efer.lme" [HOST_IA32_EFER, VM_EXIT_CONTROLS]
        "LME in the IA32_EFER field equals \"host address-space size\" with \"load IA32_EFER\"",
        |c| implies(
            c.exit(Exit::LOAD_IA32_EFER),
            (c.v[F::HOST_IA32_EFER] & efer::LME != 0) == c.host64(),
        );
    "host.s_cet.reserved" [HOST_S_CET, VM_EXIT_CONTROLS]
        "the IA32_S_CET field sets no reserved bit with \"load CET state\"",
        |c| implies(c.exit(Exit::LOAD_CET_STATE), c.v[F::HOST_S_CET] & !s_cet_defined(c) == 0);
    "host.s_cet.canonical" [HOST_S_CET, VM_EXIT_CONTROLS]
        "the IA32_S_CET field holds a canonical address with \"load CET state\"",
        |c| implies(c.exit(Exit::LOAD_CET_STATE), c.canonical(F::HOST_S_CET));
    "host.s_cet.tracker" [HOST_S_CET, VM_EXIT_CONTROLS]
        "SUPPRESS and TRACKER in the IA32_S_CET field are not both 1 with \"load CET state\"",
        |c| implies(c.exit(Exit::LOAD_CET_STATE), s_cet_tracker(c.v[F::HOST_S_CET]));
    "host.ssp.aligned" [HOST_SSP, VM_EXIT_CONTROLS]
        "bits 1:0 of the SSP field are 0 with \"load CET state\"",
        |c| implies(c.exit(Exit::LOAD_CET_STATE), c.v[F::HOST_SSP].is_multiple_of(4));
    "host.pkrs.upper" [HOST_IA32_PKRS, VM_EXIT_CONTROLS]
        "bits 63:32 of the IA32_PKRS field are 0 with \"load PKRS\"",
        |c| implies(c.exit(Exit::LOAD_PKRS), c.v[F::HOST_IA32_PKRS] & HIGH_HALF == 0);
    "host.fred.config" [HOST_IA32_FRED_CONFIG, SECONDARY_VM_EXIT_CONTROLS]
        "bits 11, 5:4 and 2 of the IA32_FRED_CONFIG field are 0 and its address is canonical with \"load IA32_FRED\"",
        |c| implies(c.exit2(Exit2::LOAD_IA32_FRED), fred_config_ok(c, F::HOST_IA32_FRED_CONFIG));
    "host.fred.rsp" [HOST_IA32_FRED_RSP1, HOST_IA32_FRED_RSP2, HOST_IA32_FRED_RSP3, SECONDARY_VM_EXIT_CONTROLS]
        "the IA32_FRED_RSP1 to RSP3 fields hold canonical addresses, 64-byte aligned, with \"load IA32_FRED\"",
        |c| implies(c.exit2(Exit2::LOAD_IA32_FRED), {
            let stacks = [F::HOST_IA32_FRED_RSP1, F::HOST_IA32_FRED_RSP2, F::HOST_IA32_FRED_RSP3];
            fred_stacks_ok(c, stacks, fred::RSP_OFFSET)
        });
    "host.fred.ssp" [HOST_IA32_FRED_SSP1, HOST_IA32_FRED_SSP2, HOST_IA32_FRED_SSP3, SECONDARY_VM_EXIT_CONTROLS]
        "the IA32_FRED_SSP1 to SSP3 fields hold canonical addresses, 8-byte aligned, with \"load IA32_FRED\"",
        |c| implies(c.exit2(Exit2::LOAD_IA32_FRED), {
            let stacks = [F::HOST_IA32_FRED_SSP1, F::HOST_IA32_FRED_SSP2, F::HOST_IA32_FRED_SSP3];
            fred_stacks_ok(c, stacks, fred::SSP_OFFSET)
        });
}
in "Checks on Host Segment and Descriptor-Table Registers", NONE {
    "host.cs.rpl_ti" [HOST_CS_SELECTOR] "the RPL and TI of the CS selector are 0",
        |c| c.v[F::HOST_CS_SELECTOR] & RPL_TI == 0;
    "host.ss.rpl_ti" [HOST_SS_SELECTOR] "the RPL and TI of the SS selector are 0",
        |c| c.v[F::HOST_SS_SELECTOR] & RPL_TI == 0;
    "host.ds.rpl_ti" [HOST_DS_SELECTOR] "the RPL and TI of the DS selector are 0",
        |c| c.v[F::HOST_DS_SELECTOR] & RPL_TI == 0;
    "host.es.rpl_ti" [HOST_ES_SELECTOR] "the RPL and TI of the ES selector are 0",
        |c| c.v[F::HOST_ES_SELECTOR] & RPL_TI == 0;
    "host.fs.rpl_ti" [HOST_FS_SELECTOR] "the RPL and TI of the FS selector are 0",
        |c| c.v[F::HOST_FS_SELECTOR] & RPL_TI == 0;
    "host.gs.rpl_ti" [HOST_GS_SELECTOR] "the RPL and TI of the GS selector are 0",
        |c| c.v[F::HOST_GS_SELECTOR] & RPL_TI == 0;
    "host.tr.rpl_ti" [HOST_TR_SELECTOR] "the RPL and TI of the TR selector are 0",
        |c| c.v[F::HOST_TR_SELECTOR] & RPL_TI == 0;
    "host.cs.null" [HOST_CS_SELECTOR] "the CS selector is not 0",
        |c| c.v[F::HOST_CS_SELECTOR] != 0;
    "host.tr.null" [HOST_TR_SELECTOR] "the TR selector is not 0",
        |c| c.v[F::HOST_TR_SELECTOR] != 0;
    "host.ss.null" [HOST_SS_SELECTOR, VM_EXIT_CONTROLS]
        "the SS selector is not 0 without \"host address-space size\"",
        |c| implies(!c.host64(), c.v[F::HOST_SS_SELECTOR] != 0);
    "host.fs_base.canonical" [HOST_FS_BASE] "the base of FS is canonical",
        |c| c.canonical(F::HOST_FS_BASE);
    "host.gs_base.canonical" [HOST_GS_BASE] "the base of GS is canonical",
        |c| c.canonical(F::HOST_GS_BASE);
    "host.gdtr_base.canonical" [HOST_GDTR_BASE] "the base of GDTR is canonical",
        |c| c.canonical(F::HOST_GDTR_BASE);
    "host.idtr_base.canonical" [HOST_IDTR_BASE] "the base of IDTR is canonical",
        |c| c.canonical(F::HOST_IDTR_BASE);
    "host.tr_base.canonical" [HOST_TR_BASE] "the base of TR is canonical",
        |c| c.canonical(F::HOST_TR_BASE);
}
in "Checks Related to Address-Space Size", NONE {
    "host.ia32e.addr_space" [VM_EXIT_CONTROLS]
        "\"host address-space size\" equals IA32_EFER.LMA at VM entry",
        |c| c.host64() == c.cpu.lma;
    "host.ia32e.guest" [VM_ENTRY_CONTROLS, VM_EXIT_CONTROLS]
        "\"IA-32e mode guest\" is 0 outside of IA-32e mode and without \"host address-space size\"",
        |c| implies(c.ia32e(), c.host64() && c.cpu.lma);
    "host.cr4.pcide" [HOST_CR4, VM_EXIT_CONTROLS]
        "CR4.PCIDE is 0 without \"host address-space size\"",
        |c| implies(!c.host64(), c.v[F::HOST_CR4] & cr4::PCIDE == 0);
    "host.cr4.fred" [HOST_CR4, VM_EXIT_CONTROLS]
        "CR4.FRED is 0 without \"host address-space size\"",
        |c| implies(!c.host64(), c.v[F::HOST_CR4] & cr4::FRED == 0);
    "host.rip.upper" [HOST_RIP, VM_EXIT_CONTROLS]
        "bits 63:32 of RIP are 0 without \"host address-space size\"",
        |c| implies(!c.host64(), c.v[F::HOST_RIP] & HIGH_HALF == 0);
    "host.cet.upper" [HOST_S_CET, HOST_SSP, VM_EXIT_CONTROLS]
        "bits 63:32 of IA32_S_CET and SSP are 0 with \"load CET state\" and without \"host address-space size\"",
        |c| implies(
            !c.host64() && c.exit(Exit::LOAD_CET_STATE),
            (c.v[F::HOST_S_CET] | c.v[F::HOST_SSP]) & HIGH_HALF == 0,
        );
    "host.cr4.pae" [HOST_CR4, VM_EXIT_CONTROLS]
        "CR4.PAE is 1 with \"host address-space size\"",
        |c| implies(c.host64(), c.v[F::HOST_CR4] & cr4::PAE != 0);
    "host.rip.canonical" [HOST_RIP, HOST_CR4, VM_EXIT_CONTROLS]
        "RIP is canonical, by the width that CR4.LA57 in the host-state area gives, with \"host address-space size\"",
        |c| {
            let width = if c.v[F::HOST_CR4] & cr4::LA57 != 0 { 57 } else { 48 };
            implies(c.host64(), canonical(c.v[F::HOST_RIP], width))
        };
    "host.ssp.canonical" [HOST_SSP, VM_EXIT_CONTROLS]
        "SSP is canonical with \"load CET state\" and \"host address-space size\"",
        |c| implies(c.host64() && c.exit(Exit::LOAD_CET_STATE), c.canonical(F::HOST_SSP));
}
}
