//! The local APIC. SDM 3A: "Advanced Programmable Interrupt Controller (APIC)".

use super::Vectors;

/// Registers, by their offset in the page divided by 16, which is also their MSR's index less 0x800.
mod reg {
    pub const ID: u32 = 0x02;
    pub const VERSION: u32 = 0x03;
    pub const TPR: u32 = 0x08;
    pub const APR: u32 = 0x09;
    pub const PPR: u32 = 0x0a;
    pub const EOI: u32 = 0x0b;
    pub const LDR: u32 = 0x0d;
    pub const DFR: u32 = 0x0e;
    pub const SVR: u32 = 0x0f;
    pub const ISR: u32 = 0x10;
    pub const TMR: u32 = 0x18;
    pub const IRR: u32 = 0x20;
    pub const ESR: u32 = 0x28;
    pub const ICR: u32 = 0x30;
    pub const ICR_HIGH: u32 = 0x31;
    pub const LVT_TIMER: u32 = 0x32;
    pub const LVT_ERROR: u32 = 0x37;
    pub const INITIAL_COUNT: u32 = 0x38;
    pub const CURRENT_COUNT: u32 = 0x39;
    pub const DIVIDE: u32 = 0x3e;
    pub const SELF_IPI: u32 = 0x3f;
}

/// Entries of the local vector table, in the order of their registers.
const LVTS: usize = 6;
const TIMER: usize = 0;
const LINT0: usize = 3;
const LINT1: usize = 4;
const ERROR: usize = 5;

/// Version 0x14, six entries in the local vector table.
const VERSION: u32 = 0x14 | (LVTS as u32 - 1) << 16;
const LVT_MASKED: u32 = 1 << 16;
/// Vector, delivery mode, polarity, trigger mode, mask.
const LVT_BITS: u32 = 0x1_a7ff;
/// Vector, mask, timer mode.
const LVT_TIMER_BITS: u32 = 0x7_00ff;
const SVR_ENABLED: u32 = 1 << 8;
/// Error status: send and receive of a vector below 16; a register that is not there.
const ESR_SEND_VECTOR: u32 = 1 << 5;
const ESR_RECEIVE_VECTOR: u32 = 1 << 6;

const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLED: u64 = 1 << 11;

/// How an interrupt is delivered. SDM 3A: "Interrupt Command Register (ICR)", delivery mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Fixed,
    LowestPriority,
    Nmi,
    Init,
    Startup,
    External,
    /// SMI and what is reserved: nothing happens.
    None,
}

impl Delivery {
    /// From bits 10:8 of an ICR, LVT or redirection entry.
    pub fn of(low: u32) -> Self {
        match low >> 8 & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::Startup,
            7 => Self::External,
            _ => Self::None,
        }
    }
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Physical(u32),
    Logical(u32),
    Sender,
    All,
    Others,
}

/// An interrupt on its way to local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub delivery: Delivery,
    pub vector: u8,
    pub to: Destination,
    pub level: bool,
}

/// What follows outside from a write to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    /// Send this.
    Send(Message),
    /// A level-triggered interrupt of this vector has ended.
    Ended(u8),
}

/// The timer.
#[derive(Clone, Copy, Debug, Default)]
struct Timer {
    initial: u32,
    divide: u32,
    /// When it began to count down from `initial`.
    start: u64,
    /// When it fires next.
    due: Option<u64>,
    /// IA32_TSC_DEADLINE in the processor's time.
    deadline: u64,
}

/// One local APIC.
#[derive(Clone, Debug)]
pub(crate) struct LocalApic {
    id: u32,
    /// IA32_APIC_BASE.
    base: u64,
    tpr: u32,
    ldr: u32,
    dfr: u32,
    svr: u32,
    esr: u32,
    errors: u32,
    icr: u64,
    lvt: [u32; LVTS],
    irr: Vectors,
    isr: Vectors,
    tmr: Vectors,
    timer: Timer,
}

