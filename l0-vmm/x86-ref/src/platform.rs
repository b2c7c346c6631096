//! What a machine with local APICs and several processors does with one of them: it offers interrupts, sends INIT and SIPI,
//! and keeps all of them on one clock.

use crate::{
    Cpu, Flow,
    cpu::{Activity, attention, seg},
    exec::descriptor::rights,
    mem::Others,
    state::Segment,
};
use x86_spec::cr::{cr0, rflags};

/// What a processor does about a signal that it cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It took it.
    Taken,
    /// It ignored it, as the manual says.
    Ignored,
    /// This is not modelled: an INIT while the processor is in VMX operation.
    Unmodelled,
}

/// Bytes that MONITOR watches.
const LINE: u64 = 64;

/// The line that MONITOR watches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    physical: u64,
    bytes: Option<[u8; LINE as usize]>,
    /// MWAIT waits.
    waits: bool,
}

impl Cpu {
    /// The interrupt that the processor's local APIC has for it, if any, and the class of the task priority there. From the
    /// first call on, interrupts come this way only; that one is taken is told by [`crate::Bus::acknowledge`].
    pub fn offer(&mut self, vector: Option<u8>, class: u8) {
        self.platform = true;
        self.line.waits &= vector.is_none();
        self.intr_pending = vector;
        self.intr_queue = [0; 4];
        self.cr8 = u64::from(class & 0xf);
        self.attention_changed();
    }

    /// Whether this is the bootstrap processor, as IA32_APIC_BASE says.
    pub fn set_bootstrap(&mut self, bootstrap: bool) {
        const BSP: u64 = 1 << 8;
        self.msr.apic_base = self.msr.apic_base & !BSP | if bootstrap { BSP } else { 0 };
        if !bootstrap {
            self.activity = Activity::WaitForSipi;
        }
        self.attention_changed();
    }

    /// Other processors run over the same memory: from now on they are told of each other's code by [`Cpu::exchange`].
    pub fn share_memory(&mut self) {
        self.mem.others = Some(Others::new(self.mem.ram_size()));
    }

    /// After this processor's turn: the others hear what it has decoded, so that they see their writes to it, and which of
    /// their own code it has written to.
    pub fn exchange(&mut self, others: &mut [&mut Self]) {
        let Some(mine) = &mut self.mem.others else { return };
        let marked = std::mem::take(&mut mine.marked);
        let mut written = std::mem::take(&mut mine.written);
        written.sort_unstable();
        written.dedup();
        for other in others {
            for page in &marked {
                other.mem.others_decode(*page);
            }
            for page in &written {
                other.mem.drop_code(*page);
            }
        }
        for page in written {
            self.mem.others_dropped(page);
        }
    }

    /// IA32_APIC_BASE.
    pub fn apic_base(&self) -> u64 {
        self.msr.apic_base
    }

    /// Time goes on without this processor, which waits or stands still.
    pub fn pass_to(&mut self, now: u64) {
        self.retired = self.retired.max(now);
        self.attention_changed();
    }

    /// Whether no interrupt wakes it: it is halted with interrupts disabled, or waits for a SIPI.
    pub fn is_deaf(&self) -> bool {
        match self.activity {
            Activity::Active => false,
            Activity::Hlt => !self.vmx.non_root && self.sysflags & rflags::IF == 0 && !self.nmi_pending,
            Activity::Shutdown | Activity::WaitForSipi => true,
        }
    }

    /// Whether it executes, or would if it were let.
    pub fn is_awake(&mut self) -> bool {
        if self.line.waits {
            let now = self.mem.phys_read(self.line.physical);
            self.line.waits = !self.nmi_pending && now == self.line.bytes;
        }
        let timed = self.vmx_deadline().is_some() && self.activity != Activity::Active;
        !self.line.waits && self.activity == Activity::Active
            || self.attention & attention::INTERRUPT != 0
            // VMX has a timer of its own, which the processor waits for by itself.
            || timed
    }

