//! COM1: a 16550 that writes and has nothing to read.

use std::{cell::Cell, convert::Infallible, io::Write, rc::Rc};
use vm_superio::{Trigger, serial::NoEvents};

/// First of its ports.
pub(crate) const PORT: u16 = 0x3f8;

/// Notes that an interrupt was raised.
#[derive(Clone, Default)]
struct Raised(Rc<Cell<bool>>);

impl Trigger for Raised {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

pub(crate) struct Serial {
    uart: vm_superio::Serial<Raised, NoEvents, Box<dyn Write>>,
    raised: Raised,
}

impl Serial {
    pub fn new(to: Box<dyn Write>) -> Self {
        let raised = Raised::default();
        Self { uart: vm_superio::Serial::new(raised.clone(), to), raised }
    }

    pub fn read(&mut self, port: u16) -> u8 {
        self.uart.read((port - PORT) as u8 & 7)
    }

    /// Writes. A reader of the output that has gone away is no affair of the guest.
    pub fn write(&mut self, port: u16, value: u8) {
        let _ = self.uart.write((port - PORT) as u8 & 7, value);
    }

    /// Whether it has raised its interrupt since the last look.
    pub fn has_raised(&self) -> bool {
        self.raised.0.take()
    }

    pub fn flush(&mut self) {
        let _ = self.uart.writer_mut().flush();
    }
}