impl LocalApic {
    pub fn new(id: u32, base: u64) -> Self {
        Self {
            id,
            base,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xff,
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [LVT_MASKED; LVTS],
            irr: Vectors::default(),
            isr: Vectors::default(),
            tmr: Vectors::default(),
            timer: Timer::default(),
        }
    }

    /// After INIT: as new, with the same ID and base.
    pub fn init(&mut self) {
        *self = Self::new(self.id, self.base);
    }

    /// As the firmware of a PC leaves the bootstrap processor's: the 8259s come through LINT0, NMI through LINT1.
    pub fn virtual_wire(&mut self) {
        self.svr |= SVR_ENABLED;
        self.lvt[LINT0] = 7 << 8;
        self.lvt[LINT1] = 4 << 8;
    }

    pub fn set_base(&mut self, base: u64) {
        let was = self.base;
        self.base = base;
        if was & APIC_BASE_ENABLED != 0 && !self.enabled() {
            self.init();
        }
        if !was & base & APIC_BASE_X2APIC != 0 {
            self.ldr = self.id >> 4 << 16 | 1 << (self.id & 0xf);
        }
    }

    /// The physical page of the registers, if they are there.
    pub fn page(&self) -> Option<u64> {
        (self.enabled() && !self.x2apic()).then_some(self.base & !0xfff)
    }

    pub fn enabled(&self) -> bool {
        self.base & APIC_BASE_ENABLED != 0
    }

    pub fn x2apic(&self) -> bool {
        self.base & APIC_BASE_X2APIC != 0
    }

    /// Class of the task priority: CR8.
    pub fn class(&self) -> u8 {
        (self.tpr >> 4) as u8 & 0xf
    }

    pub fn set_class(&mut self, class: u8) {
        self.tpr = u32::from(class) << 4;
    }

    fn ppr(&self) -> u32 {
        let in_service = u32::from(self.isr.highest().unwrap_or(0));
        if self.tpr & 0xf0 >= in_service & 0xf0 { self.tpr & 0xff } else { in_service & 0xf0 }
    }

    /// The interrupt that it has for its processor.
    pub fn offered(&self) -> Option<u8> {
        if !self.enabled() || self.svr & SVR_ENABLED == 0 {
            return None;
        }
        self.irr.highest().filter(|v| u32::from(*v) >> 4 > self.ppr() >> 4)
    }

    /// Whether LINT0 leads interrupts of the 8259s to the processor.
    pub fn takes_external(&self) -> bool {
        let lint0 = self.lvt[LINT0];
        !self.enabled() || lint0 & LVT_MASKED == 0 && Delivery::of(lint0) == Delivery::External
    }

    /// Whether it has an interrupt of that vector for its processor, now or later.
    pub fn has(&self, vector: u8) -> bool {
        self.enabled() && self.irr.has(vector)
    }

    /// The processor takes what was offered.
    pub fn acknowledge(&mut self, vector: u8) {
        self.irr.clear(vector);
        self.isr.set(vector);
    }

    /// An interrupt arrives.
    pub fn accept(&mut self, vector: u8, level: bool) {
        if vector < 16 {
            self.error(ESR_RECEIVE_VECTOR);
            return;
        }
        if !self.enabled() || self.svr & SVR_ENABLED == 0 {
            return;
        }
        self.irr.set(vector);
        if level { self.tmr.set(vector) } else { self.tmr.clear(vector) }
    }

    fn error(&mut self, bits: u32) {
        self.errors |= bits;
        let lvt = self.lvt[ERROR];
        if lvt & LVT_MASKED == 0 && lvt as u8 >= 16 {
            self.accept(lvt as u8, false);
        }
    }

    /// Whether a message is for it.
    pub fn is_meant(&self, to: Destination, sender: Option<u32>) -> bool {
        match to {
            Destination::All => true,
            Destination::Others => sender != Some(self.id),
            Destination::Sender => sender == Some(self.id),
            Destination::Physical(id) => id == self.id || id == u32::MAX || !self.x2apic() && id == 0xff,
            Destination::Logical(u32::MAX) => true,
            Destination::Logical(mda) if self.x2apic() => {
                mda >> 16 == self.ldr >> 16 && mda & self.ldr & 0xffff != 0
            }
            Destination::Logical(mda) => {
                let id = self.ldr >> 24;
                if self.dfr >> 28 == 0xf {
                    mda & id & 0xff != 0
                } else {
                    mda >> 4 & 0xf == id >> 4 && mda & id & 0xf != 0 || mda & 0xff == 0xff
                }
            }
        }
    }

