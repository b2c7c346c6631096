//! Checks on the guest's control registers, debug registers and MSRs.

use super::context::{Ctx, HIGH_HALF, canonical, implies};
use super::host::CR0_UNCHECKED;
use crate::cr::{cr0, cr4, efer};
use crate::vmx::caps::Features;
use crate::vmx::controls::Entry;
use crate::vmx::field::Field as F;

/// CR3 beyond the physical address. SDM: "Control Registers".
mod cr3 {
    /// Linear-address masking of user addresses, 57 and 48 bits.
    pub(super) const LAM: u64 = 1 << 61 | 1 << 62;
}

/// IA32_DEBUGCTL. SDM: "IA32_DEBUGCTL MSR".
pub(super) mod debugctl {
    /// Single-step on branches.
    pub(in super::super) const BTF: u64 = 1 << 1;
    pub(super) const BUS_LOCK_DETECT: u64 = 1 << 2;
    pub(super) const FREEZE_IN_SMM: u64 = 1 << 14;
    pub(super) const RTM: u64 = 1 << 15;
    /// LBR, BTF; TR, BTS, BTINT, BTS_OFF_OS, BTS_OFF_USR, FREEZE_LBRS_ON_PMI, FREEZE_PERFMON_ON_PMI,
    /// ENABLE_UNCORE_PMI.
    pub(super) const ALWAYS: u64 = 0x3fc3;
}

/// IA32_PERF_GLOBAL_CTRL. SDM: "Architectural Performance Monitoring".
pub(super) mod perf {
    /// 32 general-purpose counters, 16 fixed ones, the performance metrics: all that the manual ever defines, for the
    /// capabilities do not say how many there are.
    pub(in super::super) const DEFINED: u64 = (1 << 49) - 1;
}

/// IA32_S_CET. SDM: "Control-Flow Enforcement Technology (CET)".
mod s_cet {
    /// Shadow stacks: enable, WRSS.
    pub(super) const SHADOW_STACK: u64 = 0x3;
    pub(super) const SUPPRESS: u64 = 1 << 10;
    pub(super) const TRACKER: u64 = 1 << 11;
    /// Indirect-branch tracking: bits 5:2, the state machine, the base of the legacy bitmap.
    pub(super) const TRACKING: u64 = 0x3c | SUPPRESS | TRACKER | !0xfff;
}

/// Bits 11:2 of IA32_BNDCFGS. SDM: "Intel MPX Register State".
const BNDCFGS_RESERVED: u64 = 0xffc;
/// The address in IA32_BNDCFGS.
const BNDCFGS_BASE: u64 = !0xfff;
/// Reserved bits of IA32_RTIT_CTL: 18, 23, 30:28, 54:48, 63:57. SDM: "IA32_RTIT_CTL MSR".
const RTIT_CTL_RESERVED: u64 = 0xfe7f_0000_7084_0000;
/// Reserved bits of IA32_LBR_CTL: 15:4, 63:23. SDM: "Last Branch Records".
const LBR_CTL_RESERVED: u64 = 0xffff_ffff_ff80_fff0;

/// FRED's MSRs. FRED specification: "FRED MSRs".
pub(super) mod fred {
    /// Bits of IA32_FRED_CONFIG: 2, 5:4, 11.
    pub(in super::super) const CONFIG_RESERVED: u64 = 0x834;
    /// The address in IA32_FRED_CONFIG.
    pub(in super::super) const CONFIG_BASE: u64 = !0xfff;
    /// Bits 5:0 of a stack pointer, 2:0 of a shadow-stack pointer.
    pub(in super::super) const RSP_OFFSET: u64 = 0x3f;
    pub(in super::super) const SSP_OFFSET: u64 = 7;
}

