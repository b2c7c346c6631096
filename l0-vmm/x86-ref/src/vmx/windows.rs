//! What VMX does between two instructions: APIC-write emulation, TPR threshold, monitor trap flag, preemption timer, NMI window, interrupt window.
//!
//! SDM: "Other Causes of VM Exits" and, after VM entries, "Special Features of VM Entry".

use super::{bits, exit::Exit};
use crate::{Cpu, boundary::Stage, cpu::Activity, fault::Exec};
use x86_spec::{
    cr::rflags,
    vmx::{
        controls::{Pin, Proc, Proc2},
        exit::Reason,
        field::Field,
    },
};

/// Fractional bits of the TSC multiplier.
const TSC_FRACTION_BITS: u32 = 48;

/// The monitor trap flag, or an injected MTF VM exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mtf {
    /// No exit will come.
    #[default]
    Off,
    /// After the next instruction or event.
    AfterNext,
    /// At the next boundary.
    Due,
}

/// What is waited for. All of it ends with the VM exit.
#[derive(Debug, Default)]
pub(super) struct Windows {
    mtf: Mtf,
    /// A lowered TPR wants its exit.
    tpr: bool,
    /// The instruction wrote to this register of the local APIC: to be emulated.
    pub apic_write: Option<u64>,
    /// The write wants the host's help.
    pub apic_write_exit: Option<u64>,
    /// The EOI of this vector wants its exit.
    pub eoi_exit: Option<u8>,
    /// A pending virtual interrupt is recognized.
    pub virtual_interrupt: bool,
    /// Time at which the preemption timer is zero.
    timer: Option<u64>,
    /// PAUSE-loop exiting: time of the first and of the last PAUSE of the loop.
    pub pause_loop: Option<(u64, u64)>,
}

impl Windows {
    pub fn close(&mut self) {
        *self = Self::default();
    }

    pub fn mtf_is_due(&mut self) {
        self.mtf = Mtf::Due;
    }

    pub fn tpr_is_low(&mut self) {
        self.tpr = true;
    }
}

impl Cpu {
    /// What a VM entry opens, before it injects an event.
    pub(super) fn open_windows(&mut self) {
        let mtf = self.vmx.ctl.proc & Proc::MONITOR_TRAP_FLAG != 0;
        let timer = self.pin(Pin::VMX_PREEMPTION_TIMER).then(|| {
            let rate = self.profile.caps.preemption_timer_rate();
            let ticks =
                (self.now() >> rate).saturating_add(self.vmx.vmcs.v[Field::VMX_PREEMPTION_TIMER_VALUE]);
            ticks << rate
        });
        self.vmx.windows =
            Windows { mtf: if mtf { Mtf::AfterNext } else { Mtf::Off }, timer, ..Windows::default() };
    }

    /// What is left on the preemption timer.
    pub(super) fn preemption_timer_left(&self) -> u64 {
        let rate = self.profile.caps.preemption_timer_rate();
        match self.vmx.windows.timer {
            Some(end) => (end >> rate).saturating_sub(self.now() >> rate),
            None => self.vmx.vmcs.v[Field::VMX_PREEMPTION_TIMER_VALUE],
        }
    }

    /// Instructions until VMX wants to look (preemption timer), counted from now.
    pub(crate) fn vmx_deadline(&self) -> Option<u64> {
        self.vmx.windows.timer.map(|end| end.saturating_sub(self.now()))
    }

    /// Whether [`Cpu::vmx_boundary`] wants to be asked before the next instruction (monitor trap flag, windows).
    pub(crate) fn vmx_attention(&self) -> bool {
        let windows = &self.vmx.windows;
        self.vmx.ctl.proc & (Proc::INTR_WINDOW_EXITING | Proc::NMI_WINDOW_EXITING) != 0
            || windows.mtf != Mtf::Off
            || windows.tpr
            || windows.apic_write.is_some()
            || windows.apic_write_exit.is_some()
            || windows.eoi_exit.is_some()
            || windows.virtual_interrupt && self.interrupts_are_open()
            || self.vmx_deadline() == Some(0)
    }

