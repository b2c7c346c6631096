//! A small machine for tests and benchmarks: some RAM, page tables, and programs as bytes.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test and benchmark uses its part; a program that cannot be set up is a failure"
)]

use std::{cell::RefCell, rc::Rc, sync::Arc};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use x86_ref::{Bus, Cpu, Flow, Profile, Segment, State};

/// Linear address of the code.
pub const CODE: u64 = 0x40_0000;
/// Linear address of the data.
pub const DATA: u64 = 0x1000_0000;
/// Linear address of the end of the stack.
pub const STACK: u64 = 0x7fff_0000;
/// Physical addresses of the same.
pub const CODE_AT: u64 = 0x10_0000;
pub const DATA_AT: u64 = 0x20_0000;
pub const STACK_AT: u64 = 0x30_0000;
/// Bytes of RAM.
pub const RAM: usize = 4 << 20;
const PAGE: u64 = 0x1000;

/// `1: add rbx, rax; xor rbx, 0x55; rol rbx, 3; dec rcx; jnz 1b`
pub const ALU: &str = "4801c34883f35548c1c30348ffc975f0";
/// A loop that adds to a table, with nine instructions: `add [rdi+rsi*8], rax; lea; lea; and; xor rax, [..]; inc; and; dec; jnz`
pub const MEM: &str = "480104f7488d1476488d145681e2ff0f0000483304d748ffc681e6ff0f000048ffc975dc";
/// Recursive Fibonacci numbers.
pub const FIB: &str =
    "bf12000000e80700000048ffc975f1ebef83ff02721a5357ffcfe8f2ffffff4889c35f83ef02e8e6ffffff4801d85bc389f8c3";
/// CRC-32 by table, byte by byte.
pub const CRC: &str = "488db7002000004c8d86001000000fb61630c20fb6d2c1e80833049748ffc64c39c675eaebda";
/// A loop that patches the immediate of its own next instruction, and faults in the end.
pub const SMC: &str = "80050400000001904883c31148ffc975ef488b9700001000";
/// A fault in the middle of a block.
pub const FAULT: &str = "48ffc34839c348899f0000100048ffc0c3";
/// Some of everything.
pub const MIX: &str = "4989e489c86bd025480fafd3440fb6c20fbef64c63d288d400e04c11c34519d1410f92c34d0f44e9440f49f349f7de49f7d048d3e341c1e90549d3fa66c1c30341d3cd48d1d041f6c510740f4c87eb41566834120000415f8f474048891ccf660144cf0380af800000000381a784000000ffffff7f66440baf82000000483197fd0f00003997fd0f0000488d356fffffff0fb70568ffffff48984899480fbae003eb0190fe4705ff4f0966f75f20e81000000048ffc90f8547ffffff488b97000010004883f905730b4c8d050400000041ffd0c3554889e54883ec2048895df88a5dfbb500f98355f800c9c3";

/// Bytes from hexadecimal digits.
pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// No devices.
struct Nothing;

impl Bus for Nothing {
    fn io_in(&mut self, _: u16, _: u8) -> u32 {
        u32::MAX
    }
    fn io_out(&mut self, _: u16, _: u8, _: u32) -> Flow {
        Flow::Continue
    }
    fn mmio_read(&mut self, _: u64, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: u64, _: u8, _: u64) -> Flow {
        Flow::Continue
    }
}

pub struct Machine {
    pub cpu: Cpu,
    pub memory: GuestMemoryMmap,
}

/// Access rights of flat segments.
const DATA_RIGHTS: u32 = 0xc093;
const CODE64_RIGHTS: u32 = 0xa09b;
const CODE32_RIGHTS: u32 = 0xc09b;

fn flat(selector: u16, rights: u32) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, rights }
}

/// The widths that code can have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 64-bit mode with 4-level paging.
    Long,
    /// 32-bit code, flat, without paging.
    Flat32,
    /// Real mode.
    Real,
}