super::rules! { Guest;
in "Checks on Guest Control Registers, Debug Registers, and MSRs", NONE {
    "guest.cr0.fixed" [GUEST_CR0, SECONDARY_VM_EXEC_CONTROL]
        "the CR0 field has only bits that VMX operation supports; NW and CD are not checked, nor PE and PG with \"unrestricted guest\"",
        |c| {
            let cr0 = c.v[F::GUEST_CR0];
            let free = if c.unrestricted() { CR0_UNCHECKED | cr0::PE | cr0::PG } else { CR0_UNCHECKED };
            c.caps.cr0_fixed0 & !cr0 & !free == 0 && cr0 & !c.caps.cr0_fixed1 & !free == 0
        };
    "guest.cr0.pg_pe" [GUEST_CR0]
        "CR0.PG is 0 if CR0.PE is 0",
        |c| implies(c.v[F::GUEST_CR0] & cr0::PG != 0, c.protected());
    "guest.cr4.fixed" [GUEST_CR4]
        "the CR4 field has only bits that VMX operation supports",
        |c| {
            let cr4 = c.v[F::GUEST_CR4];
            c.caps.cr4_fixed0 & !cr4 == 0 && cr4 & !c.caps.cr4_fixed1 == 0
        };
    "guest.cr4.cet_needs_wp" [GUEST_CR4, GUEST_CR0]
        "CR4.CET is 0 if CR0.WP is 0",
        |c| implies(c.v[F::GUEST_CR4] & cr4::CET != 0, c.v[F::GUEST_CR0] & cr0::WP != 0);
    "guest.debugctl.reserved" [GUEST_IA32_DEBUGCTL, VM_ENTRY_CONTROLS]
        "the IA32_DEBUGCTL field sets no reserved bit with \"load debug controls\"",
        |c| implies(
            c.entry(Entry::LOAD_DEBUG_CONTROLS),
            c.v[F::GUEST_IA32_DEBUGCTL] & !debugctl_defined(c) == 0,
        );
    "guest.ia32e.paging" [GUEST_CR0, VM_ENTRY_CONTROLS]
        "CR0.PG is 1 with \"IA-32e mode guest\"",
        |c| implies(c.ia32e(), c.v[F::GUEST_CR0] & cr0::PG != 0);
    "guest.ia32e.pae" [GUEST_CR4, VM_ENTRY_CONTROLS]
        "CR4.PAE is 1 with \"IA-32e mode guest\"",
        |c| implies(c.ia32e(), c.v[F::GUEST_CR4] & cr4::PAE != 0);
    "guest.cr4.pcide" [GUEST_CR4, VM_ENTRY_CONTROLS]
        "CR4.PCIDE is 0 without \"IA-32e mode guest\"",
        |c| implies(!c.ia32e(), c.v[F::GUEST_CR4] & cr4::PCIDE == 0);
    "guest.cr4.fred" [GUEST_CR4, VM_ENTRY_CONTROLS]
        "CR4.FRED is 0 without \"IA-32e mode guest\"",
        |c| implies(!c.ia32e(), c.v[F::GUEST_CR4] & cr4::FRED == 0);
    "guest.cr3.width" [GUEST_CR3]
        "bits 63:52 of the CR3 field and those beyond the physical-address width are 0, linear-address masking aside",
        |c| cr3_ok(c, F::GUEST_CR3);
    "guest.dr7.upper" [GUEST_DR7, VM_ENTRY_CONTROLS]
        "bits 63:32 of the DR7 field are 0 with \"load debug controls\"",
        |c| implies(c.entry(Entry::LOAD_DEBUG_CONTROLS), c.v[F::GUEST_DR7] & HIGH_HALF == 0);
    "guest.sysenter_esp.canonical" [GUEST_SYSENTER_ESP]
        "the IA32_SYSENTER_ESP field holds a canonical address",
        |c| c.canonical(F::GUEST_SYSENTER_ESP);
    "guest.sysenter_eip.canonical" [GUEST_SYSENTER_EIP]
        "the IA32_SYSENTER_EIP field holds a canonical address",
        |c| c.canonical(F::GUEST_SYSENTER_EIP);
    "guest.ssp_table.canonical" [GUEST_INTR_SSP_TABLE, VM_ENTRY_CONTROLS]
        "the IA32_INTERRUPT_SSP_TABLE_ADDR field holds a canonical address with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE), c.canonical(F::GUEST_INTR_SSP_TABLE));
    "guest.perf_global_ctrl" [GUEST_IA32_PERF_GLOBAL_CTRL, VM_ENTRY_CONTROLS]
        "the IA32_PERF_GLOBAL_CTRL field sets no reserved bit with \"load IA32_PERF_GLOBAL_CTRL\"",
        |c| implies(
            c.entry(Entry::LOAD_IA32_PERF_GLOBAL_CTRL),
            c.v[F::GUEST_IA32_PERF_GLOBAL_CTRL] & !perf::DEFINED == 0,
        );
    "guest.pat" [GUEST_IA32_PAT, VM_ENTRY_CONTROLS]
        "each byte of the IA32_PAT field is 0, 1, 4, 5, 6 or 7 with \"load IA32_PAT\"",
        |c| implies(c.entry(Entry::LOAD_IA32_PAT), pat_ok(c.v[F::GUEST_IA32_PAT]));
    "guest.efer.reserved" [GUEST_IA32_EFER, VM_ENTRY_CONTROLS]
        "the IA32_EFER field sets no reserved bit with \"load IA32_EFER\"",
        |c| implies(c.entry(Entry::LOAD_IA32_EFER), c.v[F::GUEST_IA32_EFER] & !efer_defined(c) == 0);
    "guest.efer.lma_matches_entry" [GUEST_IA32_EFER, VM_ENTRY_CONTROLS]
        "LMA in the IA32_EFER field equals \"IA-32e mode guest\" with \"load IA32_EFER\"",
        |c| implies(
            c.entry(Entry::LOAD_IA32_EFER),
            (c.v[F::GUEST_IA32_EFER] & efer::LMA != 0) == c.ia32e(),
        );
    "guest.efer.lma_lme" [GUEST_IA32_EFER, GUEST_CR0, VM_ENTRY_CONTROLS]
        "LMA equals LME in the IA32_EFER field if CR0.PG is 1, with \"load IA32_EFER\"",
        |c| {
            let lma = c.v[F::GUEST_IA32_EFER] & efer::LMA != 0;
            let lme = c.v[F::GUEST_IA32_EFER] & efer::LME != 0;
            implies(c.entry(Entry::LOAD_IA32_EFER) && c.v[F::GUEST_CR0] & cr0::PG != 0, lma == lme)
        };
    "guest.bndcfgs.reserved" [GUEST_BNDCFGS, VM_ENTRY_CONTROLS]
        "bits 11:2 of the IA32_BNDCFGS field are 0 with \"load IA32_BNDCFGS\"",
        |c| implies(c.entry(Entry::LOAD_BNDCFGS), c.v[F::GUEST_BNDCFGS] & BNDCFGS_RESERVED == 0);
    "guest.bndcfgs.canonical" [GUEST_BNDCFGS, VM_ENTRY_CONTROLS]
        "the address in bits 63:12 of the IA32_BNDCFGS field is canonical with \"load IA32_BNDCFGS\"",
        |c| implies(
            c.entry(Entry::LOAD_BNDCFGS),
            canonical(c.v[F::GUEST_BNDCFGS] & BNDCFGS_BASE, c.linear_width()),
        );
    "guest.rtit_ctl.reserved" [GUEST_IA32_RTIT_CTL, VM_ENTRY_CONTROLS]
        "the IA32_RTIT_CTL field sets no reserved bit with \"load IA32_RTIT_CTL\"",
        |c| implies(
            c.entry(Entry::LOAD_IA32_RTIT_CTL),
            c.v[F::GUEST_IA32_RTIT_CTL] & RTIT_CTL_RESERVED == 0,
        );
    "guest.s_cet.reserved" [GUEST_S_CET, VM_ENTRY_CONTROLS]
        "the IA32_S_CET field sets no reserved bit with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE), c.v[F::GUEST_S_CET] & !s_cet_defined(c) == 0);
    "guest.s_cet.tracker" [GUEST_S_CET, VM_ENTRY_CONTROLS]
        "SUPPRESS and TRACKER in the IA32_S_CET field are not both 1 with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE), s_cet_tracker(c.v[F::GUEST_S_CET]));
    "guest.s_cet.canonical" [GUEST_S_CET, VM_ENTRY_CONTROLS]
        "the IA32_S_CET field holds a canonical address with \"load CET state\"",
        |c| implies(c.entry(Entry::LOAD_CET_STATE), c.canonical(F::GUEST_S_CET));
    "guest.lbr_ctl.reserved" [GUEST_IA32_LBR_CTL, VM_ENTRY_CONTROLS]
        "the IA32_LBR_CTL field sets no reserved bit with \"load guest IA32_LBR_CTL\"",
        |c| implies(
            c.entry(Entry::LOAD_IA32_LBR_CTL),
            c.v[F::GUEST_IA32_LBR_CTL] & LBR_CTL_RESERVED == 0,
        );
    "guest.pkrs.upper" [GUEST_IA32_PKRS, VM_ENTRY_CONTROLS]
        "bits 63:32 of the IA32_PKRS field are 0 with \"load PKRS\"",
        |c| implies(c.entry(Entry::LOAD_PKRS), c.v[F::GUEST_IA32_PKRS] & HIGH_HALF == 0);
    "guest.uinv.upper" [GUEST_UINV, VM_ENTRY_CONTROLS]
        "bits 15:8 of the UINV field are 0 with \"load UINV\"",
        |c| implies(c.entry(Entry::LOAD_UINV), c.v[F::GUEST_UINV] <= 0xff);
    "guest.fred.config" [GUEST_IA32_FRED_CONFIG, VM_ENTRY_CONTROLS]
        "bits 11, 5:4 and 2 of the IA32_FRED_CONFIG field are 0 and its address is canonical with \"load IA32_FRED\"",
        |c| implies(c.entry(Entry::LOAD_IA32_FRED), fred_config_ok(c, F::GUEST_IA32_FRED_CONFIG));
    "guest.fred.rsp" [GUEST_IA32_FRED_RSP1, GUEST_IA32_FRED_RSP2, GUEST_IA32_FRED_RSP3, VM_ENTRY_CONTROLS]
        "the IA32_FRED_RSP1 to RSP3 fields hold canonical addresses, 64-byte aligned, with \"load IA32_FRED\"",
        |c| implies(c.entry(Entry::LOAD_IA32_FRED), {
            let stacks = [F::GUEST_IA32_FRED_RSP1, F::GUEST_IA32_FRED_RSP2, F::GUEST_IA32_FRED_RSP3];
            fred_stacks_ok(c, stacks, fred::RSP_OFFSET)
        });
    "guest.fred.ssp" [GUEST_IA32_FRED_SSP1, GUEST_IA32_FRED_SSP2, GUEST_IA32_FRED_SSP3, VM_ENTRY_CONTROLS]
        "the IA32_FRED_SSP1 to SSP3 fields hold canonical addresses, 8-byte aligned, with \"load IA32_FRED\"",
        |c| implies(c.entry(Entry::LOAD_IA32_FRED), {
            let stacks = [F::GUEST_IA32_FRED_SSP1, F::GUEST_IA32_FRED_SSP2, F::GUEST_IA32_FRED_SSP3];
            fred_stacks_ok(c, stacks, fred::SSP_OFFSET)
        });
}
}

