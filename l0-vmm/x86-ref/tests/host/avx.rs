//! VEX-encoded vector instructions against the host: load YMM0 to YMM15, the instruction, store them, as one piece of code on
//! both sides.

use crate::{
    Rig,
    cases::Random,
    guest::Guest,
    native::{CODE, DATA, Registers},
    setting,
};
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, Register};
use std::arch::is_x86_feature_detected;

/// Executions of each form with each seed.
const ROUNDS: u64 = 2;
/// Bytes of data that take part.
const SIZE: usize = 0x1000;
const OPERAND: usize = 0x100;
const MXCSR: usize = 0x300;
const BEFORE: usize = 0x400;
const BEHIND: usize = 0x800;

/// VMOVUPS between a YMM register and memory.
fn move_ymm(n: u8, store: bool, at: usize) -> Vec<u8> {
    let r = if n < 8 { 0xe1 } else { 0x61 };
    let mut code = vec![0xc4, r, 0x7c, 0x10 | u8::from(store), (n & 7) << 3 | 4, 0x25];
    code.extend((DATA as u32 + at as u32 + 32 * u32::from(n)).to_le_bytes());
    code
}

/// LDMXCSR, STMXCSR.
fn move_mxcsr(digit: u8, at: usize) -> Vec<u8> {
    let mut code = vec![0x0f, 0xae, digit << 3 | 4, 0x25];
    code.extend((DATA as u32 + at as u32).to_le_bytes());
    code
}

fn wanted(insn: &Instruction) -> bool {
    use CpuidFeature as F;
    let features = [
        (F::AVX, true),
        (F::AVX2, is_x86_feature_detected!("avx2")),
        (F::FMA, is_x86_feature_detected!("fma")),
        (F::F16C, is_x86_feature_detected!("f16c")),
        (F::AES, is_x86_feature_detected!("aes")),
        (F::PCLMULQDQ, is_x86_feature_detected!("pclmulqdq")),
    ];
    let unwanted = matches!(
        insn.mnemonic(),
        Mnemonic::Vrcpps | Mnemonic::Vrcpss | Mnemonic::Vrsqrtps | Mnemonic::Vrsqrtss | Mnemonic::Vldmxcsr
    );
    !insn.is_invalid()
        && insn.encoding() == EncodingKind::VEX
        && (0..insn.op_count()).all(|n| insn.op_register(n).full_register() != Register::RSP)
        && insn.cpuid_features().iter().all(|f| features.contains(&(*f, true)))
        && !unwanted
}

fn compare(rig: &mut Rig, insn: &Instruction, code: &[u8], before: &Registers, data: &[u8]) {
    let mut all: Vec<u8> = (0..16).flat_map(|n| move_ymm(n, false, BEFORE)).collect();
    all.extend(move_mxcsr(2, MXCSR));
    all.extend(code);
    all.extend((0..16).flat_map(|n| move_ymm(n, true, BEHIND)));
    all.extend(move_mxcsr(3, MXCSR + 4));
    rig.guest.single = false;
    rig.guest.set_data(data);
    rig.guest.place(CODE, &all, true);
    let (mut here, mut there) = (*before, *before);
    if let Err(stop) = rig.guest.execute(CODE, all.len(), &mut here, false) {
        rig.guest = Guest::new();
        rig.fail(insn, code, stop);
        return;
    }
    // VZEROUPPER, for the host's own code.
    all.extend([0xc5, 0xf8, 0x77]);
    rig.native.data()[..data.len()].copy_from_slice(data);
    if rig.trace {
        println!("{:?} {code:02x?}", insn.code());
    }
    rig.native.execute(CODE, &all, &mut there);
    *rig.tried.entry(insn.mnemonic()).or_default() += 1;
    let defined = crate::ARITHMETIC & !crate::rflags(insn.rflags_undefined());
    let mut differences = rig.differences(&here, &there, defined, false, None);
    let ours = rig.guest.data();
    let theirs = rig.native.data();
    if let Some(n) = (0..SIZE).find(|&n| ours[n] != theirs[n]) {
        let ymm = |data: &[u8], at: usize| {
            let bytes: Vec<String> = data[at..at + 32].iter().rev().map(|b| format!("{b:02x}")).collect();
            bytes.concat()
        };
        let at = n & !31;
        let mut text = format!("memory at +{n:#x}: {:#x}, host {:#x}", ours[n], theirs[n]);
        text += &format!("\n  ref  {}\n  host {}", ymm(&ours, at), ymm(theirs, at));
        for k in 0..insn.op_count() {
            let r = insn.op_register(k);
            if r.is_xmm() || r.is_ymm() {
                text += &format!("\n  {r:?} {}", ymm(data, BEFORE + 32 * r.number()));
            }
        }
        text += &format!("\n  memory {} mxcsr {:02x?}", ymm(data, OPERAND), &data[MXCSR..MXCSR + 4]);
        differences.push(text);
    }
    if !differences.is_empty() {
        rig.fail(insn, code, differences.join("; "));
    }
}

