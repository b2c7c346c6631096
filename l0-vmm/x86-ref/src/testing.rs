//! A small machine for tests of what the system does: tables, page tables, stacks, and a handler for each vector.
//!
//! Every handler is one HLT at [`handler`], so that a run ends where an event was delivered.

use crate::{
    Bus, Cpu, CpuidLeaf, DescTable, Flow, Profile, Segment, Stop,
    cpu::{gpr, seg},
};
use iced_x86::{IcedError, code_asm::CodeAssembler};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use x86_spec::{
    cr::{cr0, cr4, efer, rflags},
    vmx::caps::{Caps, Features},
};

pub(crate) const GDT: u64 = 0x1000;
pub(crate) const IDT: u64 = 0x2000;
pub(crate) const TSS: u64 = 0x3000;
pub(crate) const LDT: u64 = 0x4000;
/// PML4; the tables below it follow.
pub(crate) const PAGES: u64 = 0x1_0000;
pub(crate) const CODE: u64 = 0x2_0000;
pub(crate) const HANDLERS: u64 = 0x5000;
pub(crate) const USER_CODE: u64 = 0x3_0000;
pub(crate) const DATA: u64 = 0x4_0000;
pub(crate) const STACK: u64 = 0x8000;
pub(crate) const INNER_STACK: u64 = 0x9000;
pub(crate) const USER_STACK: u64 = 0xa000;
pub(crate) const IST1: u64 = 0xb000;
/// The linear address that no page maps, in paged modes.
pub(crate) const HOLE: u64 = 0x40_0000;

pub(crate) const CODE32: u16 = 0x08;
pub(crate) const DATA32: u16 = 0x10;
pub(crate) const USER_CODE32: u16 = 0x1b;
pub(crate) const USER_DATA: u16 = 0x23;
pub(crate) const CODE64: u16 = 0x28;
pub(crate) const USER_CODE64: u16 = 0x33;
pub(crate) const ABSENT: u16 = 0x38;
pub(crate) const LDT_SELECTOR: u16 = 0x40;
pub(crate) const TSS_SELECTOR: u16 = 0x50;
pub(crate) const GATE: u16 = 0x60;
pub(crate) const CODE16: u16 = 0x70;
pub(crate) const READ_ONLY: u16 = 0x78;
pub(crate) const CONFORMING: u16 = 0x80;

/// Vector of a gate that user code may use.
pub(crate) const USER_VECTOR: u8 = 0x80;
/// Vector whose gate uses IST1 (64-bit).
pub(crate) const IST_VECTOR: u8 = 0x81;
/// Vector whose gate is not present.
pub(crate) const ABSENT_VECTOR: u8 = 0x82;
/// Vector of a trap gate.
pub(crate) const TRAP_VECTOR: u8 = 0x83;

/// Where the handler of a vector is.
pub(crate) fn handler(vector: u8) -> u64 {
    HANDLERS + 4 * u64::from(vector)
}

/// The mode that the machine starts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Real,
    /// Flat, without paging.
    Protected,
    Long,
}

/// Ports: what was written, and what is read.
#[derive(Default)]
pub(crate) struct Ports {
    pub written: Vec<(u16, u8, u32)>,
    /// Writes to this port stop the run.
    pub stop: Option<u16>,
}

impl Bus for Ports {
    fn io_in(&mut self, port: u16, size: u8) -> u32 {
        u32::from(port) << 8 | u32::from(size)
    }
    fn io_out(&mut self, port: u16, size: u8, value: u32) -> Flow {
        self.written.push((port, size, value));
        if self.stop == Some(port) { Flow::Stop } else { Flow::Continue }
    }
    fn mmio_read(&mut self, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: u64, _: u8, _: u64) -> Flow {
        Flow::Continue
    }
}

/// The machine.
pub(crate) struct Machine {
    pub cpu: Cpu,
    pub ports: Rc<RefCell<Ports>>,
    bitness: u32,
}

/// A segment descriptor: base, limit in bytes or pages as the flags say, access byte, flags (G, D, L, AVL).
pub(crate) fn descriptor(base: u64, limit: u64, access: u64, flags: u64) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | access << 40
        | (limit >> 16 & 0xf) << 48
        | flags << 52
        | (base >> 24 & 0xff) << 56
}

/// A gate, its first 8 bytes.
pub(crate) fn gate_entry(selector: u16, offset: u64, access: u64, ist: u64) -> u64 {
    offset & 0xffff | u64::from(selector) << 16 | ist << 32 | access << 40 | (offset >> 16 & 0xffff) << 48
}

