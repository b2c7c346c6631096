//! Segment descriptors, and the rules under which they get into segment registers.

use crate::{Cpu, Segment, cpu::seg, fault::Exec, mem::Mode};
use x86_spec::cr::{cr0, efer, rflags};

/// Bits of [`Segment::rights`].
pub(crate) mod rights {
    pub use x86_spec::vmx::segment::*;

    /// Data, writable, accessed, present: what real mode and virtual-8086 mode use.
    pub const DATA: u32 = P | S | WRITABLE | ACCESSED;
    /// Readable code, accessed, present.
    pub const FLAT_CODE: u32 = P | S | CODE | WRITABLE | ACCESSED;
    /// Of any segment in virtual-8086 mode: data with DPL 3.
    pub const VM86: u32 = DATA | 3 << DPL_SHIFT;
}

pub(crate) use x86_spec::vmx::segment::system;

/// Bits of a selector that name a descriptor: what error codes carry.
pub(crate) const SELECTOR_INDEX: u16 = 0xfffc;

/// The error code for a selector.
pub(crate) fn selector_error(selector: u16) -> u32 {
    u32::from(selector & SELECTOR_INDEX)
}

/// Whether a selector is null.
pub(crate) fn null(selector: u16) -> bool {
    selector & SELECTOR_INDEX == 0
}

/// The requested privilege level of a selector.
pub(crate) fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

impl Segment {
    /// What a null selector leaves in a segment register whose DPL counts as this.
    pub(crate) fn null(selector: u16, dpl: u8) -> Self {
        Self {
            selector,
            base: 0,
            limit: 0,
            rights: rights::UNUSABLE | u32::from(dpl & 3) << rights::DPL_SHIFT,
        }
    }

    /// Descriptor privilege level.
    pub(crate) fn dpl(&self) -> u8 {
        (self.rights >> rights::DPL_SHIFT & 3) as u8
    }

    /// Whether it can be used.
    pub(crate) fn usable(&self) -> bool {
        self.rights & rights::UNUSABLE == 0
    }
}

/// A descriptor as it lies in a table: 8 bytes, or the first 8 of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// The bytes.
    pub raw: u64,
    /// Linear address of it.
    pub at: u64,
}

impl Descriptor {
    /// Access rights in the format of [`Segment::rights`].
    pub fn rights(self) -> u32 {
        (self.raw >> 40 & 0xf0ff) as u32
    }

    /// Type field.
    pub fn kind(self) -> u32 {
        self.rights() & 0xf
    }

    /// Whether all these bits of the rights are 1.
    pub fn has(self, bits: u32) -> bool {
        self.rights() & bits == bits
    }

    /// A system segment or gate.
    pub fn system(self) -> bool {
        !self.has(rights::S)
    }

    /// A code segment.
    pub fn code(self) -> bool {
        self.has(rights::S | rights::CODE)
    }

    /// A conforming code segment.
    pub fn conforming(self) -> bool {
        self.has(rights::S | rights::CODE | rights::CONFORMING)
    }

    /// A data segment that can be written.
    pub fn writable_data(self) -> bool {
        self.has(rights::S | rights::WRITABLE) && !self.has(rights::CODE)
    }

    /// Data, or code that can be read.
    pub fn readable(self) -> bool {
        self.has(rights::S) && (!self.has(rights::CODE) || self.has(rights::WRITABLE))
    }

    /// Present.
    pub fn present(self) -> bool {
        self.has(rights::P)
    }

    /// Descriptor privilege level.
    pub fn dpl(self) -> u8 {
        (self.rights() >> rights::DPL_SHIFT & 3) as u8
    }

    /// Base address, low 32 bits.
    pub fn base(self) -> u64 {
        self.raw >> 16 & 0xff_ffff | self.raw >> 56 << 24
    }

    /// Limit in bytes.
    pub fn limit(self) -> u32 {
        let limit = (self.raw & 0xffff | self.raw >> 32 & 0xf_0000) as u32;
        if self.has(rights::G) { limit << 12 | 0xfff } else { limit }
    }

    /// Selector of a gate.
    pub fn gate_selector(self) -> u16 {
        (self.raw >> 16) as u16
    }

    /// Offset of a gate, low 32 bits.
    pub fn gate_offset(self) -> u64 {
        self.raw & 0xffff | self.raw >> 48 << 16
    }

    /// What a segment register holds after it was loaded from here.
    pub fn segment(self, selector: u16) -> Segment {
        let accessed = if self.system() { 0 } else { rights::ACCESSED };
        Segment { selector, base: self.base(), limit: self.limit(), rights: self.rights() | accessed }
    }
}

impl Cpu {
    /// Virtual-8086 mode.
    pub(crate) fn vm86(&self) -> bool {
        self.cr0 & cr0::PE != 0 && self.sysflags & rflags::VM != 0
    }

    /// IA-32e mode is active.
    pub(crate) fn ia32e(&self) -> bool {
        self.msr.efer & efer::LMA != 0
    }

    /// I/O privilege level.
    pub(crate) fn iopl(&self) -> u8 {
        (self.sysflags >> 12 & 3) as u8
    }

    /// #GP(0) unless CPL is 0.
    pub(crate) fn need_cpl0(&mut self) -> Exec {
        if self.cpl == 0 { Ok(()) } else { Err(self.gp(0)) }
    }

