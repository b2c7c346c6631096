//! What connects the devices: ports, memory-mapped registers, interrupt lines, time.

use super::devices::{
    acpi_pm::{self, AcpiPm},
    fw_cfg::FwCfg,
    ioapic::{self, IoApic},
    lapic::{Delivery, Destination, Effect, LocalApic, Message},
    pic::Pic,
    pit::Pit,
    rtc::Rtc,
    serial::{self, Serial},
};
use std::{cell::RefCell, io::Write, rc::Rc};
use x86_ref::{Bus, Flow};
use x86_spec::msr;

/// QEMU's isa-debug-exit.
const DEBUG_EXIT: u16 = 0xf4;
const DEBUG_TEXT: u16 = 0xe9;
/// First of the ports of QEMU's pc-testdev that are interrupt lines.
const TEST_LINES: u16 = 0x2000;
const IRQ_TIMER: u8 = 0;
const IRQ_COM1: u8 = 4;
/// The I/O APIC's input that IRQ 0 is at, as the MADT says.
pub(super) const PIN_TIMER: usize = 2;

/// Why the guest wants no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A value written to the debug-exit port.
    Exit(u32),
    PowerOff,
    Reset,
}

/// Signals for a processor that are no interrupts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signals {
    pub nmi: bool,
    pub init: bool,
    pub startup: Option<u8>,
}

/// What the board is made with.
pub(super) struct Parts {
    pub ram: u64,
    pub fw_cfg: FwCfg,
    pub serial: Box<dyn Write>,
    pub debug: Box<dyn Write>,
    /// IA32_APIC_BASE of each processor.
    pub apic_bases: Vec<u64>,
}

pub(super) struct Board {
    pub lapics: Vec<LocalApic>,
    pub signals: Vec<Signals>,
    /// More than one processor executes: waiting in a loop gives the turn away.
    pub crowded: bool,
    pub wish: Option<Wish>,
    ioapic: IoApic,
    pic: Pic,
    pit: Pit,
    rtc: Rtc,
    pm: AcpiPm,
    fw_cfg: FwCfg,
    serial: Serial,
    debug: Box<dyn Write>,
    pci_address: u32,
    now: u64,
}

impl Board {
    pub fn new(parts: Parts) -> Self {
        let mut lapics: Vec<_> =
            (0..).zip(parts.apic_bases).map(|(id, base)| LocalApic::new(id, base)).collect();
        if let Some(bootstrap) = lapics.first_mut() {
            bootstrap.virtual_wire();
        }
        let cpus = lapics.len() as u32;
        Self {
            signals: vec![Signals::default(); lapics.len()],
            lapics,
            crowded: false,
            wish: None,
            ioapic: IoApic::new(cpus),
            pic: Pic::new(),
            pit: Pit::new(),
            rtc: Rtc::new(parts.ram, cpus),
            pm: AcpiPm::default(),
            fw_cfg: parts.fw_cfg,
            serial: Serial::new(parts.serial),
            debug: parts.debug,
            pci_address: 0,
            now: 0,
        }
    }

    /// The interrupt that there is for a processor. The 8259s are at the bootstrap processor's.
    pub fn offered(&self, cpu: usize) -> Option<u8> {
        let lapic = self.lapics.get(cpu)?;
        lapic.offered().or_else(|| {
            let wired = cpu == 0 && (lapic.takes_external() || self.ioapic.takes_external());
            if wired { self.pic.offered() } else { None }
        })
    }

    fn acknowledge(&mut self, cpu: usize, vector: u8) -> Option<u8> {
        let lapic = self.lapics.get_mut(cpu)?;
        // By the vector: time may have brought another interrupt since this one was offered.
        if lapic.has(vector) {
            lapic.acknowledge(vector)
        } else {
            self.pic.acknowledge()
        }
        self.offered(cpu)
    }

    /// When a device does something by itself next.
    pub fn due(&self) -> Option<u64> {
        self.lapics.iter().filter_map(LocalApic::due).chain(self.pit.due()).min()
    }