/// CR3 has no bit that is reserved, or would be an address beyond the physical-address width.
#[inline]
pub(super) fn cr3_ok(c: &Ctx<'_>, field: F) -> bool {
    let masking = if c.has(Features::LAM) { cr3::LAM } else { 0 };
    c.v[field] & c.caps.beyond_physical() & !masking == 0 || !c.has(Features::LM)
}

#[inline]
fn debugctl_defined(c: &Ctx<'_>) -> u64 {
    let optional = |feature, bit| if c.has(feature) { bit } else { 0 };
    debugctl::ALWAYS
        | optional(Features::BUS_LOCK_DETECT, debugctl::BUS_LOCK_DETECT)
        | optional(Features::FREEZE_IN_SMM, debugctl::FREEZE_IN_SMM)
        | optional(Features::RTM, debugctl::RTM)
}

/// The bits of IA32_EFER that the processor has.
#[inline]
pub(super) fn efer_defined(c: &Ctx<'_>) -> u64 {
    let optional = |feature, bits| if c.has(feature) { bits } else { 0 };
    optional(Features::LM, efer::LME | efer::LMA)
        | optional(Features::NX, efer::NXE)
        | optional(Features::SYSCALL, efer::SCE)
}

/// The bits of IA32_S_CET that the processor has.
#[inline]
pub(super) fn s_cet_defined(c: &Ctx<'_>) -> u64 {
    let optional = |feature, bits| if c.has(feature) { bits } else { 0 };
    optional(Features::CET_SS, s_cet::SHADOW_STACK) | optional(Features::CET_IBT, s_cet::TRACKING)
}

/// Not both SUPPRESS and TRACKER.
#[inline]
pub(super) const fn s_cet_tracker(value: u64) -> bool {
    value & s_cet::SUPPRESS == 0 || value & s_cet::TRACKER == 0
}

/// Each byte is a memory type: 0, 1, 4, 5, 6 or 7.
#[inline]
pub(super) const fn pat_ok(pat: u64) -> bool {
    const BYTES: u64 = 0x0101_0101_0101_0101;
    // Bit 1 only together with bit 2.
    pat & (BYTES * 0xf8) == 0 && (pat >> 1 & BYTES) & !(pat >> 2 & BYTES) == 0
}

/// IA32_FRED_CONFIG has no reserved bit and a canonical address.
#[inline]
pub(super) fn fred_config_ok(c: &Ctx<'_>, field: F) -> bool {
    let value = c.v[field];
    value & fred::CONFIG_RESERVED == 0 && canonical(value & fred::CONFIG_BASE, c.linear_width())
}

/// Stack pointers of FRED are canonical and aligned.
#[inline]
pub(super) fn fred_stacks_ok(c: &Ctx<'_>, stacks: [F; 3], offset: u64) -> bool {
    stacks.into_iter().all(|field| c.v[field] & offset == 0 && c.canonical(field))
}
