//! Hot ops do what the plain handlers do, in every form: random instructions run as a block and one by one.

mod machine;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use machine::{Machine, Width};
use x86_ref::Stop;

/// Instructions of a program, and programs of a width.
const LENGTH: usize = 24;
const PROGRAMS: usize = 250;

/// A small generator of numbers; the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn one(&mut self, of: &[u8]) -> u8 {
        of[self.below(of.len() as u64) as usize]
    }
}

/// First bytes of instructions that have a hot form; groups leave the choice to the ModRM byte.
const ONE_BYTE: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a,
    0x1b, 0x1d, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
    0x3a, 0x3b, 0x3c, 0x50, 0x53, 0x56, 0x58, 0x5b, 0x5e, 0x63, 0x68, 0x69, 0x6a, 0x6b, 0x80, 0x81, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8d, 0x90, 0x93, 0x98, 0x99, 0xa8, 0xa9, 0xb0, 0xb4,
    0xb8, 0xbb, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfe, 0xff,
    0x40, 0x4b,
];
const TWO_BYTES: &[u8] = &[
    0x40, 0x42, 0x44, 0x46, 0x48, 0x4a, 0x4c, 0x4f, 0x90, 0x92, 0x94, 0x97, 0x98, 0x9a, 0x9c, 0x9f, 0xaf,
    0xb6, 0xb7, 0xbe, 0xbf, 0x41, 0x4e, 0x9d,
];

/// A random instruction that goes on behind itself, touches memory only around the data pointer, and leaves that and the
/// stack pointer alone.
fn instruction(random: &mut Random, width: Width) -> Vec<u8> {
    loop {
        let mut bytes = Vec::new();
        if random.below(5) == 0 {
            bytes.push(0x66);
        }
        if random.below(8) == 0 {
            bytes.push(random.one(&[0x64, 0x65, 0x36, 0x26]));
        }
        if width == Width::Long && random.below(2) == 0 {
            bytes.push(0x40 | random.below(16) as u8);
        }
        if random.below(3) == 0 {
            bytes.extend([0x0f, random.one(TWO_BYTES)]);
        } else {
            let opcode = random.one(ONE_BYTE);
            // The short forms of INC and DEC are prefixes in 64-bit code.
            if width == Width::Long && matches!(opcode, 0x40 | 0x4b) {
                continue;
            }
            bytes.push(opcode);
        }
        // Registers, or the data pointer and 8 bits.
        let rm = if width == Width::Real { 5 } else { 7 };
        let modrm = match random.below(2) {
            0 => 0xc0 | random.below(64) as u8,
            _ => 0x40 | (random.below(8) as u8) << 3 | rm,
        };
        bytes.push(modrm);
        bytes.extend(random.next().to_le_bytes());
        bytes.extend(random.next().to_le_bytes());
        let bits = match width {
            Width::Long => 64,
            Width::Flat32 => 32,
            Width::Real => 16,
        };
        let insn = Decoder::new(bits, &bytes, DecoderOptions::NONE).decode();
        if allowed(&insn) {
            bytes.truncate(insn.len());
            return bytes;
        }
    }
}

fn allowed(insn: &Instruction) -> bool {
    let kept = |register: Register| matches!(register.full_register(), Register::RDI | Register::RSP);
    let destinations = if insn.mnemonic() == Mnemonic::Xchg { 2 } else { 1 };
    let writes_kept = (0..destinations.min(insn.op_count()))
        .any(|n| insn.op_kind(n) == OpKind::Register && kept(insn.op_register(n)));
    let memory = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
    let good_base =
        matches!(insn.memory_base().full_register(), Register::RDI) && insn.memory_index() == Register::None;
    let system =
        (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Register && !insn.op_register(n).is_gpr());
    // Those that the ModRM byte of a group leads to, and what the bytes are in another code size.
    let others = matches!(
        insn.mnemonic(),
        Mnemonic::Div
            | Mnemonic::Idiv
            | Mnemonic::Xabort
            | Mnemonic::Xbegin
            | Mnemonic::Enter
            | Mnemonic::Arpl
    );
    !insn.is_invalid()
        && insn.flow_control() == FlowControl::Next
        && !writes_kept
        && !system
        && !others
        && (!memory || good_base)
        && (insn.mnemonic() != Mnemonic::Pop || insn.op0_kind() == OpKind::Register)
}

fn check(width: Width, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..PROGRAMS {
        let program: Vec<Vec<u8>> = (0..LENGTH).map(|_| instruction(&mut random, width)).collect();
        let bytes = program.concat();
        let machine = || {
            let mut machine = Machine::new(width, &bytes);
            let mut state = machine.cpu.state();
            let mut values = Random(seed ^ bytes.len() as u64);
            for n in (0..16).filter(|n| *n != 4 && *n != 7) {
                state.gpr[n] = values.next() >> values.below(64)
                    & if width == Width::Long { u64::MAX } else { 0xffff_ffff };
            }
            if width != Width::Long {
                state.gpr[8..].fill(0);
            }
            state.gpr[7] += 0x1000 - 0x40;
            state.rflags = values.next() & 0x8d5 | 2;
            machine.cpu.set_state(&state);
            machine
        };
        let (mut block, mut alone) = (machine(), machine());
        assert_eq!(block.cpu.run(LENGTH as u64), Stop::Budget, "{program:02x?}");
        for insn in &program {
            assert_eq!(alone.cpu.run(1), Stop::Budget, "{insn:02x?}");
        }
        assert_eq!(block.cpu.state(), alone.cpu.state(), "{program:02x?}");
        assert_eq!(block.digest(), alone.digest(), "{program:02x?}");
    }
}

#[test]
fn long() {
    check(Width::Long, 0x1234_5678_9abc_def1);
}

#[test]
fn flat32() {
    check(Width::Flat32, 0x2234_5678_9abc_def1);
}

#[test]
fn real() {
    check(Width::Real, 0x3234_5678_9abc_def1);
}
