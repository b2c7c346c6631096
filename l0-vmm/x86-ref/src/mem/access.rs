//! Reading and writing at linear addresses: the TLB, then page walk, page crossing and devices.

use super::{Access, Mode, ept::sub_page, ram::PAGE};
use crate::{
    Cpu, Flow,
    boundary::PENDING_ENABLED_BREAKPOINT,
    cpu::attention,
    exec::operand::mask,
    fault::{Exec, Why},
};
use x86_spec::{
    cr::{cr0, rflags},
    vector,
};

/// Bytes of one data breakpoint, by the encoding of its LEN field.
const BREAKPOINT_BYTES: [u64; 4] = [1, 2, 8, 4];
/// Encodings of the R/W field of DR7 that are about data.
const BREAK_ON_WRITES: u64 = 1;
const BREAK_ON_ACCESSES: u64 = 3;

impl Cpu {
    /// Whether accesses need more than translation: alignment checks or data breakpoints.
    pub(crate) fn accesses_watched(&self) -> bool {
        self.data_breakpoints() || self.alignment_checked()
    }

    fn alignment_checked(&self) -> bool {
        self.cpl == 3 && self.cr0 & cr0::AM != 0 && self.sysflags & rflags::AC != 0
    }

    fn data_breakpoints(&self) -> bool {
        (0..4).any(|n| matches!(self.breakpoint_kind(n), Some(BREAK_ON_WRITES | BREAK_ON_ACCESSES)))
    }

    /// Alignment check of an explicit access, before it.
    #[cold]
    fn check_alignment(&mut self, linear: u64, size: u64) -> Exec {
        if self.alignment_checked() && linear & (size - 1) != 0 {
            return Err(self.fault(vector::AC, Some(0)));
        }
        Ok(())
    }

    /// Data breakpoints met by an explicit access, after it.
    #[cold]
    fn note_breakpoints(&mut self, linear: u64, size: u64, write: bool) {
        let mut met = 0;
        for n in 0..4u32 {
            let applies = match self.breakpoint_kind(n) {
                Some(BREAK_ON_WRITES) => write,
                Some(BREAK_ON_ACCESSES) => true,
                _ => false,
            };
            let len = BREAKPOINT_BYTES[(self.dr[7] >> (18 + 4 * n) & 3) as usize];
            let start = self.dr[n as usize & 3] & !(len - 1);
            let apart = start.wrapping_add(len) <= linear || linear.wrapping_add(size) <= start;
            if applies && !apart {
                met |= 1 << n;
            }
        }
        if met != 0 {
            self.pending_dbg |= met | PENDING_ENABLED_BREAKPOINT;
            self.attention_changed();
        }
    }

    /// Reads 1, 2, 4 or 8 bytes at a linear address (zero-extended).
    pub(crate) fn read_linear(&mut self, linear: u64, size: usize, mode: Mode) -> Exec<u64> {
        match size {
            1 => self.read_sized::<1>(linear, mode),
            2 => self.read_sized::<2>(linear, mode),
            4 => self.read_sized::<4>(linear, mode),
            8 => self.read_sized::<8>(linear, mode),
            _ => Err(self.unsupported("a memory operand of this size")),
        }
    }

    /// The current TLB is the one for that mode.
    #[inline(always)]
    fn tlb_serves(&self, mode: Mode) -> bool {
        mode == Mode::Data || self.cpl != 3
    }

    /// Reads `S` bytes (zero-extended).
    #[inline]
    pub(crate) fn read_sized<const S: usize>(&mut self, linear: u64, mode: Mode) -> Exec<u64> {
        if mode == Mode::Data && self.watched {
            self.check_alignment(linear, S as u64)?;
            let value = self.read_slow::<S>(linear, mode)?;
            self.note_breakpoints(linear, S as u64, false);
            return Ok(value);
        }
        if self.tlb_serves(mode)
            && let Some(value) = self.mem.tlb.load::<S>(linear)
        {
            return Ok(value);
        }
        self.read_slow::<S>(linear, mode)
    }