impl Machine {
    pub fn new(width: Width, program: &[u8]) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
        let profile = Arc::new(Profile::default());
        let cpu = Cpu::new(profile, memory.clone(), Rc::new(RefCell::new(Nothing))).unwrap();
        let mut machine = Self { cpu, memory };
        machine.fill();
        let mut state = State { rflags: 2, ..State::default() };
        state.gpr[0] = 0x1_2345_6789;
        state.gpr[1] = u64::MAX >> 1;
        state.gpr[3] = 7;
        match width {
            Width::Long => {
                machine.page_tables();
                state.gpr[4] = STACK;
                state.gpr[7] = DATA;
                state.rip = CODE;
                state.cr0 = 0x8001_0033;
                state.cr3 = 0x1000;
                state.cr4 = 0x20;
                state.efer = 0xd01;
                state.seg = [flat(16, DATA_RIGHTS); 6];
                state.seg[1] = flat(8, CODE64_RIGHTS);
                machine.write(CODE_AT, program);
            }
            Width::Flat32 => {
                state.gpr[0] = 0x2345_6789;
                state.gpr[1] = 0x7fff;
                state.gpr[4] = STACK_AT;
                state.gpr[7] = DATA_AT;
                state.rip = CODE_AT;
                state.cr0 = 0x33;
                state.seg = [flat(16, DATA_RIGHTS); 6];
                state.seg[1] = flat(8, CODE32_RIGHTS);
                machine.write(CODE_AT, program);
            }
            Width::Real => {
                state.gpr[0] = 0x2345_6789;
                state.gpr[1] = 0x7fff;
                state.gpr[4] = 0xfff0;
                state.gpr[6] = 0x4000;
                state.gpr[7] = 0x5000;
                state.rip = 0x100;
                state.cr0 = 0x30;
                state.seg = [Segment { selector: 0x2000, base: 0x20000, limit: 0xffff, rights: 0x93 }; 6];
                state.seg[1] = Segment { selector: 0x1000, base: 0x10000, limit: 0xffff, rights: 0x9b };
                machine.write(0x10100, program);
            }
        }
        machine.cpu.set_state(&state);
        machine
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    pub fn read_u64(&self, at: u64) -> u64 {
        self.memory.read_obj(GuestAddress(at)).unwrap()
    }

    fn write_u64(&self, at: u64, value: u64) {
        self.memory.write_obj(value, GuestAddress(at)).unwrap();
    }

    /// A table for CRC-32, and noise behind it.
    fn fill(&self) {
        for i in 0..256u32 {
            let entry = (0..8).fold(i, |x, _| if x & 1 != 0 { 0xedb8_8320 ^ x >> 1 } else { x >> 1 });
            self.write(DATA_AT + u64::from(i) * 4, &entry.to_le_bytes());
        }
        let mut state = 12345u64;
        let noise: Vec<u8> = (8192..PAGE * 32)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        self.write(DATA_AT + 8192, &noise);
    }

    fn page_tables(&self) {
        let mut next = 0x2000;
        let mut map = |linear: u64, physical: u64| {
            let mut table = 0x1000;
            for level in (1..4).rev() {
                let at = table + (linear >> (12 + 9 * level) & 511) * 8;
                if self.read_u64(at) & 1 == 0 {
                    self.write_u64(at, next | 7);
                    next += PAGE;
                }
                table = self.read_u64(at) & !0xfff;
            }
            self.write_u64(table + (linear >> 12 & 511) * 8, physical | 7);
        };
        for page in 0..4 {
            map(CODE + page * PAGE, CODE_AT + page * PAGE);
        }
        for page in 0..32 {
            map(DATA + page * PAGE, DATA_AT + page * PAGE);
        }
        for page in 0..16 {
            map(STACK - page * PAGE, STACK_AT - page * PAGE);
        }
    }

    /// A number that stands for the RAM that programs here can reach, and the page tables.
    pub fn digest(&self) -> u64 {
        let parts =
            [(0, 0x4_0000), (CODE_AT, 0x4000), (DATA_AT - PAGE, 0x2_2000), (STACK_AT - 0xf000, 0x1_0000)];
        let mut hash = 0xcbf2_9ce4_8422_2325;
        for (at, size) in parts {
            let mut bytes = vec![0; size];
            self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
            for chunk in bytes.chunks_exact(8) {
                let word = u64::from_le_bytes(chunk.try_into().unwrap());
                hash = (hash ^ word).wrapping_mul(0x100_0000_01b3);
            }
        }
        hash
    }
}
