//! x87 and MMX against the host: FXRSTOR, the instruction, FXSAVE, as one piece of code on both sides.

use crate::{
    Rig,
    cases::Random,
    guest::Guest,
    native::{CODE, DATA, Registers},
    setting,
};
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Executions of each opcode with each seed.
const ROUNDS: u64 = 12;
/// Bytes of data that take part: an operand, the state before, the state behind.
const SIZE: usize = 0x1000;
const OPERAND: usize = 0x100;
const BEFORE: usize = 0x400;
const BEHIND: usize = 0x800;

/// A number in the 80-bit format, of the kind that breaks things.
fn number(random: &mut Random) -> u128 {
    const EXPONENTS: [u16; 12] =
        [0, 1, 2, 0x3fff, 0x3ffe, 0x4000, 0x403e, 0x403d, 0x7ffe, 0x7fff, 0x3f81, 0x407f];
    const SIGNIFICANDS: [u64; 12] = [
        0,
        1,
        1 << 62,
        1 << 63,
        1 << 63 | 1,
        3 << 62,
        3 << 62 | 1,
        u64::MAX,
        u64::MAX >> 1,
        0xffff_ff80_0000_0000,
        0xffff_ffff_ffff_fc00,
        0x8000_0000_0000_0400,
    ];
    let exponent = match random.below(4) {
        0 => random.pick(&EXPONENTS),
        1 => 0x3fff + random.below(80) as u16 - 10,
        2 => 0x3ff0 + random.below(32) as u16,
        _ => random.next() as u16 & 0x7fff,
    };
    let significand = match random.below(4) {
        0 => random.pick(&SIGNIFICANDS),
        1 => random.next() << random.below(64) | 1 << 63,
        _ => random.next() | 1 << 63,
    };
    let sign = random.next() as u16 & 0x8000;
    u128::from(sign | exponent) << 64 | u128::from(significand)
}

/// An FXSAVE image: no exception waits.
fn state(random: &mut Random, mmx: bool) -> [u8; 512] {
    let mut image = [0; 512];
    let mut masks = if random.below(3) == 0 { random.next() as u16 & 0x3f } else { 0x3f };
    if mmx {
        masks = 0x3f;
    }
    let precision = random.pick(&[0u16, 2, 3, 3, 3]);
    let control = 0x40 | masks | precision << 8 | (random.next() as u16 & 3) << 10;
    let flags = if masks == 0x3f { random.next() as u16 & 0x7f } else { 0 };
    let status = flags | random.next() as u16 & 0x7f00;
    image[..2].copy_from_slice(&control.to_le_bytes());
    image[2..4].copy_from_slice(&status.to_le_bytes());
    image[4] = if random.below(4) == 0 { random.next() as u8 } else { 0xff };
    // Room to push into.
    if random.below(2) == 0 {
        image[4] &= !(1 << ((status >> 11).wrapping_sub(1) & 7));
    }
    for n in 0..8 {
        let value = if mmx { u128::from(random.integer()) } else { number(random) };
        image[32 + 16 * n..42 + 16 * n].copy_from_slice(&value.to_le_bytes()[..10]);
    }
    image[24..28].copy_from_slice(&random.mxcsr().to_le_bytes());
    for n in 0..16 {
        image[160 + 16 * n..176 + 16 * n].copy_from_slice(&random.vector().to_le_bytes());
    }
    image
}

/// FXRSTOR64 or FXSAVE64 at an absolute address.
fn move_state(digit: u8, at: usize) -> Vec<u8> {
    let mut code = vec![0x48, 0x0f, 0xae, digit << 3 | 4, 0x25];
    code.extend((DATA as u32 + at as u32).to_le_bytes());
    code
}

fn wanted(insn: &Instruction) -> bool {
    use Mnemonic::*;
    let mmx =
        (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_mm());
    let x87 = insn.cpuid_features().iter().any(|f| {
        use CpuidFeature::{CMOV, FPU, FPU287, FPU387, SSE3};
        matches!(f, FPU | FPU287 | FPU387 | CMOV | SSE3)
    }) && insn.len() > 1
        && format!("{:?}", insn.mnemonic()).starts_with('F');
    let unwanted = matches!(
        insn.mnemonic(),
        // Approximate; addresses that differ by vendor; what would change the state behind FXSAVE's back.
        F2xm1
            | Fyl2x
            | Fyl2xp1
            | Fptan
            | Fpatan
            | Fsincos
            | Fsin
            | Fcos
            | Fnstenv
            | Fldenv
            | Fnsave
            | Frstor
            | Fnop
            | Fneni
            | Fndisi
            | Fnsetpm
            | Fxsave
            | Fxrstor
            | Frstpm
            | Fstdw
            | Fstsg
            | Ffreep
            | Fstpnce
            | Femms
    );
    let foreign = |f: &CpuidFeature| matches!(f, CpuidFeature::D3NOW | CpuidFeature::D3NOWEXT);
    if insn.cpuid_features().iter().any(foreign) {
        return false;
    }
    let stack = (0..insn.op_count()).any(|n| insn.op_register(n).full_register() == Register::RSP);
    !insn.is_invalid() && !stack && (mmx || x87) && !unwanted
}