/// Small indices for a gather, as wide as it wants them.
fn indices(random: &mut Random, wide: bool) -> [u8; 32] {
    let mut value = [0; 32];
    let step = if wide { 8 } else { 4 };
    for at in (0..32).step_by(step) {
        value[at] = random.below(32) as u8;
    }
    value
}

/// Walks the three opcode maps of VEX.
pub fn instructions(rig: &mut Rig) {
    if !is_x86_feature_detected!("avx") {
        println!("skipped: this host has no AVX");
        return;
    }
    let (seed, rounds) = (setting("SEED", 1), setting("AVX_ROUNDS", ROUNDS));
    let mut random = Random::new(seed + 3000);
    let mut data = vec![0u8; SIZE];
    let address = (DATA as u32 + OPERAND as u32).to_le_bytes();
    for form in 0..3 * 256 * 16 * 2u32 {
        let (map, opcode) = (form / 8192 + 1, (form >> 5) as u8);
        let (pp, l, w, memory) = (form & 3, form >> 2 & 1, form >> 3 & 1, form >> 4 & 1 != 0);
        for _ in 0..rounds {
            let vvvv = if random.below(4) == 0 { 15 } else { random.below(16) as u32 };
            let p1 =
                if memory { 0x60 | random.next() as u8 & 0x80 } else { random.next() as u8 & 0xa0 | 0x40 };
            let mut code = vec![0xc4, p1 | map as u8, (w << 7 | vvvv << 3 | l << 2 | pp) as u8, opcode];
            let modrm = random.next() as u8;
            let vsib = map == 2 && (0x90..=0x93).contains(&opcode);
            if memory {
                let sib = if vsib { modrm & 0xc0 | (random.below(8) as u8) << 3 | 5 } else { 0x25 };
                code.extend([modrm & 0x38 | 4, sib]);
                code.extend(address);
            } else {
                code.push(modrm | 0xc0);
            }
            code.push(random.next() as u8);
            let mut insn = Decoder::with_ip(64, &code, CODE, DecoderOptions::NONE).decode();
            if insn.is_invalid() {
                // Most without a second source want all ones there.
                code[2] |= 0x78;
                insn = Decoder::with_ip(64, &code, CODE, DecoderOptions::NONE).decode();
            }
            if !wanted(&insn) {
                continue;
            }
            for chunk in data[BEFORE..BEFORE + 512].chunks_exact_mut(16) {
                chunk.copy_from_slice(&random.vector().to_le_bytes());
            }
            if vsib {
                let index = insn.memory_index().number();
                let registers = [insn.op0_register().number(), insn.op2_register().number(), index];
                let [a, b, c] = registers;
                if a == b || b == c || a == c {
                    continue;
                }
                let at = BEFORE + 32 * index;
                data[at..at + 32].copy_from_slice(&indices(&mut random, opcode & 1 != 0));
            }
            for at in (OPERAND..OPERAND + 0x140).step_by(16) {
                data[at..at + 16].copy_from_slice(&random.vector().to_le_bytes());
            }
            data[MXCSR..MXCSR + 4].copy_from_slice(&random.mxcsr().to_le_bytes());
            let mut before =
                Registers { flags: 2 | 0x8d5 & random.next(), mxcsr: 0x1f80, ..Registers::default() };
            before.gpr.fill_with(|| random.integer());
            before.gpr[4] = 0;
            // VMASKMOVDQU's operand.
            before.gpr[7] = DATA + OPERAND as u64;
            // BMI and others with a general-purpose memory operand are elsewhere.
            compare(rig, &insn, &code[..insn.len()], &before, &data);
        }
    }
}