    /// Linear address of what a selector names, if its table reaches that far (`size` bytes).
    fn descriptor_address(&self, selector: u16, size: u64) -> Option<u64> {
        let (base, limit) = if selector & 4 == 0 {
            (self.gdtr.base, u64::from(self.gdtr.limit))
        } else if self.ldtr.usable() {
            (self.ldtr.base, u64::from(self.ldtr.limit))
        } else {
            return None;
        };
        let offset = u64::from(selector & !7);
        let linear = base.wrapping_add(offset);
        (offset + size - 1 <= limit).then_some(if self.ia32e() { linear } else { linear & 0xffff_ffff })
    }

    /// Reads the descriptor that a selector names; `None`: it is outside its table.
    pub(crate) fn descriptor(&mut self, selector: u16) -> Exec<Option<Descriptor>> {
        let Some(at) = self.descriptor_address(selector, 8) else {
            return Ok(None);
        };
        Ok(Some(Descriptor { raw: self.read_linear(at, 8, Mode::System)?, at }))
    }

    /// The second half of a 16-byte descriptor (IA-32e mode); `None`: it is outside its table.
    pub(crate) fn descriptor_high(&mut self, selector: u16) -> Exec<Option<u64>> {
        match self.descriptor_address(selector, 16) {
            None => Ok(None),
            Some(at) => self.read_linear(at.wrapping_add(8), 8, Mode::System).map(Some),
        }
    }

    /// Sets the accessed bit in memory where it is not yet set.
    pub(crate) fn mark_accessed(&mut self, d: Descriptor) -> Exec {
        if d.has(rights::ACCESSED) {
            return Ok(());
        }
        let byte = u64::from(d.rights() & 0xff | rights::ACCESSED);
        self.write_linear(d.at.wrapping_add(5), 1, byte, Mode::System)
    }

    /// What a code segment register holds at this privilege level.
    pub(crate) fn code_segment(&self, d: Descriptor, selector: u16, cpl: u8) -> Segment {
        d.segment(selector & SELECTOR_INDEX | u16::from(cpl))
    }

    /// Whether code with this descriptor would be 64-bit code.
    pub(crate) fn is_code64(&self, d: Descriptor) -> bool {
        self.ia32e() && d.has(rights::L)
    }

    /// Whether a code descriptor has L and D both set in IA-32e mode, which nothing may load.
    pub(crate) fn bad_code_size(&self, d: Descriptor) -> bool {
        self.ia32e() && d.has(rights::L | rights::DB)
    }

    /// Whether RIP may have this value under that code descriptor.
    pub(crate) fn target_ok(&self, d: Descriptor, rip: u64) -> bool {
        if self.is_code64(d) { self.canonical(rip) } else { rip <= u64::from(d.limit()) }
    }

    /// Sets CS and what comes with it. [`Cpu::mode_changed`] is up to the caller.
    pub(crate) fn set_cs(&mut self, cs: Segment, cpl: u8) {
        self.seg[seg::CS] = cs;
        self.cpl = cpl;
    }

    /// Loads ES, SS, DS, FS or GS with a selector. SDM 2: "MOV", "LDS/LES/LFS/LGS/LSS", "POP".
    pub(crate) fn load_segment(&mut self, register: usize, selector: u16) -> Exec {
        if !self.protected() {
            self.seg[register] = self.real_segment(register, selector);
            self.mode_changed();
            return Ok(());
        }
        self.seg[register] = self.checked_segment(register, selector)?;
        self.mode_changed();
        Ok(())
    }

    /// What a segment register holds after a load in real mode (limit and rights stay) or in virtual-8086 mode.
    pub(crate) fn real_segment(&self, register: usize, selector: u16) -> Segment {
        let base = u64::from(selector) << 4;
        if self.vm86() {
            return Segment { selector, base, limit: 0xffff, rights: rights::VM86 };
        }
        let old = self.seg[register];
        Segment { selector, base, limit: old.limit, rights: old.rights & !rights::UNUSABLE }
    }

    /// What a data or stack segment register would hold after this selector is loaded; all the faults of that.
    pub(crate) fn checked_segment(&mut self, register: usize, selector: u16) -> Exec<Segment> {
        let error = selector_error(selector);
        if register == seg::SS {
            if null(selector) {
                // SDM 3A: "NULL Segment Checking": 64-bit code below CPL 3 may run without a stack segment.
                if self.long64() && self.cpl != 3 && rpl(selector) == self.cpl {
                    return Ok(Segment::null(selector, self.cpl));
                }
                return Err(self.gp(0));
            }
            let Some(d) = self.descriptor(selector)? else {
                return Err(self.gp(error));
            };
            if rpl(selector) != self.cpl || !d.writable_data() || d.dpl() != self.cpl {
                return Err(self.gp(error));
            }
            if !d.present() {
                return Err(self.ss(error));
            }
            self.mark_accessed(d)?;
            return Ok(d.segment(selector));
        }
        if null(selector) {
            return Ok(Segment::null(selector, 0));
        }
        let Some(d) = self.descriptor(selector)? else {
            return Err(self.gp(error));
        };
        if !d.readable() || !d.conforming() && (rpl(selector) > d.dpl() || self.cpl > d.dpl()) {
            return Err(self.gp(error));
        }
        if !d.present() {
            return Err(self.np(error));
        }
        self.mark_accessed(d)?;
        Ok(d.segment(selector))
    }

    /// Makes the data segments null that a less privileged level may not use. SDM 2: "RET", "IRET".
    pub(crate) fn drop_inner_segments(&mut self) {
        for register in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let s = self.seg[register];
            let conforming =
                s.rights & (rights::CODE | rights::CONFORMING) == rights::CODE | rights::CONFORMING;
            if s.usable() && s.dpl() < self.cpl && !conforming || !s.usable() && !null(s.selector) {
                self.seg[register] = Segment::null(0, 0);
            }
        }
    }
}