    /// Time has come this far.
    pub fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        if self.pit.advance(self.now) {
            self.pulse(IRQ_TIMER);
        }
        for lapic in &mut self.lapics {
            lapic.advance(self.now);
        }
    }

    /// Everything that was written goes out.
    pub fn flush(&mut self) {
        self.serial.flush();
        let _ = self.debug.flush();
    }

    fn pulse(&mut self, irq: u8) {
        self.line(irq, true);
        self.line(irq, false);
    }

    /// An interrupt line changes: the 8259s have the first 16, the I/O APIC all.
    fn line(&mut self, irq: u8, high: bool) {
        let pin = if irq == IRQ_TIMER { PIN_TIMER } else { usize::from(irq) };
        if irq < 16 {
            self.pic.set(irq, high);
        }
        if let Some(message) = self.ioapic.set(pin, high) {
            self.send(message, None);
        }
    }

    /// Delivers a message to those it is meant for.
    fn send(&mut self, message: Message, sender: Option<usize>) {
        let sender = sender.map(|n| n as u32);
        let meant: Vec<usize> =
            (0..self.lapics.len()).filter(|n| self.lapics[*n].is_meant(message.to, sender)).collect();
        let lowest = message.delivery == Delivery::LowestPriority && message.to != Destination::Sender;
        for cpu in meant {
            match message.delivery {
                Delivery::Fixed | Delivery::LowestPriority => {
                    self.lapics[cpu].accept(message.vector, message.level);
                }
                Delivery::Nmi => self.signals[cpu].nmi = true,
                Delivery::Init => {
                    self.lapics[cpu].init();
                    self.signals[cpu] = Signals { init: true, ..Signals::default() };
                }
                Delivery::Startup => self.signals[cpu].startup = Some(message.vector),
                // The 8259s are looked at anyhow.
                Delivery::External | Delivery::None => {}
            }
            if lowest {
                break;
            }
        }
    }

    fn lapic_write(&mut self, cpu: usize, register: u32, value: u64) -> Option<Flow> {
        let now = self.now;
        match self.lapics.get_mut(cpu)?.write(register, value, now)? {
            Effect::None => {}
            Effect::Send(message) => self.send(message, Some(cpu)),
            Effect::Ended(vector) => {
                for message in self.ioapic.ended(vector) {
                    self.send(message, None);
                }
            }
        }
        Some(Flow::Stop)
    }

    fn wish(&mut self, wish: Wish) -> Flow {
        self.wish.get_or_insert(wish);
        Flow::Stop
    }

    fn in_byte(&mut self, port: u16) -> u8 {
        let now = self.now;
        match port {
            0x20 | 0x21 | 0xa0 | 0xa1 => self.pic.read(port),
            0x40..=0x43 => self.pit.read(port, now),
            0x61 => self.pit.speaker(now),
            // The keyboard controller takes commands and has nothing to say.
            0x60 | 0x64 => 0,
            0x70 | 0x71 => self.rtc.read(port, now),
            // A20 is always on.
            0x92 => 2,
            DEBUG_TEXT => 0xe9,
            0x4d0 | 0x4d1 => self.pic.elcr(port & 1 != 0),
            0x511 => self.fw_cfg.read(),
            serial::PORT..=0x3ff => self.serial.read(port),
            acpi_pm::PM1_EVENT..=0x60b => self.pm.read(port, now),
            0xcf8..=0xcfb => self.pci_address.to_le_bytes()[usize::from(port & 3)],
            _ => 0xff,
        }
    }

    fn out_byte(&mut self, port: u16, value: u8) -> Flow {
        let now = self.now;
        match port {
            0x20 | 0x21 | 0xa0 | 0xa1 => self.pic.write(port, value),
            0x40..=0x43 => self.pit.write(port, value, now),
            0x61 => self.pit.set_speaker(value, now),
            0x70 | 0x71 => self.rtc.write(port, value),
            0x4d0 | 0x4d1 => self.pic.set_elcr(port & 1 != 0, value),
            // The keyboard controller pulses the reset line; so do port 0x92 and the chip set.
            0x64 if value & 0xf1 == 0xf0 => return self.wish(Wish::Reset),
            0x92 if value & 1 != 0 => return self.wish(Wish::Reset),
            0xcf9 if value & 4 != 0 => return self.wish(Wish::Reset),
            DEBUG_TEXT => {
                let _ = self.debug.write_all(&[value]);
                return Flow::Continue;
            }
            serial::PORT..=0x3ff => {
                self.serial.write(port, value);
                if !self.serial.has_raised() {
                    return Flow::Continue;
                }
                self.pulse(IRQ_COM1);
            }
            _ => return Flow::Continue,
        }
        Flow::Stop
    }
}

/// The board as one processor sees it.
pub(super) struct Seat {
    pub cpu: usize,
    pub board: Rc<RefCell<Board>>,
}