    #[cold]
    #[inline(never)]
    fn read_slow<const S: usize>(&mut self, linear: u64, mode: Mode) -> Exec<u64> {
        let first = self.translate(linear, Access::Read, mode)?;
        if self.mem.is_apic_page(first) {
            return self.apic_read(first, S);
        }
        let here = PAGE - linear % PAGE;
        if here >= S as u64 {
            return Ok(self.physical_load::<S>(first));
        }
        let second = self.translate(linear.wrapping_add(here) & self.linear_mask, Access::Read, mode)?;
        if self.mem.is_apic_page(second) {
            return Err(self.apic_access_exit(second, Access::Read));
        }
        let mut value = 0;
        for i in 0..S as u64 {
            let at = if i < here { first + i } else { second + i - here };
            value |= self.physical_load::<1>(at) << (8 * i);
        }
        Ok(value)
    }

    /// Reads RAM or a device.
    fn physical_load<const S: usize>(&mut self, at: u64) -> u64 {
        match self.mem.ram.load::<S>(at) {
            Some(value) => value,
            None => {
                let now = self.now();
                let mut bus = self.bus.borrow_mut();
                bus.clock(now);
                bus.mmio_read(at, S as u8) & mask(S)
            }
        }
    }

    /// Writes RAM or a device. Writes to decoded code have been looked for before.
    fn physical_store<const S: usize>(&mut self, at: u64, value: u64) {
        if self.mem.ram.store::<S>(at, value) {
            return;
        }
        let now = self.now();
        let flow = {
            let mut bus = self.bus.borrow_mut();
            bus.clock(now);
            bus.mmio_write(at, S as u8, value & mask(S))
        };
        if flow == Flow::Stop {
            self.attention |= attention::STOP;
        }
    }

    /// Writes the low 1, 2, 4 or 8 bytes of `value` at a linear address. All or nothing.
    pub(crate) fn write_linear(&mut self, linear: u64, size: usize, value: u64, mode: Mode) -> Exec {
        match size {
            1 => self.write_sized::<1>(linear, value, mode),
            2 => self.write_sized::<2>(linear, value, mode),
            4 => self.write_sized::<4>(linear, value, mode),
            8 => self.write_sized::<8>(linear, value, mode),
            _ => Err(self.unsupported("a memory operand of this size")),
        }
    }

    /// Writes `S` bytes. All or nothing.
    #[inline]
    pub(crate) fn write_sized<const S: usize>(&mut self, linear: u64, value: u64, mode: Mode) -> Exec {
        if mode == Mode::Data && self.watched {
            self.check_alignment(linear, S as u64)?;
            self.write_slow::<S>(linear, value, mode)?;
            self.note_breakpoints(linear, S as u64, true);
            return Ok(());
        }
        if self.tlb_serves(mode) && self.mem.tlb.store::<S>(linear, value) {
            return Ok(());
        }
        self.write_slow::<S>(linear, value, mode)
    }

    #[cold]
    #[inline(never)]
    fn write_slow<const S: usize>(&mut self, linear: u64, value: u64, mode: Mode) -> Exec {
        let (first, second, here) = self.writable_places(linear, S as u64, mode)?;
        if self.mem.is_apic_page(first) {
            self.apic_write(first, value.to_le_bytes().split_at(S).0);
            return Ok(());
        }
        if here >= S as u64 {
            self.physical_store::<S>(first, value);
            return Ok(());
        }
        for i in 0..S as u64 {
            let at = if i < here { first + i } else { second + i - here };
            self.physical_store::<1>(at, value >> (8 * i));
        }
        Ok(())
    }

    /// Physical addresses of up to a page of bytes that are to be written: of those on the first page, of those on the
    /// second, and how many are on the first. Decoded code there stops the instruction.
    fn writable_places(&mut self, linear: u64, size: u64, mode: Mode) -> Exec<(u64, u64, u64)> {
        let here = PAGE - linear % PAGE;
        let first = self.translate(linear, Access::Write, mode)?;
        self.apic_write_allowed(first, size)?;
        self.sub_pages_writable(linear, size.min(here), mode)?;
        self.no_code(first, size.min(here))?;
        let mut second = 0;
        if here < size {
            second = self.translate(linear.wrapping_add(here) & self.linear_mask, Access::Write, mode)?;
            self.apic_write_allowed(second, u64::MAX)?;
            self.sub_pages_writable(linear.wrapping_add(here) & self.linear_mask, size - here, mode)?;
            self.no_code(second, size - here)?;
        }
        Ok((first, second, here))
    }

    /// The sub-pages behind that of `linear` which the write reaches, too, can be written to.
    fn sub_pages_writable(&mut self, linear: u64, size: u64, mode: Mode) -> Exec {
        if !self.mem.ept.sub_pages {
            return Ok(());
        }
        let mut at = (linear | (sub_page::SIZE - 1)).wrapping_add(1);
        while at.wrapping_sub(linear) < size {
            self.translate(at, Access::Write, mode)?;
            at = at.wrapping_add(sub_page::SIZE);
        }
        Ok(())
    }

