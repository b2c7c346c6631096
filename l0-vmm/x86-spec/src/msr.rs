//! Model-specific registers by name. SDM Volume 4: "Architectural MSRs".

use crate::vmx::caps;

macro_rules! msrs {
    ($($ID:ident = $index:literal, $text:literal;)*) => {
        $(#[doc = concat!($text, ".")] pub const $ID: u32 = $index;)*

        /// Index and name of every MSR here; those of the VMX capabilities are in [`caps::MSRS`].
        const OWN: &[(u32, &str)] = &[$(($index, stringify!($ID))),*];
    };
}

msrs! {
    IA32_TIME_STAMP_COUNTER = 0x10, "Time-stamp counter";
    IA32_APIC_BASE = 0x1b, "Base and enables of the local APIC";
    IA32_FEATURE_CONTROL = 0x3a, "What the firmware lets software enable: VMX, SMX";
    IA32_TSC_ADJUST = 0x3b, "What WRMSR added to the time-stamp counter";
    IA32_SPEC_CTRL = 0x48, "Speculation control";
    IA32_PRED_CMD = 0x49, "Prediction command";
    IA32_BIOS_SIGN_ID = 0x8b, "Microcode update signature";
    IA32_MTRRCAP = 0xfe, "What memory-type range registers there are";
    IA32_ARCH_CAPABILITIES = 0x10a, "Architectural capabilities";
    IA32_SYSENTER_CS = 0x174, "Code segment for SYSENTER";
    IA32_SYSENTER_ESP = 0x175, "Stack pointer for SYSENTER";
    IA32_SYSENTER_EIP = 0x176, "Instruction pointer for SYSENTER";
    IA32_MCG_CAP = 0x179, "Machine-check capabilities";
    IA32_MCG_STATUS = 0x17a, "Machine-check status";
    IA32_MISC_ENABLE = 0x1a0, "Enables of miscellaneous features";
    IA32_DEBUGCTL = 0x1d9, "Debug control";
    IA32_MTRR_PHYSBASE0 = 0x200, "Base and type of variable range 0";
    IA32_MTRR_PHYSMASK0 = 0x201, "Mask of variable range 0";
    IA32_MTRR_FIX64K_00000 = 0x250, "Memory types of 0 to 512 KiB";
    IA32_PAT = 0x277, "Page attribute table";
    IA32_MTRR_DEF_TYPE = 0x2ff, "Default memory type and enables of the MTRRs";
    IA32_PERF_GLOBAL_CTRL = 0x38f, "Enables of the performance counters";
    IA32_RTIT_CTL = 0x570, "Control of Intel Processor Trace";
    IA32_U_CET = 0x6a0, "User control-flow enforcement";
    IA32_S_CET = 0x6a2, "Supervisor control-flow enforcement";
    IA32_PL0_SSP = 0x6a4, "Shadow-stack pointer of privilege level 0";
    IA32_PL3_SSP = 0x6a7, "Shadow-stack pointer of privilege level 3";
    IA32_INTERRUPT_SSP_TABLE_ADDR = 0x6a8, "Interrupt shadow-stack table";
    IA32_TSC_DEADLINE = 0x6e0, "When the local APIC's timer fires";
    IA32_PKRS = 0x6e1, "Protection keys of supervisor-mode pages";
    IA32_X2APIC_FIRST = 0x800, "First MSR of the local APIC in x2APIC mode";
    IA32_X2APIC_TPR = 0x808, "Task priority, in x2APIC mode";
    IA32_X2APIC_LAST = 0x8ff, "Last MSR of the local APIC in x2APIC mode";
    IA32_BNDCFGS = 0xd90, "Supervisor state of MPX";
    IA32_XSS = 0xda0, "Extended supervisor state mask";
    IA32_LBR_CTL = 0x14ce, "Control of last branch records";
    IA32_EFER = 0xc000_0080, "Extended feature enables";
    IA32_STAR = 0xc000_0081, "Segments for SYSCALL";
    IA32_LSTAR = 0xc000_0082, "Target of SYSCALL in 64-bit mode";
    IA32_CSTAR = 0xc000_0083, "Target of SYSCALL in compatibility mode (not used by Intel)";
    IA32_FMASK = 0xc000_0084, "Flags that SYSCALL clears";
    IA32_FS_BASE = 0xc000_0100, "Base of FS";
    IA32_GS_BASE = 0xc000_0101, "Base of GS";
    IA32_KERNEL_GS_BASE = 0xc000_0102, "What SWAPGS swaps with the base of GS";
    IA32_TSC_AUX = 0xc000_0103, "What RDTSCP and RDPID read";
}

/// Index and name of every MSR that has a name here.
pub fn all() -> impl Iterator<Item = (u32, &'static str)> + Clone {
    OWN.iter().chain(caps::MSRS).copied()
}

/// The name of an MSR.
pub fn name(index: u32) -> Option<&'static str> {
    all().find(|m| m.0 == index).map(|m| m.1)
}

/// The MSR of that name.
pub fn by_name(name: &str) -> Option<u32> {
    all().find(|m| m.1 == name).map(|m| m.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        for (n, (index, name)) in all().enumerate() {
            assert!(all().skip(n + 1).all(|m| m.0 != index && m.1 != name), "{name}");
        }
        assert_eq!(by_name("IA32_VMX_BASIC").and_then(name), Some("IA32_VMX_BASIC"));
    }
}