    /// What VMX has to say at an instruction boundary, at that place among its events: true when it switched (VM exit).
    pub(crate) fn vmx_boundary(&mut self, at: Stage) -> Exec<bool> {
        if !self.vmx.non_root {
            return Ok(false);
        }
        match at {
            Stage::MonitorTrap => self.before_traps(),
            Stage::Timer => self.before_nmi(),
            Stage::InterruptWindow => self.before_interrupts(),
        }
    }

    /// An event is delivered in the guest instead of the next instruction.
    pub(super) fn event_in_guest(&mut self) {
        if self.vmx.windows.mtf == Mtf::AfterNext {
            self.vmx.windows.mtf = Mtf::Due;
        }
    }

    /// What the guest reads as its TSC where the processor's is this value (TSC offsetting and scaling).
    pub(crate) fn vmx_tsc(&self, tsc: u64) -> u64 {
        if self.vmx.ctl.proc & Proc::USE_TSC_OFFSETTING == 0 {
            return tsc;
        }
        let v = &self.vmx.vmcs.v;
        let scaled = if self.vmx.ctl.proc2 & Proc2::TSC_SCALING != 0 {
            let product = u128::from(tsc) * u128::from(v[Field::TSC_MULTIPLIER]);
            (product >> TSC_FRACTION_BITS) as u64
        } else {
            tsc
        };
        scaled.wrapping_add(v[Field::TSC_OFFSET])
    }

    fn boundary_exit(&mut self, reason: Reason) -> Exec<bool> {
        self.vm_exit(&Exit::new(reason))?;
        Ok(true)
    }

    fn qualified_exit(&mut self, reason: Reason, qualification: u64) -> Exec<bool> {
        self.vm_exit(&Exit { qualification, ..Exit::new(reason) })?;
        Ok(true)
    }

    /// The guest can take an interrupt.
    fn interrupts_are_open(&self) -> bool {
        self.sysflags & rflags::IF != 0
            && self.blocking & bits::SHADOW == 0
            && matches!(self.activity, Activity::Active | Activity::Hlt)
    }

    /// What comes before debug traps: the local APIC's exits, TPR threshold and monitor trap flag. True: the VM exit is done.
    fn before_traps(&mut self) -> Exec<bool> {
        if let Some(register) = self.vmx.windows.apic_write.take() {
            self.emulate_apic_write(register);
        }
        if let Some(register) = self.vmx.windows.apic_write_exit {
            return self.qualified_exit(Reason::APIC_WRITE, register);
        }
        if let Some(vector) = self.vmx.windows.eoi_exit {
            return self.qualified_exit(Reason::EOI_INDUCED, u64::from(vector));
        }
        if self.vmx.windows.tpr {
            return self.boundary_exit(Reason::TPR_BELOW_THRESHOLD);
        }
        match self.vmx.windows.mtf {
            Mtf::Due => self.boundary_exit(Reason::MONITOR_TRAP_FLAG),
            Mtf::AfterNext if self.activity == Activity::Active => {
                self.vmx.windows.mtf = Mtf::Due;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// What comes after debug traps and before NMIs: preemption timer and NMI window.
    fn before_nmi(&mut self) -> Exec<bool> {
        if self.activity == Activity::WaitForSipi {
            return Ok(false);
        }
        if self.vmx_deadline() == Some(0) {
            return self.boundary_exit(Reason::PREEMPTION_TIMER);
        }
        let blocked = self.blocking & (bits::SHADOW | bits::BLOCKED_BY_NMI) != 0;
        if self.vmx.ctl.proc & Proc::NMI_WINDOW_EXITING != 0 && !blocked {
            return self.boundary_exit(Reason::NMI_WINDOW);
        }
        Ok(false)
    }

    /// What comes after NMIs and before external interrupts: the interrupt window, or a virtual interrupt.
    fn before_interrupts(&mut self) -> Exec<bool> {
        if !self.interrupts_are_open() {
            return Ok(false);
        }
        if self.vmx.ctl.proc & Proc::INTR_WINDOW_EXITING != 0 {
            return self.boundary_exit(Reason::INTERRUPT_WINDOW);
        }
        if self.vmx.windows.virtual_interrupt {
            self.deliver_virtual_interrupt()?;
            return Ok(true);
        }
        Ok(false)
    }
}
