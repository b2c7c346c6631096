//! Instructions on the reference CPU, in 64-bit mode over identity-mapped memory.

use crate::native::{CODE, CODE_SIZE, DATA, DATA_SIZE, Registers};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use x86_ref::{Bus, Cpu, CpuidLeaf, Flow, Profile, Segment, State, Stop};
use x86_spec::cr::{cr0, cr4, efer};

/// Page tables.
const TABLES: u64 = 0x1000;
/// Where the code lies that loads and stores SSE registers, and their image.
const HELPERS: u64 = 0x8000;
const IMAGE: u64 = 0x9000;
const RAM: usize = 0x40_0000;
/// OUT 80h, AL: the bus stops the CPU there.
const END: [u8; 2] = [0xe6, 0x80];

struct NoBus;

impl Bus for NoBus {
    fn io_in(&mut self, _: u16, _: u8) -> u32 {
        u32::MAX
    }
    fn io_out(&mut self, _: u16, _: u8, _: u32) -> Flow {
        Flow::Stop
    }
    fn mmio_read(&mut self, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: u64, _: u8, _: u64) -> Flow {
        Flow::Continue
    }
}

/// The reference CPU and its memory.
pub struct Guest {
    cpu: Cpu,
    memory: GuestMemoryMmap,
    state: State,
    load: u64,
    store: u64,
    /// One instruction at a time, instead of decoded blocks.
    pub single: bool,
}

/// Every feature that the CPU models.
fn profile() -> Profile {
    let leaf = |leaf, regs| CpuidLeaf { leaf, subleaf: Some(0), regs };
    Profile {
        name: "everything".into(),
        cpuid: vec![
            leaf(1, [0, 0, !0, !0]),
            leaf(7, [0, !0, !0, !0]),
            leaf(0xd, [7, 0, 0x340, 0]),
            leaf(0x8000_0001, [0, 0, !0, !0]),
        ],
        ..Profile::default()
    }
}

impl Guest {
    /// A CPU at CPL 0 in 64-bit mode.
    pub fn new() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
        let entry = |at: u64, value: u64| memory.write_obj(value, GuestAddress(at)).unwrap();
        entry(TABLES, TABLES + 0x1003);
        entry(TABLES + 0x1000, TABLES + 0x2003);
        for n in 0..RAM as u64 >> 21 {
            // 2-MByte pages, accessed and dirty.
            entry(TABLES + 0x2000 + 8 * n, n << 21 | 0xe3);
        }
        // MOVUPS xmmN, [IMAGE + 16 N] and LDMXCSR; MOVUPS [IMAGE + 16 N], xmmN and STMXCSR.
        let (mut load, mut store) = (Vec::new(), Vec::new());
        for n in 0..16u8 {
            let at = (IMAGE as u32 + 16 * u32::from(n)).to_le_bytes();
            for (opcode, code) in [(0x10, &mut load), (0x11, &mut store)] {
                code.extend([0x40 | n >> 3 << 2, 0x0f, opcode, 0x04 | (n & 7) << 3, 0x25]);
                code.extend(at);
            }
        }
        for (digit, code) in [(2u8, &mut load), (3, &mut store)] {
            code.extend([0x0f, 0xae, digit << 3 | 4, 0x25]);
            code.extend((IMAGE as u32 + 256).to_le_bytes());
            code.extend(END);
        }
        let (load_at, store_at) = (HELPERS, HELPERS + 0x400);
        memory.write_slice(&load, GuestAddress(load_at)).unwrap();
        memory.write_slice(&store, GuestAddress(store_at)).unwrap();

        let data = Segment { selector: 16, base: 0, limit: u32::MAX, rights: 0xc093 };
        let mut seg = [data; 6];
        seg[1] = Segment { selector: 8, base: 0, limit: u32::MAX, rights: 0xa09b };
        let state = State {
            seg,
            tr: Segment { selector: 24, base: 0, limit: 0x67, rights: 0x8b },
            cr0: cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::PG,
            cr3: TABLES,
            cr4: cr4::PAE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::OSXSAVE,
            efer: efer::LME | efer::LMA,
            dr: [0, 0, 0, 0, 0xffff_0ff0, 0x400],
            rflags: 2,
            ..State::default()
        };
        let bus = Rc::new(RefCell::new(NoBus));
        let cpu = Cpu::new(Arc::new(profile()), memory.clone(), bus).unwrap();
        let mut guest = Self { cpu, memory, state, load: load_at, store: store_at, single: false };
        // XOR ECX, ECX; MOV EAX, 7; XOR EDX, EDX; XSETBV.
        let enable = [&b"\x31\xc9\xb8\x07\0\0\0\x31\xd2\x0f\x01\xd1"[..], &END].concat();
        let enable_at = HELPERS + 0x800;
        guest.memory.write_slice(&enable, GuestAddress(enable_at)).unwrap();
        guest.go(enable_at).unwrap();
        guest
    }

    fn go(&mut self, rip: u64) -> Result<(), String> {
        self.state.rip = rip;
        self.cpu.set_state(&self.state);
        loop {
            let stop = if self.single { self.cpu.step_root(1) } else { self.cpu.run(1 << 20) };
            match stop {
                Stop::Bus => return Ok(()),
                Stop::Budget | Stop::Root if self.single => {}
                other => return Err(format!("{other:?}")),
            }
        }
    }

    /// Puts code into memory; `clear` must be true when code was there before.
    pub fn place(&mut self, at: u64, code: &[u8], clear: bool) {
        assert!(at >= CODE && at + (code.len() + END.len()) as u64 <= CODE + CODE_SIZE);
        self.memory.write_slice(code, GuestAddress(at)).unwrap();
        self.memory.write_slice(&END, GuestAddress(at + code.len() as u64)).unwrap();
        if clear {
            self.cpu.memory_changed();
        }
    }

    /// Executes the code at `at`. `Err`: it did not get to its end, and why.
    pub fn execute(
        &mut self,
        at: u64,
        len: usize,
        registers: &mut Registers,
        sse: bool,
    ) -> Result<(), String> {
        if sse {
            let image: Vec<u8> = registers.xmm.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.memory.write_slice(&image, GuestAddress(IMAGE)).unwrap();
            self.memory.write_obj(registers.mxcsr, GuestAddress(IMAGE + 256)).unwrap();
            self.state.rflags = 2;
            self.go(self.load).map_err(|e| format!("loading SSE registers: {e}"))?;
        }
        self.state.gpr = registers.gpr;
        self.state.rflags = registers.flags | 2;
        self.go(at)?;
        let after = self.cpu.state();
        assert_eq!(after.rip, at + (len + END.len()) as u64, "RIP behind the end");
        registers.gpr = after.gpr;
        registers.flags = after.rflags;
        if sse {
            self.state.rflags = 2;
            self.go(self.store).map_err(|e| format!("storing SSE registers: {e}"))?;
            for (n, x) in registers.xmm.iter_mut().enumerate() {
                *x = self.memory.read_obj(GuestAddress(IMAGE + 16 * n as u64)).unwrap();
            }
            registers.mxcsr = self.memory.read_obj(GuestAddress(IMAGE + 256)).unwrap();
        }
        Ok(())
    }

    /// Sets part of the data region.
    pub fn set_data(&mut self, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= DATA_SIZE);
        self.memory.write_slice(bytes, GuestAddress(DATA)).unwrap();
    }

    /// The data region.
    pub fn data(&self) -> Vec<u8> {
        let mut bytes = vec![0; DATA_SIZE as usize];
        self.memory.read_slice(&mut bytes, GuestAddress(DATA)).unwrap();
        bytes
    }
}