    /// Whether it waits in MWAIT, for a write to a line too.
    pub fn waits_for_line(&self) -> bool {
        self.line.waits
    }

    /// MONITOR.
    pub(crate) fn watch_line(&mut self, physical: u64) {
        let physical = physical & !(LINE - 1);
        self.line = Line { physical, bytes: self.mem.phys_read(physical), waits: false };
    }

    /// MWAIT.
    pub(crate) fn wait_for_line(&mut self) {
        if self.platform && !self.vmx.non_root {
            self.line.waits = true;
            self.attention |= attention::STOP;
        }
    }

    /// INIT. SDM 3A: "Processor State After Reset".
    pub fn init(&mut self) -> Signal {
        if self.vmx.on {
            return Signal::Unmodelled;
        }
        let (random, cache) = (self.random, self.cr0 & (cr0::CD | cr0::NW));
        self.r = [0; 32];
        self.reset();
        self.random = random;
        self.cr0 = cr0::ET | cache;
        (self.cr2, self.cr3, self.cr4, self.cr8) = (0, 0, 0, 0);
        self.msr.efer = 0;
        self.sysflags = 2;
        self.dr[..4].fill(0);
        self.dr[6] = 0xffff_0ff0;
        self.cpl = 0;
        (self.blocking, self.pending_dbg, self.nmi_pending) = (0, 0, false);
        (self.step_tf, self.step_rf, self.step_shadow) = (false, false, 0);
        self.delivering = None;
        self.monitor_armed = false;
        self.line = Line::default();
        self.activity = Activity::WaitForSipi;
        self.mode_changed();
        self.flush_tlb();
        self.attention_changed();
        Signal::Taken
    }

    /// SIPI: execution begins in real mode at the page of that number. SDM 3A: "MP Initialization".
    pub fn startup(&mut self, page: u8) -> Signal {
        if self.activity != Activity::WaitForSipi {
            return Signal::Ignored;
        }
        self.seg[seg::CS] = Segment {
            selector: u16::from(page) << 8,
            base: u64::from(page) << 12,
            limit: 0xffff,
            rights: rights::FLAT_CODE,
        };
        self.rip = 0;
        self.activity = Activity::Active;
        self.mode_changed();
        self.attention_changed();
        Signal::Taken
    }

    /// The processor takes this interrupt: its local APIC hears of it.
    pub(crate) fn acknowledge(&mut self, vector: u8) {
        self.intr_pending = None;
        if self.platform {
            let now = self.now();
            let mut bus = self.bus.borrow_mut();
            bus.clock(now);
            self.intr_pending = bus.acknowledge(vector);
        }
    }

    /// CR8 was written: its local APIC hears of it.
    pub(crate) fn task_priority_changed(&mut self) {
        if self.platform {
            let class = self.cr8 as u8;
            let flow = self.bus.borrow_mut().task_priority(class);
            self.obey(flow);
        }
    }

    /// The processor waits in a loop: others may have their turn.
    pub(crate) fn waits(&mut self) {
        if self.platform {
            let flow = self.bus.borrow_mut().pause();
            self.obey(flow);
        }
    }

    /// Reads an MSR of the local APIC.
    pub(crate) fn platform_msr(&mut self, index: u32) -> Option<u64> {
        let now = self.now();
        let mut bus = self.bus.borrow_mut();
        bus.clock(now);
        bus.msr_read(index)
    }

    /// Writes an MSR of the local APIC; false if it may not hold that.
    pub(crate) fn write_platform_msr(&mut self, index: u32, value: u64) -> bool {
        let now = self.now();
        let flow = {
            let mut bus = self.bus.borrow_mut();
            bus.clock(now);
            bus.msr_write(index, value)
        };
        flow.map(|flow| self.obey(flow)).is_some()
    }

    fn obey(&mut self, flow: Flow) {
        if flow == Flow::Stop {
            self.attention |= attention::STOP;
        }
    }
}
