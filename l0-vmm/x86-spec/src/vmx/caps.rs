//! VMX capabilities. SDM: "VMX Capability Reporting Facility".

mod abilities;
mod features;

use super::controls::{Proc, Proc2, Word};
pub use abilities::ABILITIES;
pub use features::Features;

macro_rules! capability_msrs {
    ($($field:ident = $index:literal, $name:ident, $text:literal;)*) => {
        /// The VMX capability MSRs, and what the checks need to know of the processor besides them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Caps {
            $(#[doc = concat!(stringify!($name), ": ", $text, ".")] pub $field: u64,)*
            /// Width of a physical address, in bits. SDM: "CPUID", leaf 80000008H.
            pub maxphyaddr: u8,
            /// Facts from CPUID.
            pub features: Features,
        }

        /// The capability MSRs: number and name.
        pub const MSRS: &[(u32, &str)] = &[$(($index, stringify!($name))),*];

        impl Caps {
            /// No capabilities at all, and a physical address of 36 bits.
            pub const NONE: Self = Self { $($field: 0,)* maxphyaddr: 36, features: Features::empty() };

            /// The value of a capability MSR, if this processor has it.
            pub const fn msr(&self, index: u32) -> Option<u64> {
                if !self.has_msr(index) {
                    return None;
                }
                match index {
                    $($index => Some(self.$field),)*
                    _ => None,
                }
            }

            /// Sets a capability MSR; false if there is none with this number.
            pub const fn set_msr(&mut self, index: u32, value: u64) -> bool {
                match index {
                    $($index => self.$field = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

capability_msrs! {
    basic = 0x480, IA32_VMX_BASIC, "revision, sizes and memory type of VMX structures";
    pin = 0x481, IA32_VMX_PINBASED_CTLS, "allowed settings of the pin-based controls";
    proc = 0x482, IA32_VMX_PROCBASED_CTLS, "allowed settings of the primary processor-based controls";
    exit = 0x483, IA32_VMX_EXIT_CTLS, "allowed settings of the VM-exit controls";
    entry = 0x484, IA32_VMX_ENTRY_CTLS, "allowed settings of the VM-entry controls";
    misc = 0x485, IA32_VMX_MISC, "miscellaneous data";
    cr0_fixed0 = 0x486, IA32_VMX_CR0_FIXED0, "bits of CR0 that are 1 in VMX operation";
    cr0_fixed1 = 0x487, IA32_VMX_CR0_FIXED1, "bits of CR0 that may be 1 in VMX operation";
    cr4_fixed0 = 0x488, IA32_VMX_CR4_FIXED0, "bits of CR4 that are 1 in VMX operation";
    cr4_fixed1 = 0x489, IA32_VMX_CR4_FIXED1, "bits of CR4 that may be 1 in VMX operation";
    vmcs_enum = 0x48a, IA32_VMX_VMCS_ENUM, "the highest index of a VMCS field encoding";
    proc2 = 0x48b, IA32_VMX_PROCBASED_CTLS2, "allowed settings of the secondary processor-based controls";
    ept_vpid = 0x48c, IA32_VMX_EPT_VPID_CAP, "capabilities of EPT and VPID";
    true_pin = 0x48d, IA32_VMX_TRUE_PINBASED_CTLS, "allowed settings without the default1 class";
    true_proc = 0x48e, IA32_VMX_TRUE_PROCBASED_CTLS, "allowed settings without the default1 class";
    true_exit = 0x48f, IA32_VMX_TRUE_EXIT_CTLS, "allowed settings without the default1 class";
    true_entry = 0x490, IA32_VMX_TRUE_ENTRY_CTLS, "allowed settings without the default1 class";
    vmfunc = 0x491, IA32_VMX_VMFUNC, "allowed 1-settings of the VM-function controls";
    proc3 = 0x492, IA32_VMX_PROCBASED_CTLS3, "allowed 1-settings of the tertiary processor-based controls";
    exit2 = 0x493, IA32_VMX_EXIT_CTLS2, "allowed 1-settings of the secondary VM-exit controls";
}

impl Default for Caps {
    fn default() -> Self {
        Self::NONE
    }
}

/// A bit of a capability MSR as a named predicate.
macro_rules! flags {
    ($($name:ident = $field:ident[$bit:literal], $text:literal;)*) => {
        impl Caps {
            $(#[doc = concat!($text, ". Bit ", stringify!($bit), " of `", stringify!($field), "`.")]
            #[inline]
            pub const fn $name(&self) -> bool {
                self.$field >> $bit & 1 != 0
            })*
        }
    };
}

flags! {
    physical_addresses_limited_to_32_bits = basic[48], "VMX structures lie below 4 GiB";
    dual_monitor = basic[49], "The dual-monitor treatment of SMIs and SMM is supported";
    ins_outs_info = basic[54], "INS and OUTS report instruction information";
    true_controls = basic[55], "The default1 controls may be 0, as the TRUE MSRs say";
    inject_any_error_code = basic[56], "An injected hardware exception may have or lack an error code whatever its vector";
    exit_stores_lma = misc[5], "VM exits store IA32_EFER.LMA into \"IA-32e mode guest\"";
    activity_hlt = misc[6], "The activity state HLT is supported";
    activity_shutdown = misc[7], "The activity state shutdown is supported";
    activity_wait_for_sipi = misc[8], "The activity state wait-for-SIPI is supported";
    pt_in_vmx = misc[14], "Intel PT can be used in VMX operation";
    rdmsr_smbase_in_smm = misc[15], "RDMSR can read IA32_SMBASE in SMM";
    smm_monitor_ctl_bit2 = misc[28], "Bit 2 of IA32_SMM_MONITOR_CTL can be 1";
    vmwrite_any_field = misc[29], "VMWRITE can write the VM-exit information fields";
    inject_zero_length = misc[30], "A software event with instruction length 0 can be injected";
    ept_execute_only = ept_vpid[0], "EPT entries may be execute-only";
    ept_walk_4 = ept_vpid[6], "EPT page-walk length 4";
    ept_walk_5 = ept_vpid[7], "EPT page-walk length 5";
    ept_memory_uc = ept_vpid[8], "EPT paging structures may be uncacheable (UC)";
    ept_memory_wb = ept_vpid[14], "EPT paging structures may be write-back (WB)";
    ept_2m = ept_vpid[16], "EPT page-directory entries may map 2-MByte pages";
    ept_1g = ept_vpid[17], "EPT page-directory-pointer-table entries may map 1-GByte pages";
    invept = ept_vpid[20], "INVEPT is supported";
    ept_accessed_dirty = ept_vpid[21], "Accessed and dirty flags for EPT";
    ept_advanced_exit_info = ept_vpid[22], "Advanced VM-exit information for EPT violations";
    ept_supervisor_shadow_stack = ept_vpid[23], "Supervisor shadow-stack control for EPT";
    invept_single = ept_vpid[25], "INVEPT, single-context type";
    invept_global = ept_vpid[26], "INVEPT, all-context type";
    invvpid = ept_vpid[32], "INVVPID is supported";
    invvpid_address = ept_vpid[40], "INVVPID, individual-address type";
    invvpid_single = ept_vpid[41], "INVVPID, single-context type";
    invvpid_all = ept_vpid[42], "INVVPID, all-context type";
    invvpid_single_retaining_globals = ept_vpid[43], "INVVPID, single-context-retaining-globals type";
}

/// Bits 63:32 of a capability MSR of a control word: the allowed 1-settings.
const ALLOWED1_SHIFT: u32 = 32;

impl Caps {
    /// The bit of `IA32_VMX_VMFUNC` and of `VM_FUNCTION_CONTROL` for EPTP switching.
    pub const EPTP_SWITCHING: u64 = 1 << 0;

    /// Whether a processor with these capabilities has the capability MSR with this number.
    pub const fn has_msr(&self, index: u32) -> bool {
        match index {
            0x480..=0x48a => true,
            0x48b => self.proc >> ALLOWED1_SHIFT & Proc::ACTIVATE_SECONDARY_CONTROLS != 0,
            0x48c => self.allowed1(Word::Proc2) & (Proc2::ENABLE_EPT | Proc2::ENABLE_VPID) != 0,
            0x48d..=0x490 => self.true_controls(),
            0x491 => self.allowed1(Word::Proc2) & Proc2::ENABLE_VMFUNC != 0,
            0x492 => self.proc >> ALLOWED1_SHIFT & Proc::ACTIVATE_TERTIARY_CONTROLS != 0,
            0x493 => self.exit >> ALLOWED1_SHIFT & super::controls::Exit::ACTIVATE_SECONDARY_CONTROLS != 0,
            _ => false,
        }
    }

    /// Reads the capabilities through a reader of MSRs. `None` if the reader lacks an MSR that the ones before it
    /// promise. The width of physical addresses and the features are left for the caller to fill in.
    pub fn from_msrs(mut read: impl FnMut(u32) -> Option<u64>) -> Option<Self> {
        let mut caps = Self::NONE;
        for &(index, _) in MSRS {
            // The MSRs come in the order in which they depend on each other.
            if caps.has_msr(index) {
                caps.set_msr(index, read(index)?);
            }
        }
        Some(caps)
    }

    /// The same capabilities on a processor with this width of physical addresses and these features.
    #[must_use]
    pub const fn with_cpu(mut self, maxphyaddr: u8, features: Features) -> Self {
        self.maxphyaddr = maxphyaddr;
        self.features = features;
        self
    }

    const fn word_msr(&self, word: Word) -> u64 {
        let has_true = self.true_controls();
        match word {
            Word::Pin if has_true => self.true_pin,
            Word::Pin => self.pin,
            Word::Proc if has_true => self.true_proc,
            Word::Proc => self.proc,
            Word::Exit if has_true => self.true_exit,
            Word::Exit => self.exit,
            Word::Entry if has_true => self.true_entry,
            Word::Entry => self.entry,
            Word::Proc2 if self.has_msr(0x48b) => self.proc2,
            // Allowed 1-settings only, in all 64 bits: see `allowed1`.
            Word::Proc3 if self.has_msr(0x492) => self.proc3,
            Word::Exit2 if self.has_msr(0x493) => self.exit2,
            Word::Proc2 | Word::Proc3 | Word::Exit2 => 0,
        }
    }

    /// The bits of a control word that must be 1.
    #[inline]
    pub const fn allowed0(&self, word: Word) -> u64 {
        match word {
            Word::Proc3 | Word::Exit2 => 0,
            _ => self.word_msr(word) & 0xffff_ffff,
        }
    }

    /// The bits of a control word that may be 1.
    #[inline]
    pub const fn allowed1(&self, word: Word) -> u64 {
        match word {
            Word::Proc3 | Word::Exit2 => self.word_msr(word),
            _ => self.word_msr(word) >> ALLOWED1_SHIFT,
        }
    }

    /// Whether all the bits (a mask) may be 1 in a control word.
    #[inline]
    pub const fn allows(&self, word: Word, bits: u64) -> bool {
        self.allowed1(word) & bits == bits
    }

    /// The VM functions that can be enabled.
    pub const fn vm_functions(&self) -> u64 {
        if self.has_msr(0x491) { self.vmfunc } else { 0 }
    }

    /// The VMCS revision identifier.
    pub const fn revision(&self) -> u32 {
        (self.basic & 0x7fff_ffff) as u32
    }

    /// The size of a VMXON or VMCS region, in bytes.
    pub const fn region_size(&self) -> u32 {
        (self.basic >> 32 & 0x1fff) as u32
    }

    /// The memory type to use for VMX structures: 0 is UC, 6 is WB.
    pub const fn region_memory_type(&self) -> u8 {
        (self.basic >> 50 & 0xf) as u8
    }

    /// The VMX-preemption timer counts down by 1 each time this bit of the TSC changes.
    pub const fn preemption_timer_rate(&self) -> u8 {
        (self.misc & 0x1f) as u8
    }

    /// The number of CR3-target values.
    pub const fn cr3_targets(&self) -> u64 {
        self.misc >> 16 & 0x1ff
    }

    /// The recommended maximum number of MSRs in an MSR list.
    pub const fn max_msr_list(&self) -> u64 {
        512 * ((self.misc >> 25 & 7) + 1)
    }

    /// The MSEG revision identifier.
    pub const fn mseg_revision(&self) -> u32 {
        (self.misc >> 32) as u32
    }

    /// The highest index (bits 9:1) of a VMCS field encoding.
    pub const fn highest_field_index(&self) -> u16 {
        (self.vmcs_enum >> 1 & 0x1ff) as u16
    }

    /// Whether an INVEPT type is supported.
    pub const fn invept_type(&self, kind: u64) -> bool {
        match kind {
            1 => self.invept_single(),
            2 => self.invept_global(),
            _ => false,
        }
    }

    /// Whether an INVVPID type is supported.
    pub const fn invvpid_type(&self, kind: u64) -> bool {
        match kind {
            0 => self.invvpid_address(),
            1 => self.invvpid_single(),
            2 => self.invvpid_all(),
            3 => self.invvpid_single_retaining_globals(),
            _ => false,
        }
    }

    /// The address bits beyond the physical-address width.
    #[inline]
    pub const fn beyond_physical(&self) -> u64 {
        if self.maxphyaddr >= 64 { 0 } else { !0 << self.maxphyaddr }
    }

    /// Whether an address of a VMX structure is within the width that the processor supports for them.
    #[inline]
    pub const fn physical_ok(&self, address: u64) -> bool {
        let limit = if self.physical_addresses_limited_to_32_bits() { !0 << 32 } else { 0 };
        address & (self.beyond_physical() | limit) == 0
    }
}

#[cfg(test)]
mod tests;
