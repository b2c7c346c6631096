//! The conditions under which a field exists. SDM: "Field Encoding in VMCS", the notes under the tables.

use crate::vmx::caps::Caps;
use crate::vmx::controls::{Entry, Exit, Exit2, Pin, Proc, Proc2, Proc3, Word};

/// What a processor must support for a field to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    /// Nothing: every processor with VMX has the field.
    Always,
    /// The 1-setting of any of the bits of one control word.
    Control(Word, u64),
    /// The 1-setting of bits of VM-exit controls (first) or of VM-entry controls (second).
    ExitOrEntry(u64, u64),
    /// The 1-setting of a VM-function control.
    Function(u64),
}

impl Requires {
    /// Whether a processor with these capabilities meets the condition.
    pub const fn met(self, caps: &Caps) -> bool {
        match self {
            Self::Always => true,
            Self::Control(word, bits) => caps.allowed1(word) & bits != 0,
            Self::ExitOrEntry(exit, entry) => {
                caps.allowed1(Word::Exit) & exit != 0 || caps.allowed1(Word::Entry) & entry != 0
            }
            Self::Function(bits) => caps.vm_functions() & bits != 0,
        }
    }
}

macro_rules! conditions {
    ($($name:ident = $value:expr;)*) => {
        impl Requires { $(pub(super) const $name: Self = $value;)* }
    };
}

conditions! {
    ALWAYS = Self::Always;
    POSTED_INTR = Self::Control(Word::Pin, Pin::POSTED_INTR);
    PREEMPTION_TIMER = Self::Control(Word::Pin, Pin::VMX_PREEMPTION_TIMER);
    MSR_BITMAPS = Self::Control(Word::Proc, Proc::USE_MSR_BITMAPS);
    TPR_SHADOW = Self::Control(Word::Proc, Proc::TPR_SHADOW);
    SECONDARY = Self::Control(Word::Proc, Proc::ACTIVATE_SECONDARY_CONTROLS);
    TERTIARY = Self::Control(Word::Proc, Proc::ACTIVATE_TERTIARY_CONTROLS);
    APIC_ACCESSES = Self::Control(Word::Proc2, Proc2::VIRTUALIZE_APIC_ACCESSES);
    EPT = Self::Control(Word::Proc2, Proc2::ENABLE_EPT);
    VPID = Self::Control(Word::Proc2, Proc2::ENABLE_VPID);
    INTR_DELIVERY = Self::Control(Word::Proc2, Proc2::VIRTUAL_INTR_DELIVERY);
    PAUSE_LOOP = Self::Control(Word::Proc2, Proc2::PAUSE_LOOP_EXITING);
    VMFUNC = Self::Control(Word::Proc2, Proc2::ENABLE_VMFUNC);
    SHADOW_VMCS = Self::Control(Word::Proc2, Proc2::SHADOW_VMCS);
    ENCLS = Self::Control(Word::Proc2, Proc2::ENCLS_EXITING);
    PML = Self::Control(Word::Proc2, Proc2::ENABLE_PML);
    VIRT_EXCEPTION = Self::Control(Word::Proc2, Proc2::EPT_VIOLATION_VE);
    XSAVES = Self::Control(Word::Proc2, Proc2::ENABLE_XSAVES);
    PASID = Self::Control(Word::Proc2, Proc2::PASID_TRANSLATION);
    SPP = Self::Control(Word::Proc2, Proc2::SPP);
    TSC_SCALING = Self::Control(Word::Proc2, Proc2::TSC_SCALING);
    PCONFIG = Self::Control(Word::Proc2, Proc2::ENABLE_PCONFIG);
    ENCLV = Self::Control(Word::Proc2, Proc2::ENCLV_EXITING);
    TIMEOUT = Self::Control(Word::Proc2, Proc2::NOTIFY_VM_EXITING);
    HLAT = Self::Control(Word::Proc3, Proc3::ENABLE_HLAT);
    IPI_VIRT = Self::Control(Word::Proc3, Proc3::IPI_VIRT);
    SHARED_EPT = Self::Control(Word::Proc3, Proc3::SEAM_GPA_WIDTH);
    SPEC_CTRL = Self::Control(Word::Proc3, Proc3::VIRT_SPEC_CTRL);
    EPTP_SWITCHING = Self::Function(Caps::EPTP_SWITCHING);
    EXIT2 = Self::Control(Word::Exit, Exit::ACTIVATE_SECONDARY_CONTROLS);
    UINV = Self::ExitOrEntry(Exit::CLEAR_UINV, Entry::LOAD_UINV);
    GUEST_PAT = Self::ExitOrEntry(Exit::SAVE_IA32_PAT, Entry::LOAD_IA32_PAT);
    GUEST_EFER = Self::ExitOrEntry(Exit::SAVE_IA32_EFER, Entry::LOAD_IA32_EFER);
    GUEST_PERF = Self::ExitOrEntry(Exit::SAVE_IA32_PERF_GLOBAL_CTRL, Entry::LOAD_IA32_PERF_GLOBAL_CTRL);
    GUEST_BNDCFGS = Self::ExitOrEntry(Exit::CLEAR_BNDCFGS, Entry::LOAD_BNDCFGS);
    GUEST_RTIT = Self::ExitOrEntry(Exit::CLEAR_IA32_RTIT_CTL, Entry::LOAD_IA32_RTIT_CTL);
    GUEST_LBR = Self::ExitOrEntry(Exit::CLEAR_IA32_LBR_CTL, Entry::LOAD_IA32_LBR_CTL);
    GUEST_PKRS = Self::Control(Word::Entry, Entry::LOAD_PKRS);
    GUEST_CET = Self::Control(Word::Entry, Entry::LOAD_CET_STATE);
    FRED_EVENTS = Self::Control(Word::Entry, Entry::LOAD_IA32_FRED);
    HOST_PAT = Self::Control(Word::Exit, Exit::LOAD_IA32_PAT);
    HOST_EFER = Self::Control(Word::Exit, Exit::LOAD_IA32_EFER);
    HOST_PERF = Self::Control(Word::Exit, Exit::LOAD_IA32_PERF_GLOBAL_CTRL);
    HOST_PKRS = Self::Control(Word::Exit, Exit::LOAD_PKRS);
    HOST_CET = Self::Control(Word::Exit, Exit::LOAD_CET_STATE);
    HOST_FRED = Self::Control(Word::Exit2, Exit2::LOAD_IA32_FRED);
}