fn compare(rig: &mut Rig, insn: &Instruction, code: &[u8], before: &Registers, data: &[u8]) {
    let mut all = move_state(1, BEFORE);
    all.extend(code);
    all.extend(move_state(0, BEHIND));
    rig.guest.single = false;
    rig.guest.set_data(data);
    rig.guest.place(CODE, &all, true);
    let (mut here, mut there) = (*before, *before);
    if let Err(stop) = rig.guest.execute(CODE, all.len(), &mut here, false) {
        rig.guest = Guest::new();
        rig.fail(insn, code, stop);
        return;
    }
    // The host's own state is put in order behind.
    all.extend([0xdb, 0xe3]);
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
    // Left out: last opcode and addresses, MXCSR_MASK, what FXSAVE does not write.
    // C1 behind FCOMI and FFREE: 0 and undefined for Intel, unchanged and 0 for AMD.
    use Mnemonic::{Fcomi, Fcomip, Ffree, Fucomi, Fucomip};
    let c1 = matches!(insn.mnemonic(), Fcomi | Fcomip | Ffree | Fucomi | Fucomip);
    let order = format!("{:?}", insn.mnemonic()).contains("com") || insn.mnemonic() == Mnemonic::Ftst;
    let left_out = |at: usize| {
        let same_but_c1 = at == BEHIND + 3 && (ours[at] ^ theirs[at]) & !2 == 0;
        if c1 && same_but_c1 {
            return true;
        }
        // Condition codes behind a comparison with an unmasked invalid operation: Intel leaves them alone.
        if at == BEHIND + 3 && order && theirs[BEHIND + 2] & !theirs[BEHIND] & 1 != 0 {
            return (ours[at] ^ theirs[at]) & !0x45 == 0;
        }
        let at = at.wrapping_sub(BEHIND);
        (5..24).contains(&at) || (28..32).contains(&at) || (416..512).contains(&at)
    };
    if let Some(n) = (0..SIZE).find(|&n| !left_out(n) && ours[n] != theirs[n]) {
        let image = |data: &[u8]| {
            let word = |at: usize| u16::from_le_bytes([data[BEHIND + at], data[BEHIND + at + 1]]);
            let st: Vec<String> = (0..3)
                .map(|n| {
                    let at = BEHIND + 32 + 16 * n;
                    format!("{:02x?}", data[at..at + 10].iter().rev().collect::<Vec<_>>()).replace(", ", "")
                })
                .collect();
            format!("fcw {:x} fsw {:x} tags {:x} st {}", word(0), word(2), data[BEHIND + 4], st.join(" "))
        };
        let mut shifted = data.to_vec();
        shifted.copy_within(BEFORE..BEFORE + 512, BEHIND);
        differences.push(format!(
            "memory at +{n:#x}: {:#x}, host {:#x}; operand {:02x?}\n  before {}\n  ref    {}\n  host   {}",
            ours[n],
            theirs[n],
            &data[OPERAND..OPERAND + 16],
            image(&shifted),
            image(&ours),
            image(theirs),
        ));
    }
    if !differences.is_empty() {
        rig.fail(insn, code, differences.join("; "));
    }
}

/// Walks x87's opcodes and the MMX ones.
pub fn instructions(rig: &mut Rig) {
    let (seed, rounds) = (setting("SEED", 1), setting("X87_ROUNDS", ROUNDS));
    let mut random = Random::new(seed + 2000);
    let mut data = vec![0u8; SIZE];
    let address = (DATA as u32 + OPERAND as u32).to_le_bytes();
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for opcode in 0xd8..=0xdfu8 {
        for modrm in 0xc0..=0xffu8 {
            forms.push(vec![opcode, modrm]);
        }
        for digit in 0..8u8 {
            let mut code = vec![opcode, digit << 3 | 4, 0x25];
            code.extend(address);
            // Memory forms once for each register form, to be as frequent.
            (0..8).for_each(|_| forms.push(code.clone()));
        }
    }
    for map in [&[0x0f][..], &[0x0f, 0x38], &[0x0f, 0x3a]] {
        for opcode in 0..=255u8 {
            for prefix in [&[][..], &[0x66], &[0xf3], &[0xf2]] {
                for memory in [false, true] {
                    let reg = random.next() as u8 & 0x3f;
                    let mut code = prefix.to_vec();
                    code.extend(map);
                    code.push(opcode);
                    if memory {
                        code.extend([reg & 0x38 | 4, 0x25]);
                        code.extend(address);
                    } else {
                        code.push(0xc0 | reg);
                    }
                    code.push(random.next() as u8);
                    forms.push(code);
                }
            }
        }
    }
    for code in forms {
        let insn = Decoder::with_ip(64, &code, CODE, DecoderOptions::NONE).decode();
        if !wanted(&insn) {
            continue;
        }
        let mmx = code[0] < 0xd8;
        for _ in 0..rounds {
            data[BEFORE..BEFORE + 512].copy_from_slice(&state(&mut random, mmx));
            let operand = match random.below(3) {
                0 => number(&mut random),
                1 => random.vector(),
                _ => u128::from(random.integer()),
            };
            data[OPERAND..OPERAND + 16].copy_from_slice(&operand.to_le_bytes());
            let mut before =
                Registers { flags: 2 | 0x8d5 & random.next(), mxcsr: 0x1f80, ..Registers::default() };
            before.gpr.fill_with(|| random.integer());
            before.gpr[4] = 0;
            // MASKMOVQ's operand.
            before.gpr[7] = DATA + OPERAND as u64;
            compare(rig, &insn, &code[..insn.len()], &before, &data);
        }
    }
}
