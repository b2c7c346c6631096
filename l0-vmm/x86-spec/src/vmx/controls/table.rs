//! The rows of the control words.

use super::Bit;

macro_rules! words {
    ($($(#[$meta:meta])* $word:ident { $($ident:ident = $bit:literal, $name:literal;)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $word;

        impl $word {
            $(#[doc = concat!("\"", $name, "\", bit ", stringify!($bit), ".")]
            pub const $ident: u64 = 1 << $bit;)*

            /// The defined bits, from the least significant.
            pub const BITS: &'static [Bit] =
                &[$(Bit { bit: $bit, ident: stringify!($ident), name: $name }),*];

            /// All defined bits.
            pub const DEFINED: u64 = 0 $(| 1 << $bit)*;
        }
    )*};
}

words! {
    /// SDM: "Pin-Based VM-Execution Controls".
    Pin {
        EXT_INTR_EXITING = 0, "external-interrupt exiting";
        NMI_EXITING = 3, "NMI exiting";
        VIRTUAL_NMIS = 5, "virtual NMIs";
        VMX_PREEMPTION_TIMER = 6, "activate VMX-preemption timer";
        POSTED_INTR = 7, "process posted interrupts";
    }
    /// SDM: "Processor-Based VM-Execution Controls", the primary controls.
    Proc {
        INTR_WINDOW_EXITING = 2, "interrupt-window exiting";
        USE_TSC_OFFSETTING = 3, "use TSC offsetting";
        HLT_EXITING = 7, "HLT exiting";
        INVLPG_EXITING = 9, "INVLPG exiting";
        MWAIT_EXITING = 10, "MWAIT exiting";
        RDPMC_EXITING = 11, "RDPMC exiting";
        RDTSC_EXITING = 12, "RDTSC exiting";
        CR3_LOAD_EXITING = 15, "CR3-load exiting";
        CR3_STORE_EXITING = 16, "CR3-store exiting";
        ACTIVATE_TERTIARY_CONTROLS = 17, "activate tertiary controls";
        CR8_LOAD_EXITING = 19, "CR8-load exiting";
        CR8_STORE_EXITING = 20, "CR8-store exiting";
        TPR_SHADOW = 21, "use TPR shadow";
        NMI_WINDOW_EXITING = 22, "NMI-window exiting";
        MOV_DR_EXITING = 23, "MOV-DR exiting";
        UNCOND_IO_EXITING = 24, "unconditional I/O exiting";
        USE_IO_BITMAPS = 25, "use I/O bitmaps";
        MONITOR_TRAP_FLAG = 27, "monitor trap flag";
        USE_MSR_BITMAPS = 28, "use MSR bitmaps";
        MONITOR_EXITING = 29, "MONITOR exiting";
        PAUSE_EXITING = 30, "PAUSE exiting";
        ACTIVATE_SECONDARY_CONTROLS = 31, "activate secondary controls";
    }
    /// SDM: "Processor-Based VM-Execution Controls", the secondary controls.
    Proc2 {
        VIRTUALIZE_APIC_ACCESSES = 0, "virtualize APIC accesses";
        ENABLE_EPT = 1, "enable EPT";
        DESC = 2, "descriptor-table exiting";
        ENABLE_RDTSCP = 3, "enable RDTSCP";
        VIRTUALIZE_X2APIC_MODE = 4, "virtualize x2APIC mode";
        ENABLE_VPID = 5, "enable VPID";
        WBINVD_EXITING = 6, "WBINVD exiting";
        UNRESTRICTED_GUEST = 7, "unrestricted guest";
        APIC_REGISTER_VIRT = 8, "APIC-register virtualization";
        VIRTUAL_INTR_DELIVERY = 9, "virtual-interrupt delivery";
        PAUSE_LOOP_EXITING = 10, "PAUSE-loop exiting";
        RDRAND_EXITING = 11, "RDRAND exiting";
        ENABLE_INVPCID = 12, "enable INVPCID";
        ENABLE_VMFUNC = 13, "enable VM functions";
        SHADOW_VMCS = 14, "VMCS shadowing";
        ENCLS_EXITING = 15, "enable ENCLS exiting";
        RDSEED_EXITING = 16, "RDSEED exiting";
        ENABLE_PML = 17, "enable PML";
        EPT_VIOLATION_VE = 18, "EPT-violation #VE";
        PT_CONCEAL_VMX = 19, "conceal VMX from PT";
        ENABLE_XSAVES = 20, "enable XSAVES/XRSTORS";
        PASID_TRANSLATION = 21, "PASID translation";
        MODE_BASED_EPT_EXEC = 22, "mode-based execute control for EPT";
        SPP = 23, "sub-page write permissions for EPT";
        PT_USE_GPA = 24, "Intel PT uses guest physical addresses";
        TSC_SCALING = 25, "use TSC scaling";
        ENABLE_USR_WAIT_PAUSE = 26, "enable user wait and pause";
        ENABLE_PCONFIG = 27, "enable PCONFIG";
        ENCLV_EXITING = 28, "enable ENCLV exiting";
        BUS_LOCK_DETECTION = 30, "VMM bus-lock detection";
        NOTIFY_VM_EXITING = 31, "instruction timeout";
    }
    /// SDM: "Processor-Based VM-Execution Controls", the tertiary controls.
    Proc3 {
        LOADIWKEY_EXITING = 0, "LOADIWKEY exiting";
        ENABLE_HLAT = 1, "enable HLAT";
        EPT_PAGING_WRITE = 2, "EPT paging-write control";
        GUEST_PAGING_VERIFICATION = 3, "guest-paging verification";
        IPI_VIRT = 4, "IPI virtualization";
        SEAM_GPA_WIDTH = 5, "SEAM guest-physical address width";
        ENABLE_MSRLIST = 6, "enable MSR-list instructions";
        VIRT_SPEC_CTRL = 7, "virtualize IA32_SPEC_CTRL";
    }
    /// SDM: "VM-Exit Controls", the primary controls.
    Exit {
        SAVE_DEBUG_CONTROLS = 2, "save debug controls";
        HOST_ADDR_SPACE_SIZE = 9, "host address-space size";
        LOAD_IA32_PERF_GLOBAL_CTRL = 12, "load IA32_PERF_GLOBAL_CTRL";
        ACK_INTR_ON_EXIT = 15, "acknowledge interrupt on exit";
        SAVE_IA32_PAT = 18, "save IA32_PAT";
        LOAD_IA32_PAT = 19, "load IA32_PAT";
        SAVE_IA32_EFER = 20, "save IA32_EFER";
        LOAD_IA32_EFER = 21, "load IA32_EFER";
        SAVE_VMX_PREEMPTION_TIMER = 22, "save VMX-preemption timer value";
        CLEAR_BNDCFGS = 23, "clear IA32_BNDCFGS";
        PT_CONCEAL_PIP = 24, "conceal VMX from PT";
        CLEAR_IA32_RTIT_CTL = 25, "clear IA32_RTIT_CTL";
        CLEAR_IA32_LBR_CTL = 26, "clear IA32_LBR_CTL";
        CLEAR_UINV = 27, "clear UINV";
        LOAD_CET_STATE = 28, "load CET state";
        LOAD_PKRS = 29, "load PKRS";
        SAVE_IA32_PERF_GLOBAL_CTRL = 30, "save IA32_PERF_GLOBAL_CTL";
        ACTIVATE_SECONDARY_CONTROLS = 31, "activate secondary controls";
    }
    /// SDM: "VM-Exit Controls", the secondary controls.
    Exit2 {
        SAVE_IA32_FRED = 0, "save IA32_FRED";
        LOAD_IA32_FRED = 1, "load IA32_FRED";
        PREMATURELY_BUSY_SHADOW_STACK = 3, "prematurely busy shadow stack";
    }
    /// SDM: "VM-Entry Controls".
    Entry {
        LOAD_DEBUG_CONTROLS = 2, "load debug controls";
        IA32E_MODE = 9, "IA-32e mode guest";
        SMM = 10, "entry to SMM";
        DEACT_DUAL_MONITOR = 11, "deactivate dual-monitor treatment";
        LOAD_IA32_PERF_GLOBAL_CTRL = 13, "load IA32_PERF_GLOBAL_CTRL";
        LOAD_IA32_PAT = 14, "load IA32_PAT";
        LOAD_IA32_EFER = 15, "load IA32_EFER";
        LOAD_BNDCFGS = 16, "load IA32_BNDCFGS";
        PT_CONCEAL_PIP = 17, "conceal VMX from PT";
        LOAD_IA32_RTIT_CTL = 18, "load IA32_RTIT_CTL";
        LOAD_UINV = 19, "load UINV";
        LOAD_CET_STATE = 20, "load CET state";
        LOAD_IA32_LBR_CTL = 21, "load guest IA32_LBR_CTL";
        LOAD_PKRS = 22, "load PKRS";
        LOAD_IA32_FRED = 23, "load IA32_FRED";
    }
}
