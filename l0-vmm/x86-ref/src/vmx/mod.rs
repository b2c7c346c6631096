//! VMX: the virtual-machine extensions.

use crate::{
    Cpu, Profile,
    boundary::Stage,
    event::Event,
    fault::{EptFault, Exception, Exec},
};
use iced_x86::Instruction;

/// State of the virtual-machine extensions.
#[derive(Default)]
pub(crate) struct Vmx {
    /// In VMX operation, root or non-root.
    pub on: bool,
    /// In VMX non-root operation.
    pub non_root: bool,
}

/// Something in an instruction that VMX non-root operation may turn into a VM exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intercept {
    Cpuid,
    Hlt,
    Invd,
    Wbinvd,
    Invlpg {
        linear: u64,
    },
    Invpcid,
    Rdpmc,
    Rdtsc,
    Rdtscp,
    Rdrand,
    Rdseed,
    Rsm,
    Getsec,
    Monitor,
    Mwait,
    Pause,
    Xsetbv,
    Rdmsr {
        index: u32,
    },
    Wrmsr {
        index: u32,
    },
    /// IN, OUT, INS, OUTS. `linear`: linear address of the string operand.
    Io {
        port: u16,
        size: u8,
        input: bool,
        string: bool,
        rep: bool,
        immediate: bool,
        linear: u64,
    },
    /// MOV from a control register; reading CR0 and CR4 goes on with [`Cpu::cr_view`].
    ReadCr {
        cr: u8,
        gpr: u8,
    },
    /// MOV to a control register with that value; if it does not exit, go on with what [`Cpu::cr_merge`] makes of it.
    WriteCr {
        cr: u8,
        gpr: u8,
        value: u64,
    },
    Clts,
    /// LMSW; `linear`: address of a memory operand.
    Lmsw {
        source: u16,
        linear: Option<u64>,
    },
    MovDr {
        dr: u8,
        write: bool,
        gpr: u8,
    },
    /// LGDT, LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR.
    DescriptorTable,
    TaskSwitch {
        selector: u16,
        source: u8,
    },
    /// XSAVES, XRSTORS with the features asked for (RFBM).
    Xsaves {
        mask: u64,
    },
    Xrstors {
        mask: u64,
    },
    /// LOADIWKEY, TPAUSE, UMWAIT, ENCLS, PCONFIG and others that have only a control of their own.
    Other {
        reason: u16,
    },
}

impl Vmx {
    pub fn new(profile: &Profile) -> Self {
        let _ = profile;
        Self::default()
    }
}

impl Cpu {
    /// Called by every instruction that VMX may intercept, at the place that the manual gives the VM exit among its faults
    /// (SDM 3C, "Relative Priority of Faults and VM Exits"). Outside non-root operation it is a test and `Ok`.
    #[inline]
    pub(crate) fn intercept(&mut self, insn: &Instruction, what: Intercept) -> Exec {
        if !self.vmx.non_root {
            return Ok(());
        }
        let _ = (insn, what);
        Err(self.unsupported("VMX non-root operation"))
    }

    /// What MOV from CR0 or CR4 reads, SMSW too: the read shadow under the guest/host mask in non-root operation.
    pub(crate) fn cr_view(&self, cr: u8) -> u64 {
        if cr == 0 { self.cr0 } else { self.cr4 }
    }

    /// What MOV to CR0 or CR4 really writes: in non-root operation host-owned bits stay.
    pub(crate) fn cr_merge(&self, cr: u8, value: u64) -> u64 {
        let _ = cr;
        value
    }

    /// Whether CR0 and CR4 may be written with these values as far as VMX is concerned (fixed bits in VMX operation).
    pub(crate) fn cr_fixed_ok(&self, cr: u8, value: u64) -> bool {
        let _ = (cr, value);
        true
    }

    /// Whether an exception exits; if so the exit has been done (`Ok(true)`).
    pub(crate) fn exception_exits(&mut self, exception: &Exception) -> Exec<bool> {
        let _ = exception;
        Ok(false)
    }

    /// A fault in non-root operation that shuts the CPU down (third in a row): VM exit "triple fault". False in root operation.
    pub(crate) fn triple_fault_exits(&mut self) -> Exec<bool> {
        Ok(false)
    }

    /// VM exit because of EPT.
    pub(crate) fn ept_exit(&mut self, fault: EptFault) -> Exec {
        let _ = fault;
        Err(self.unsupported("EPT"))
    }

    /// What VMX has to say at an instruction boundary, at that place among its events: true when it switched (VM exit).
    pub(crate) fn vmx_boundary(&mut self, at: Stage) -> Exec<bool> {
        let _ = at;
        Ok(false)
    }

    /// Whether [`Cpu::vmx_boundary`] wants to be asked before the next instruction (monitor trap flag, windows).
    pub(crate) fn vmx_attention(&self) -> bool {
        false
    }

    /// Whether an external interrupt is looked at whatever RFLAGS.IF says ("external-interrupt exiting" in non-root
    /// operation).
    pub(crate) fn vmx_takes_interrupts(&self) -> bool {
        false
    }

    /// Whether blocking by NMI does not hold up NMIs ("virtual NMIs" in non-root operation).
    pub(crate) fn vmx_virtual_nmis(&self) -> bool {
        false
    }

    /// Whether IRET leaves blocking by NMI as it is ("NMI exiting" without "virtual NMIs" in non-root operation).
    pub(crate) fn vmx_iret_keeps_nmi_blocking(&self) -> bool {
        false
    }

    /// What the guest reads as its TSC where the processor's is this value (TSC offsetting and scaling).
    pub(crate) fn vmx_tsc(&self, tsc: u64) -> u64 {
        tsc
    }

    /// Whether a control that enables this instruction in non-root operation is 0, so that it is invalid (#UD): RDTSCP and
    /// RDPID, INVPCID, XSAVES and XRSTORS, the user wait instructions.
    pub(crate) fn vmx_disables(&self, what: Intercept) -> bool {
        let _ = what;
        false
    }

    /// Whether an NMI or external interrupt exits instead of being delivered; if so the exit has been done. An external
    /// interrupt stays in [`Cpu::intr_pending`] unless the exit acknowledges it; an NMI is taken off by the caller.
    pub(crate) fn interrupt_exits(&mut self, event: Event) -> Exec<bool> {
        let _ = event;
        Ok(false)
    }

    /// Instructions until VMX wants to look (preemption timer), counted from now.
    pub(crate) fn vmx_deadline(&self) -> Option<u64> {
        None
    }

    /// RDMSR of a VMX capability MSR.
    pub(crate) fn vmx_msr(&self, index: u32) -> Option<u64> {
        let _ = index;
        None
    }
}
