//! VM-instruction errors. SDM: "VM Instruction Error Numbers".

use core::fmt;

/// A VM-instruction error number, as in the field `VM_INSTRUCTION_ERROR`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstructionError(pub u32);

macro_rules! errors {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl InstructionError {
            $(#[doc = concat!($text, ".")] pub const $name: Self = Self($number);)*

            /// Every error that the manual defines.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name of the constant.
            pub const fn ident(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What went wrong.
            pub const fn text(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

errors! {
    VMCALL_IN_VMX_ROOT_OPERATION = 1, "VMCALL executed in VMX root operation";
    VMCLEAR_INVALID_ADDRESS = 2, "VMCLEAR with an invalid physical address";
    VMCLEAR_VMXON_POINTER = 3, "VMCLEAR with the VMXON pointer";
    VMLAUNCH_NONCLEAR_VMCS = 4, "VMLAUNCH with a VMCS that is not clear";
    VMRESUME_NONLAUNCHED_VMCS = 5, "VMRESUME with a VMCS that is not launched";
    VMRESUME_AFTER_VMXOFF = 6, "VMRESUME after VMXOFF and VMXON since the VMLAUNCH";
    ENTRY_INVALID_CONTROL_FIELD = 7, "VM entry with an invalid control field";
    ENTRY_INVALID_HOST_STATE_FIELD = 8, "VM entry with an invalid host-state field";
    VMPTRLD_INVALID_ADDRESS = 9, "VMPTRLD with an invalid physical address";
    VMPTRLD_VMXON_POINTER = 10, "VMPTRLD with the VMXON pointer";
    VMPTRLD_INCORRECT_VMCS_REVISION_ID = 11, "VMPTRLD with a wrong VMCS revision identifier";
    UNSUPPORTED_VMCS_COMPONENT = 12, "VMREAD or VMWRITE of a VMCS component that does not exist";
    VMWRITE_READ_ONLY_VMCS_COMPONENT = 13, "VMWRITE to a read-only VMCS component";
    VMXON_IN_VMX_ROOT_OPERATION = 15, "VMXON executed in VMX root operation";
    ENTRY_INVALID_EXECUTIVE_VMCS_POINTER = 16, "VM entry with an invalid executive-VMCS pointer";
    ENTRY_NONLAUNCHED_EXECUTIVE_VMCS = 17, "VM entry with an executive VMCS that is not launched";
    ENTRY_EXECUTIVE_VMCS_POINTER_NOT_VMXON_POINTER = 18,
        "VM entry that deactivates the dual-monitor treatment with an executive-VMCS pointer other than the VMXON pointer";
    VMCALL_NONCLEAR_VMCS = 19, "VMCALL to activate the dual-monitor treatment with a VMCS that is not clear";
    VMCALL_INVALID_VM_EXIT_CONTROL_FIELDS = 20, "VMCALL with invalid VM-exit control fields";
    VMCALL_INCORRECT_MSEG_REVISION_ID = 22, "VMCALL with a wrong MSEG revision identifier";
    VMXOFF_UNDER_DUAL_MONITOR_TREATMENT = 23, "VMXOFF under the dual-monitor treatment of SMIs and SMM";
    VMCALL_INVALID_SMM_MONITOR_FEATURES = 24, "VMCALL with invalid SMM-monitor features";
    ENTRY_INVALID_VM_EXECUTION_CONTROL_FIELDS_IN_EXECUTIVE_VMCS = 25,
        "VM entry with invalid VM-execution control fields in the executive VMCS";
    ENTRY_EVENTS_BLOCKED_BY_MOV_SS = 26, "VM entry with events blocked by MOV SS";
    INVALID_OPERAND_TO_INVEPT_INVVPID = 28, "invalid operand to INVEPT or INVVPID";
}

impl InstructionError {
    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for InstructionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => write!(f, "{} {text}", self.0),
            None => write!(f, "{:#x} unknown", self.0),
        }
    }
}

impl fmt::Debug for InstructionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