fn profile() -> Profile {
    let leaf = |leaf, subleaf, regs| CpuidLeaf { leaf, subleaf: Some(subleaf), regs };
    Profile {
        name: "test".to_owned(),
        caps: Caps { basic: 1, maxphyaddr: 39, features: Features::all() & !Features::LA57, ..Caps::NONE },
        cpuid: vec![
            leaf(0, 0, [0xd, 0, 0, 0]),
            leaf(1, 0, [0x806e9, 0, !(1 << 27), !0]),
            leaf(7, 0, [0, !0, !(1 << 4), 0]),
            leaf(0xd, 0, [7, 0, 0x340, 0]),
            leaf(0xd, 1, [0xf, 0, 0x100, 0]),
            leaf(0xd, 2, [0x100, 0x240, 0, 0]),
            leaf(0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
            leaf(0x8000_0001, 0, [0, 0, !0, !0]),
        ],
        msrs: vec![(0x17, 0x1234)],
    }
}

impl Machine {
    pub fn new(start: Start) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
        let ports = Rc::new(RefCell::new(Ports::default()));
        let cpu = Cpu::new(Arc::new(profile()), memory, ports.clone()).unwrap();
        let bitness = match start {
            Start::Real => 16,
            Start::Protected => 32,
            Start::Long => 64,
        };
        let mut m = Self { cpu, ports, bitness };
        for vector in 0..=255 {
            m.write(handler(vector), &[0xf4]);
        }
        m.tables(start);
        m.registers(start);
        m
    }

    fn tables(&mut self, start: Start) {
        let long = start == Start::Long;
        let tss_type = 0x8b;
        for (selector, value) in [
            (CODE32, descriptor(0, 0xf_ffff, 0x9b, 0xc)),
            (DATA32, descriptor(0, 0xf_ffff, 0x93, 0xc)),
            (USER_CODE32, descriptor(0, 0xf_ffff, 0xfb, 0xc)),
            (USER_DATA, descriptor(0, 0xf_ffff, 0xf3, 0xc)),
            (CODE64, descriptor(0, 0xf_ffff, 0x9b, 0xa)),
            (USER_CODE64, descriptor(0, 0xf_ffff, 0xfb, 0xa)),
            (ABSENT, descriptor(0, 0xf_ffff, 0x13, 0xc)),
            (LDT_SELECTOR, descriptor(LDT, 0x17, 0x82, 0)),
            (TSS_SELECTOR, descriptor(TSS, 0x88, tss_type, 0)),
            (CODE16, descriptor(0, 0xffff, 0x9b, 0)),
            (READ_ONLY, descriptor(0, 0xf_ffff, 0x91, 0xc)),
            (CONFORMING, descriptor(0, 0xf_ffff, 0x9f, if long { 0xa } else { 0xc })),
        ] {
            self.write64(GDT + u64::from(selector & !7), value);
        }
        let code = if long { CODE64 } else { CODE32 };
        // A call gate for user code to vector 0x90's handler.
        self.write64(GDT + u64::from(GATE), gate_entry(code, handler(0x90), 0xec, 0));
        for vector in 0..=255u8 {
            let access = match vector {
                USER_VECTOR => 0xee,
                ABSENT_VECTOR => 0x6e,
                TRAP_VECTOR => 0xef,
                _ => 0x8e,
            };
            let ist = u64::from(long && vector == IST_VECTOR);
            let entry = gate_entry(code, handler(vector), access, ist);
            match start {
                Start::Real => self.write(u64::from(vector) * 4, &(handler(vector) as u32).to_le_bytes()),
                Start::Protected => self.write64(IDT + 8 * u64::from(vector), entry),
                Start::Long => self.write64(IDT + 16 * u64::from(vector), entry),
            }
        }
        if long {
            self.write64(TSS + 4, INNER_STACK);
            self.write64(TSS + 0x24, IST1);
            // 2 MBytes, for the user too.
            self.write64(PAGES, PAGES + 0x1007);
            self.write64(PAGES + 0x1000, PAGES + 0x2007);
            self.write64(PAGES + 0x2000, 0x87);
        } else {
            self.write64(TSS + 4, INNER_STACK | u64::from(DATA32) << 32);
        }
        // The I/O bitmap: ports 0 to 15, of which 3 and 8 are denied.
        self.write(TSS + 0x66, &0x80u16.to_le_bytes());
        self.write(TSS + 0x80, &[0x08, 0x01, 0xff]);
    }

    fn registers(&mut self, start: Start) {
        let cpu = &mut self.cpu;
        cpu.rip = CODE;
        cpu.r[gpr::RSP] = STACK;
        cpu.sysflags = rflags::FIXED;
        if start == Start::Real {
            cpu.rip = 0x7000;
            cpu.seg[seg::CS] = Segment { selector: 0, base: 0, ..cpu.seg[seg::CS] };
            cpu.mode_changed();
            return;
        }
        cpu.gdtr = DescTable { base: GDT, limit: 0x8f };
        cpu.idtr = DescTable { base: IDT, limit: if start == Start::Long { 0xfff } else { 0x7ff } };
        cpu.tr = Segment { selector: TSS_SELECTOR, base: TSS, limit: 0x88, rights: 0x8b };
        cpu.cr0 = cr0::PE | cr0::NE | cr0::ET | cr0::MP;
        let data = Segment { selector: DATA32, base: 0, limit: u32::MAX, rights: 0xc093 };
        cpu.seg = [data; 6];
        cpu.seg[seg::CS] = Segment { selector: CODE32, rights: 0xc09b, ..data };
        if start == Start::Long {
            cpu.cr0 |= cr0::PG | cr0::WP;
            cpu.cr3 = PAGES;
            cpu.cr4 = cr4::PAE;
            cpu.msr.efer = efer::LME | efer::LMA | efer::SCE | efer::NXE;
            cpu.seg[seg::CS] = Segment { selector: CODE64, rights: 0xa09b, ..data };
        }
        cpu.mode_changed();
        cpu.flush_tlb();
    }

    /// Puts a byte string into memory.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        assert!(self.cpu.mem.phys_write(at, bytes));
    }

    pub fn write64(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    pub fn read64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.cpu.mem.phys_read(at).unwrap())
    }

    pub fn read32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.cpu.mem.phys_read(at).unwrap())
    }

    pub fn read16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.cpu.mem.phys_read(at).unwrap())
    }

    /// Assembles at an address.
    pub fn assemble_at(
        &mut self,
        at: u64,
        bitness: u32,
        code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) {
        let mut a = CodeAssembler::new(bitness).unwrap();
        code(&mut a).unwrap();
        let bytes = a.assemble(at).unwrap();
        self.write(at, &bytes);
    }

    /// Assembles at RIP and runs.
    pub fn go(&mut self, code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Stop {
        let (at, bitness) = (self.cpu.rip, self.bitness);
        self.assemble_at(at, bitness, code);
        self.cpu.run(1000)
    }

    /// Assembles user code and runs it from the start, at CPL 3.
    pub fn go_user(&mut self, code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Stop {
        self.enter_user();
        self.go(code)
    }

    /// Puts the CPU at user code.
    pub fn enter_user(&mut self) {
        let cpu = &mut self.cpu;
        let data = Segment { selector: USER_DATA, base: 0, limit: u32::MAX, rights: 0xc0f3 };
        let cs = if self.bitness == 64 {
            Segment { selector: USER_CODE64, rights: 0xa0fb, ..data }
        } else {
            Segment { selector: USER_CODE32, rights: 0xc0fb, ..data }
        };
        cpu.seg = [data; 6];
        cpu.seg[seg::CS] = cs;
        cpu.cpl = 3;
        cpu.rip = USER_CODE;
        cpu.r[gpr::RSP] = USER_STACK;
        cpu.mode_changed();
    }

    /// Runs these bytes at RIP.
    pub fn run_bytes(&mut self, bytes: &[u8]) -> Stop {
        let at = self.cpu.rip;
        self.write(at, bytes);
        self.cpu.run(1000)
    }

    /// The vector in whose handler the run halted.
    #[track_caller]
    pub fn vector(&self, stop: &Stop) -> u8 {
        assert_eq!(*stop, Stop::Halted, "at {:#x}", self.cpu.rip);
        let at = self.cpu.rip.wrapping_sub(1);
        let vector = at.wrapping_sub(handler(0)) / 4;
        assert!(vector < 256 && at == handler(vector as u8), "halted at {at:#x}, not in a handler");
        vector as u8
    }

    /// Slot `n` of the stack, of 8 bytes in 64-bit mode and 4 or 2 elsewhere.
    pub fn slot(&self, n: u64) -> u64 {
        let at = self.cpu.r[gpr::RSP];
        match self.bitness {
            64 => self.read64(at + 8 * n),
            32 => u64::from(self.read32(at + 4 * n)),
            _ => u64::from(self.read16(at + 2 * n)),
        }
    }

    /// The run ended in the handler of that vector with that error code on the stack, and RIP of the fault behind it.
    #[track_caller]
    pub fn faulted(&self, stop: Stop, vector: u8, error: u64) {
        assert_eq!(self.vector(&stop), vector);
        assert_eq!(self.slot(0), error, "error code");
    }
}