    fn divisor(&self) -> u64 {
        let code = self.timer.divide & 3 | self.timer.divide >> 1 & 4;
        1 << ((code + 1) & 7)
    }

    fn timer_mode(&self) -> u32 {
        self.lvt[TIMER] >> 17 & 3
    }

    fn start_timer(&mut self, now: u64) {
        self.timer.start = now;
        self.timer.due = match self.timer_mode() {
            0 | 1 if self.timer.initial != 0 => {
                Some(now.saturating_add(u64::from(self.timer.initial) * self.divisor()))
            }
            2 if self.timer.deadline != 0 => Some(self.timer.deadline.max(now)),
            _ => None,
        };
    }

    /// When something happens next.
    pub fn due(&self) -> Option<u64> {
        self.timer.due
    }

    /// Time has come this far.
    pub fn advance(&mut self, now: u64) {
        let Some(due) = self.timer.due.filter(|due| *due <= now) else { return };
        let lvt = self.lvt[TIMER];
        match self.timer_mode() {
            1 => {
                let period = u64::from(self.timer.initial).max(1) * self.divisor();
                let rounds = (now - due) / period;
                self.timer.start = due + rounds * period;
                self.timer.due = Some(self.timer.start + period);
            }
            _ => {
                self.timer.due = None;
                self.timer.deadline = 0;
            }
        }
        if lvt & LVT_MASKED == 0 {
            self.accept(lvt as u8, false);
        }
    }

    fn current_count(&self, now: u64) -> u32 {
        match self.timer.due {
            Some(due) if self.timer_mode() < 2 => (due.saturating_sub(now) / self.divisor()) as u32,
            _ => 0,
        }
    }

    /// IA32_TSC_DEADLINE in the processor's time; 0: disarmed.
    pub fn deadline(&self) -> u64 {
        if self.timer_mode() == 2 { self.timer.deadline } else { 0 }
    }

    pub fn set_deadline(&mut self, deadline: u64, now: u64) {
        if self.timer_mode() == 2 {
            self.timer.deadline = deadline;
            self.start_timer(now);
        }
    }

    /// Reads a register; `None`: there is none.
    pub fn read(&self, register: u32, now: u64) -> Option<u64> {
        let x2 = self.x2apic();
        Some(u64::from(match register {
            reg::ID if x2 => self.id,
            reg::ID => self.id << 24,
            reg::VERSION => VERSION,
            reg::TPR => self.tpr,
            reg::APR if !x2 => 0,
            reg::PPR => self.ppr(),
            reg::EOI if !x2 => 0,
            reg::LDR => self.ldr,
            reg::DFR if !x2 => self.dfr,
            reg::SVR => self.svr,
            reg::ISR..=0x17 => self.isr.word(register - reg::ISR),
            reg::TMR..=0x1f => self.tmr.word(register - reg::TMR),
            reg::IRR..=0x27 => self.irr.word(register - reg::IRR),
            reg::ESR => self.esr,
            reg::ICR if x2 => return Some(self.icr),
            reg::ICR => self.icr as u32,
            reg::ICR_HIGH if !x2 => (self.icr >> 32) as u32,
            reg::LVT_TIMER..=reg::LVT_ERROR => self.lvt[(register - reg::LVT_TIMER) as usize % LVTS],
            reg::INITIAL_COUNT => self.timer.initial,
            reg::CURRENT_COUNT => self.current_count(now),
            reg::DIVIDE => self.timer.divide,
            _ => return None,
        }))
    }

