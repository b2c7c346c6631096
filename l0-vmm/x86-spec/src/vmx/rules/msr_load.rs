//! Checks on the entries of the VM-entry MSR-load area.

use super::context::{CpuState, Ctx, HIGH_HALF};
use super::controls_exit::MSR_ENTRY;
use super::{Rule, first_broken};
use crate::msr;
use crate::vmx::caps::Caps;
use crate::vmx::field::{Field as F, Values};

/// Starts a microcode update. SDM: "Microcode Update Facilities".
const IA32_BIOS_UPDT_TRIG: u32 = 0x79;
/// Can be written only in SMM. SDM: "Dual-Monitor Treatment of SMIs and SMM".
const IA32_SMM_MONITOR_CTL: u32 = 0x9b;

super::rules! { MsrLoad;
in "Loading MSRs", NONE {
    "msrload.reserved" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "bits 63:32 of an entry are 0",
        |c| each(c, |entry| entry & HIGH_HALF == 0);
    "msrload.fs_gs_base" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "an entry is not for IA32_FS_BASE or IA32_GS_BASE",
        |c| each(c, |entry| !matches!(entry as u32, msr::IA32_FS_BASE | msr::IA32_GS_BASE));
    "msrload.x2apic" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "an entry is not for an MSR that is a register of the local APIC in x2APIC mode",
        |c| each(c, |entry| !matches!(entry as u32, msr::IA32_X2APIC_FIRST..=msr::IA32_X2APIC_LAST));
    "msrload.smm" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "an entry is not for an MSR that can be written only in SMM, outside of SMM",
        |c| c.cpu.in_smm || each(c, |entry| entry as u32 != IA32_SMM_MONITOR_CTL);
    "msrload.microcode" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "an entry is not for IA32_BIOS_UPDT_TRIG or IA32_BIOS_SIGN_ID, which processors refuse here",
        |c| each(c, |entry| !matches!(entry as u32, IA32_BIOS_UPDT_TRIG | msr::IA32_BIOS_SIGN_ID));
    "msrload.wrmsr" [VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT]
        "WRMSR of the same value at CPL 0 would not cause a general-protection exception; only the processor can tell, and here this rule counts as obeyed",
        |_| true;
}
}

/// The first 8 bytes of each entry are as they should be. Where there is no memory they are all ones. A list that is
/// longer than the processor recommends is looked at up to that length.
#[inline]
fn each(c: &Ctx<'_>, ok: impl Fn(u64) -> bool) -> bool {
    let start = c.v[F::VM_ENTRY_MSR_LOAD_ADDR];
    let count = c.v[F::VM_ENTRY_MSR_LOAD_COUNT].min(c.caps.max_msr_list());
    (0..count).all(|n| ok(c.mem.read_u64(start.wrapping_add(n * MSR_ENTRY)).unwrap_or(!0)))
}

/// The rule that an entry of the MSR-load area breaks, from its first 8 bytes: for a processor that works through the
/// list and has to stop at the entry that fails.
pub fn refused_entry(entry: u64, cpu: CpuState) -> Option<&'static Rule> {
    struct One(u64);
    impl super::PhysRead for One {
        fn read_u32(&self, _: u64) -> Option<u32> {
            None
        }
        fn read_u64(&self, _: u64) -> Option<u64> {
            Some(self.0)
        }
    }
    let mut v = Values::new();
    v.set(F::VM_ENTRY_MSR_LOAD_COUNT, 1);
    first_broken(ROWS, &Ctx { v: &v, caps: &Caps::NONE, mem: &One(entry), cpu })
}