    fn no_code(&mut self, physical: u64, size: u64) -> Exec {
        if self.mem.hits_code(physical, size) {
            return Err(self.stop(Why::CodeWrite(physical)));
        }
        self.mem.tell_others(physical);
        Ok(())
    }

    /// Checks that a write of `size` bytes would succeed, setting A and D as it would: for read-modify-write and for
    /// instructions that must fault before they change anything.
    pub(crate) fn probe_write(&mut self, linear: u64, size: usize, mode: Mode) -> Exec {
        let hit = self.tlb_serves(mode)
            && !self.watched
            && match size {
                1 => self.mem.tlb.slot::<1>(linear).is_some(),
                2 => self.mem.tlb.slot::<2>(linear).is_some(),
                4 => self.mem.tlb.slot::<4>(linear).is_some(),
                8 => self.mem.tlb.slot::<8>(linear).is_some(),
                _ => false,
            };
        if hit {
            return Ok(());
        }
        if mode == Mode::Data && size.is_power_of_two() {
            self.check_alignment(linear, size as u64)?;
        }
        let (mut at, mut left) = (linear, size as u64);
        while left > 0 {
            let part = left.min(PAGE);
            self.writable_places(at, part, mode)?;
            at = at.wrapping_add(part) & self.linear_mask;
            left -= part;
        }
        Ok(())
    }

    /// Reads any number of bytes at a linear address.
    pub(crate) fn read_linear_bytes(&mut self, linear: u64, to: &mut [u8], mode: Mode) -> Exec {
        if self.tlb_serves(mode) && !self.watched && self.mem.tlb.load_bytes(linear, to) {
            return Ok(());
        }
        let size = to.len() as u64;
        let mut at = linear;
        let mut rest = to;
        while !rest.is_empty() {
            let here = ((PAGE - at % PAGE) as usize).min(rest.len());
            let (part, after) = rest.split_at_mut(here);
            let physical = self.translate(at, Access::Read, mode)?;
            if self.mem.is_apic_page(physical) {
                return Err(self.apic_access_exit(physical, Access::Read));
            }
            if !self.mem.ram.read(physical, part) {
                for (i, byte) in part.iter_mut().enumerate() {
                    *byte = self.physical_load::<1>(physical + i as u64) as u8;
                }
            }
            at = at.wrapping_add(here as u64) & self.linear_mask;
            rest = after;
        }
        if mode == Mode::Data && self.watched {
            self.note_breakpoints(linear, size, false);
        }
        Ok(())
    }

    /// Writes any number of bytes at a linear address. All or nothing up to a page boundary.
    pub(crate) fn write_linear_bytes(&mut self, linear: u64, from: &[u8], mode: Mode) -> Exec {
        if self.tlb_serves(mode) && !self.watched && self.mem.tlb.store_bytes(linear, from) {
            return Ok(());
        }
        if from.len() as u64 <= PAGE {
            // Both pages are looked at before the first byte changes.
            let (first, second, here) = self.writable_places(linear, from.len() as u64, mode)?;
            let (a, b) = from.split_at(from.len().min(here as usize));
            if self.mem.is_apic_page(first) {
                self.apic_write(first, a);
                return Ok(());
            }
            self.physical_write_bytes(first, a);
            self.physical_write_bytes(second, b);
            if mode == Mode::Data && self.watched {
                self.note_breakpoints(linear, from.len() as u64, true);
            }
            return Ok(());
        }
        let mut at = linear;
        for part in from.chunks(PAGE as usize) {
            self.write_linear_bytes(at, part, mode)?;
            at = at.wrapping_add(part.len() as u64) & self.linear_mask;
        }
        Ok(())
    }

    fn physical_write_bytes(&mut self, at: u64, from: &[u8]) {
        if !self.mem.ram.write(at, from) {
            for (i, byte) in from.iter().enumerate() {
                self.physical_store::<1>(at + i as u64, u64::from(*byte));
            }
        }
    }

    /// Physical address of the instruction byte at a linear address.
    pub(crate) fn fetch(&mut self, linear: u64) -> Exec<u64> {
        match self.mem.tlb.executable(linear) {
            Some(physical) => Ok(physical),
            None => self.translate(linear, Access::Fetch, Mode::Data),
        }
    }
}