    /// Writes a register; `None`: there is none, or it may not hold that.
    pub fn write(&mut self, register: u32, value: u64, now: u64) -> Option<Effect> {
        let (x2, low) = (self.x2apic(), value as u32);
        if x2 && value >> 32 != 0 && register != reg::ICR {
            return None;
        }
        match register {
            reg::ID if !x2 => {}
            reg::TPR => self.tpr = low & 0xff,
            reg::EOI if x2 && value != 0 => return None,
            reg::EOI => return Some(self.end_of_interrupt()),
            reg::LDR if !x2 => self.ldr = low & 0xff00_0000,
            reg::DFR if !x2 => self.dfr = low | 0x0fff_ffff,
            reg::SVR => self.write_svr(low),
            reg::ESR if x2 && value != 0 => return None,
            reg::ESR => self.esr = std::mem::take(&mut self.errors),
            reg::ICR => {
                return Some(self.write_icr(if x2 {
                    value
                } else {
                    self.icr & !0xffff_ffff | u64::from(low)
                }));
            }
            reg::ICR_HIGH if !x2 => self.icr = self.icr & 0xffff_ffff | u64::from(low) << 32,
            reg::LVT_TIMER..=reg::LVT_ERROR => {
                self.write_lvt((register - reg::LVT_TIMER) as usize % LVTS, low, now)
            }
            // "In TSC-deadline mode, writes to the initial-count register are ignored."
            reg::INITIAL_COUNT if self.timer_mode() == 2 => {}
            reg::INITIAL_COUNT => {
                self.timer.initial = low;
                self.start_timer(now);
            }
            reg::DIVIDE => {
                self.timer.divide = low & 0xb;
                if self.timer.due.is_some() && self.timer_mode() != 2 {
                    self.start_timer(now);
                }
            }
            reg::SELF_IPI if x2 => {
                return Some(Effect::Send(Message {
                    delivery: Delivery::Fixed,
                    vector: low as u8,
                    to: Destination::Sender,
                    level: false,
                }));
            }
            // Read only: xAPIC ignores writes, x2APIC refuses them.
            _ if x2 => return None,
            _ => {}
        }
        Some(Effect::None)
    }

    fn end_of_interrupt(&mut self) -> Effect {
        let Some(vector) = self.isr.highest() else { return Effect::None };
        self.isr.clear(vector);
        if self.tmr.has(vector) { Effect::Ended(vector) } else { Effect::None }
    }

    fn write_svr(&mut self, value: u32) {
        self.svr = value & 0x3ff;
        if self.svr & SVR_ENABLED == 0 {
            // "Local APIC State After It Has Been Software Disabled": all masks are set.
            for lvt in &mut self.lvt {
                *lvt |= LVT_MASKED;
            }
        }
    }

    fn write_lvt(&mut self, n: usize, value: u32, now: u64) {
        let before = self.timer_mode();
        let bits = if n == TIMER { LVT_TIMER_BITS } else { LVT_BITS };
        let masked = if self.svr & SVR_ENABLED == 0 { LVT_MASKED } else { 0 };
        self.lvt[n] = value & bits | masked;
        if n == TIMER && before != self.timer_mode() {
            // "A write to the LVT Timer Register that changes the timer mode disarms the local APIC timer" where one of the
            // modes is that of the deadline.
            if before == 2 || self.timer_mode() == 2 {
                (self.timer.initial, self.timer.deadline) = (0, 0);
                self.start_timer(now);
            }
        }
    }