impl Seat {
    fn apic_register(&self, board: &Board, address: u64) -> Option<u32> {
        let page = board.lapics.get(self.cpu)?.page()?;
        (address & !0xfff == page).then_some((address & 0xfff) as u32 >> 4)
    }
}

impl Bus for Seat {
    fn clock(&mut self, now: u64) {
        self.board.borrow_mut().advance(now);
    }

    fn io_in(&mut self, port: u16, size: u8) -> u32 {
        let mut board = self.board.borrow_mut();
        let mut bytes = [0; 4];
        for (n, byte) in (0..).zip(&mut bytes[..usize::from(size) & 7]) {
            // All bytes of the data register of fw_cfg are behind one port.
            let at = if port == 0x511 { port } else { port.wrapping_add(n) };
            *byte = board.in_byte(at);
        }
        u32::from_le_bytes(bytes)
    }

    fn io_out(&mut self, port: u16, size: u8, value: u32) -> Flow {
        let mut board = self.board.borrow_mut();
        match (port, size) {
            (DEBUG_EXIT, _) => return board.wish(Wish::Exit(value)),
            (0x510, 2..) => {
                board.fw_cfg.select(value as u16);
                return Flow::Continue;
            }
            (TEST_LINES..=0x2017, _) => {
                board.line((port - TEST_LINES) as u8, value != 0);
                return Flow::Stop;
            }
            (0xcf8, 4) => {
                board.pci_address = value;
                return Flow::Continue;
            }
            (acpi_pm::PM1_EVENT..=0x60b, _) => {
                let off = board.pm.write(port, value);
                return if off { board.wish(Wish::PowerOff) } else { Flow::Continue };
            }
            _ => {}
        }
        let mut flow = Flow::Continue;
        for (n, byte) in (0..u16::from(size)).zip(value.to_le_bytes()) {
            if board.out_byte(port.wrapping_add(n), byte) == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        flow
    }

    fn mmio_read(&mut self, address: u64, size: u8) -> u64 {
        let board = self.board.borrow();
        if let Some(register) = self.apic_register(&board, address) {
            let value = board.lapics[self.cpu].read(register, board.now).unwrap_or(0);
            return value >> (8 * (address & 3));
        }
        if address & !0xfff == ioapic::BASE {
            return u64::from(board.ioapic.read(address & 0xff));
        }
        if size >= 8 { u64::MAX } else { (1 << (8 * size)) - 1 }
    }

    fn mmio_write(&mut self, address: u64, _size: u8, value: u64) -> Flow {
        let mut board = self.board.borrow_mut();
        if let Some(register) = self.apic_register(&board, address) {
            return board.lapic_write(self.cpu, register, value & 0xffff_ffff).unwrap_or(Flow::Continue);
        }
        if address & !0xfff == ioapic::BASE {
            if let Some(message) = board.ioapic.write(address & 0xff, value as u32) {
                board.send(message, None);
            }
            return Flow::Stop;
        }
        Flow::Continue
    }

    fn msr_read(&mut self, index: u32) -> Option<u64> {
        let board = self.board.borrow();
        let lapic = board.lapics.get(self.cpu)?;
        match index {
            msr::IA32_TSC_DEADLINE => Some(lapic.deadline()),
            _ => lapic.read(index.checked_sub(msr::IA32_X2APIC_FIRST)?, board.now),
        }
    }

    fn msr_write(&mut self, index: u32, value: u64) -> Option<Flow> {
        let mut board = self.board.borrow_mut();
        let now = board.now;
        match index {
            msr::IA32_TSC_DEADLINE => board.lapics.get_mut(self.cpu)?.set_deadline(value, now),
            msr::IA32_APIC_BASE => board.lapics.get_mut(self.cpu)?.set_base(value),
            _ => {
                let register = index.checked_sub(msr::IA32_X2APIC_FIRST)?;
                return board.lapic_write(self.cpu, register, value);
            }
        }
        Some(Flow::Stop)
    }

    fn acknowledge(&mut self, vector: u8) -> Option<u8> {
        self.board.borrow_mut().acknowledge(self.cpu, vector)
    }

    fn task_priority(&mut self, class: u8) -> Flow {
        if let Some(lapic) = self.board.borrow_mut().lapics.get_mut(self.cpu) {
            lapic.set_class(class);
        }
        Flow::Stop
    }

    fn pause(&mut self) -> Flow {
        if self.board.borrow().crowded { Flow::Stop } else { Flow::Continue }
    }
}
