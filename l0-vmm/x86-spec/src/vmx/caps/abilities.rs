//! Named abilities: what a scenario may ask of a processor.

use super::Caps;
use crate::vmx::controls::{Entry, Exit, Pin, Proc, Proc2, Proc3, Word};

macro_rules! abilities {
    ($($name:literal = $test:expr;)*) => {
        /// The names that [`Caps::has`] knows.
        pub const ABILITIES: &[&str] = &[$($name),*];

        impl Caps {
            /// Whether the processor has a named ability; `None` if the name is unknown.
            pub fn has(&self, ability: &str) -> Option<bool> {
                match ability {
                    $($name => {
                        let test: fn(&Self) -> bool = $test;
                        Some(test(self))
                    })*
                    _ => None,
                }
            }
        }
    };
}

abilities! {
    "ept" = |c| c.allows(Word::Proc2, Proc2::ENABLE_EPT);
    "ept-2m" = |c| c.ept_2m();
    "ept-1g" = |c| c.ept_1g();
    "ept-ad" = |c| c.ept_accessed_dirty();
    "ept-execute-only" = |c| c.ept_execute_only();
    "ept-walk-4" = |c| c.ept_walk_4();
    "ept-walk-5" = |c| c.ept_walk_5();
    "ept-memory-uc" = |c| c.ept_memory_uc();
    "ept-memory-wb" = |c| c.ept_memory_wb();
    "ept-advanced-info" = |c| c.ept_advanced_exit_info();
    "ept-violation-ve" = |c| c.allows(Word::Proc2, Proc2::EPT_VIOLATION_VE);
    "mode-based-execute" = |c| c.allows(Word::Proc2, Proc2::MODE_BASED_EPT_EXEC);
    "invept" = |c| c.invept();
    "invept-single" = |c| c.invept_single();
    "invept-global" = |c| c.invept_global();
    "vpid" = |c| c.allows(Word::Proc2, Proc2::ENABLE_VPID);
    "invvpid" = |c| c.invvpid();
    "invvpid-address" = |c| c.invvpid_address();
    "invvpid-single" = |c| c.invvpid_single();
    "invvpid-all" = |c| c.invvpid_all();
    "invvpid-globals" = |c| c.invvpid_single_retaining_globals();
    "unrestricted-guest" = |c| c.allows(Word::Proc2, Proc2::UNRESTRICTED_GUEST);
    "secondary-controls" = |c| c.allows(Word::Proc, Proc::ACTIVATE_SECONDARY_CONTROLS);
    "tertiary-controls" = |c| c.allows(Word::Proc, Proc::ACTIVATE_TERTIARY_CONTROLS);
    "secondary-exit-controls" = |c| c.allows(Word::Exit, Exit::ACTIVATE_SECONDARY_CONTROLS);
    "true-controls" = |c| c.true_controls();
    "external-interrupt-exiting" = |c| c.allows(Word::Pin, Pin::EXT_INTR_EXITING);
    "nmi-exiting" = |c| c.allows(Word::Pin, Pin::NMI_EXITING);
    "virtual-nmi" = |c| c.allows(Word::Pin, Pin::VIRTUAL_NMIS);
    "preemption-timer" = |c| c.allows(Word::Pin, Pin::VMX_PREEMPTION_TIMER);
    "save-preemption-timer" = |c| c.allows(Word::Exit, Exit::SAVE_VMX_PREEMPTION_TIMER);
    "posted-interrupts" = |c| c.allows(Word::Pin, Pin::POSTED_INTR);
    "acknowledge-interrupt" = |c| c.allows(Word::Exit, Exit::ACK_INTR_ON_EXIT);
    "interrupt-window" = |c| c.allows(Word::Proc, Proc::INTR_WINDOW_EXITING);
    "nmi-window" = |c| c.allows(Word::Proc, Proc::NMI_WINDOW_EXITING);
    "mtf" = |c| c.allows(Word::Proc, Proc::MONITOR_TRAP_FLAG);
    "msr-bitmap" = |c| c.allows(Word::Proc, Proc::USE_MSR_BITMAPS);
    "io-bitmap" = |c| c.allows(Word::Proc, Proc::USE_IO_BITMAPS);
    "tpr-shadow" = |c| c.allows(Word::Proc, Proc::TPR_SHADOW);
    "tsc-offset" = |c| c.allows(Word::Proc, Proc::USE_TSC_OFFSETTING);
    "tsc-scaling" = |c| c.allows(Word::Proc2, Proc2::TSC_SCALING);
    "apic-access" = |c| c.allows(Word::Proc2, Proc2::VIRTUALIZE_APIC_ACCESSES);
    "x2apic-mode" = |c| c.allows(Word::Proc2, Proc2::VIRTUALIZE_X2APIC_MODE);
    "apic-registers" = |c| c.allows(Word::Proc2, Proc2::APIC_REGISTER_VIRT);
    "virtual-interrupt-delivery" = |c| c.allows(Word::Proc2, Proc2::VIRTUAL_INTR_DELIVERY);
    "ipi-virtualization" = |c| c.allows(Word::Proc3, Proc3::IPI_VIRT);
    "descriptor-exiting" = |c| c.allows(Word::Proc2, Proc2::DESC);
    "rdtscp" = |c| c.allows(Word::Proc2, Proc2::ENABLE_RDTSCP);
    "invpcid" = |c| c.allows(Word::Proc2, Proc2::ENABLE_INVPCID);
    "wbinvd-exiting" = |c| c.allows(Word::Proc2, Proc2::WBINVD_EXITING);
    "pause-loop" = |c| c.allows(Word::Proc2, Proc2::PAUSE_LOOP_EXITING);
    "rdrand-exiting" = |c| c.allows(Word::Proc2, Proc2::RDRAND_EXITING);
    "rdseed-exiting" = |c| c.allows(Word::Proc2, Proc2::RDSEED_EXITING);
    "xsaves" = |c| c.allows(Word::Proc2, Proc2::ENABLE_XSAVES);
    "user-wait" = |c| c.allows(Word::Proc2, Proc2::ENABLE_USR_WAIT_PAUSE);
    "vmfunc" = |c| c.allows(Word::Proc2, Proc2::ENABLE_VMFUNC);
    "eptp-switching" = |c| c.vm_functions() & Caps::EPTP_SWITCHING != 0;
    "shadow-vmcs" = |c| c.allows(Word::Proc2, Proc2::SHADOW_VMCS);
    "vmwrite-any-field" = |c| c.vmwrite_any_field();
    "pml" = |c| c.allows(Word::Proc2, Proc2::ENABLE_PML);
    "spp" = |c| c.allows(Word::Proc2, Proc2::SPP);
    "hlat" = |c| c.allows(Word::Proc3, Proc3::ENABLE_HLAT);
    "load-pat" = |c| c.allows(Word::Entry, Entry::LOAD_IA32_PAT) && c.allows(Word::Exit, Exit::LOAD_IA32_PAT);
    "load-efer" = |c| c.allows(Word::Entry, Entry::LOAD_IA32_EFER) && c.allows(Word::Exit, Exit::LOAD_IA32_EFER);
    "load-perf-global-ctrl" = |c| {
        c.allows(Word::Entry, Entry::LOAD_IA32_PERF_GLOBAL_CTRL) && c.allows(Word::Exit, Exit::LOAD_IA32_PERF_GLOBAL_CTRL)
    };
    "load-cet" = |c| c.allows(Word::Entry, Entry::LOAD_CET_STATE) && c.allows(Word::Exit, Exit::LOAD_CET_STATE);
    "load-pkrs" = |c| c.allows(Word::Entry, Entry::LOAD_PKRS) && c.allows(Word::Exit, Exit::LOAD_PKRS);
    "load-bndcfgs" = |c| c.allows(Word::Entry, Entry::LOAD_BNDCFGS);
    "host-64" = |c| c.allows(Word::Exit, Exit::HOST_ADDR_SPACE_SIZE);
    "guest-64" = |c| c.allows(Word::Entry, Entry::IA32E_MODE);
    "activity-hlt" = |c| c.activity_hlt();
    "activity-shutdown" = |c| c.activity_shutdown();
    "activity-wait-for-sipi" = |c| c.activity_wait_for_sipi();
    "inject-zero-length" = |c| c.inject_zero_length();
    "inject-any-error-code" = |c| c.inject_any_error_code();
    "ins-outs-info" = |c| c.ins_outs_info();
    "dual-monitor" = |c| c.dual_monitor();
}