    fn write_icr(&mut self, value: u64) -> Effect {
        // Delivery is done at once: the status bit reads as idle.
        self.icr = value & !(1 << 12);
        let low = value as u32;
        let delivery = Delivery::of(low);
        let destination = if self.x2apic() { (value >> 32) as u32 } else { (value >> 56) as u32 };
        let to = match low >> 18 & 3 {
            0 if low & 1 << 11 != 0 => Destination::Logical(destination),
            0 => Destination::Physical(destination),
            1 => Destination::Sender,
            2 => Destination::All,
            _ => Destination::Others,
        };
        // The level de-assert of INIT does nothing on processors since the Pentium 4.
        if delivery == Delivery::Init && low & 1 << 15 != 0 && low & 1 << 14 == 0 {
            return Effect::None;
        }
        if matches!(delivery, Delivery::Fixed | Delivery::LowestPriority) && low as u8 <= 15 {
            self.error(ESR_SEND_VECTOR);
            return Effect::None;
        }
        Effect::Send(Message { delivery, vector: low as u8, to, level: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apic() -> LocalApic {
        let mut apic = LocalApic::new(0, 0xfee0_0900);
        apic.write(reg::SVR, 0x1ff, 0);
        apic
    }

    #[test]
    fn higher_classes_interrupt_lower_ones_and_wait_for_equal_ones() {
        let mut apic = apic();
        apic.accept(0x41, false);
        assert_eq!(apic.offered(), Some(0x41));
        apic.acknowledge(0x41);
        apic.accept(0x4f, false);
        assert_eq!(apic.offered(), None);
        apic.accept(0x51, false);
        assert_eq!(apic.offered(), Some(0x51));
        apic.acknowledge(0x51);
        apic.write(reg::EOI, 0, 0);
        assert_eq!(apic.offered(), None);
        apic.write(reg::EOI, 0, 0);
        assert_eq!(apic.offered(), Some(0x4f));
        apic.write(reg::TPR, 0x40, 0);
        assert_eq!(apic.offered(), None);
        apic.write(reg::TPR, 0x30, 0);
        assert_eq!(apic.offered(), Some(0x4f));
    }

    #[test]
    fn the_timer_in_its_modes() {
        let mut apic = apic();
        apic.write(reg::DIVIDE, 0xb, 0); // by 1
        apic.write(reg::LVT_TIMER, 0x30, 0);
        apic.write(reg::INITIAL_COUNT, 100, 10);
        assert_eq!((apic.due(), apic.read(reg::CURRENT_COUNT, 60)), (Some(110), Some(50)));
        apic.advance(109);
        assert_eq!(apic.offered(), None);
        apic.advance(110);
        assert_eq!((apic.offered(), apic.due()), (Some(0x30), None));

        apic.write(reg::LVT_TIMER, 0x2_0031, 200);
        apic.write(reg::INITIAL_COUNT, 100, 200);
        apic.advance(520);
        assert_eq!((apic.offered(), apic.due()), (Some(0x31), Some(600)));

        apic.write(reg::LVT_TIMER, 0x4_0032, 530);
        assert_eq!(apic.due(), None);
        apic.set_deadline(700, 530);
        assert_eq!((apic.due(), apic.deadline()), (Some(700), 700));
        apic.advance(700);
        assert_eq!((apic.due(), apic.deadline()), (None, 0));
    }

    #[test]
    fn disabling_by_software_masks_and_drops() {
        let mut apic = apic();
        apic.write(reg::LVT_TIMER, 0x30, 0);
        apic.write(reg::SVR, 0xff, 0);
        assert_eq!(apic.read(reg::LVT_TIMER, 0), Some(u64::from(LVT_MASKED | 0x30)));
        apic.accept(0x40, false);
        apic.write(reg::SVR, 0x1ff, 0);
        assert_eq!(apic.offered(), None);
    }

    #[test]
    fn x2apic_registers_are_not_those_of_xapic() {
        let mut apic = LocalApic::new(0x12, 0xfee0_0800);
        assert_eq!(apic.read(reg::ID, 0), Some(0x1200_0000));
        apic.set_base(0xfee0_0c00);
        assert_eq!((apic.read(reg::ID, 0), apic.read(reg::LDR, 0)), (Some(0x12), Some(0x1_0004)));
        assert_eq!((apic.read(reg::DFR, 0), apic.write(reg::DFR, 0, 0)), (None, None));
        assert!(apic.is_meant(Destination::Logical(0x1_0006), None));
        assert!(!apic.is_meant(Destination::Logical(0x2_0004), None));
        assert_eq!(apic.page(), None);
        let sent = apic.write(reg::ICR, 0x34_0000_4500, 0);
        let init =
            Message { delivery: Delivery::Init, vector: 0, to: Destination::Physical(0x34), level: false };
        assert_eq!(sent, Some(Effect::Send(init)));
    }
}
