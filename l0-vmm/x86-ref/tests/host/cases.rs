//! Which instructions are tried, and with what in the registers.

use crate::native::{DATA, DATA_SIZE, Registers};
use iced_x86::{CpuidFeature, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};
use std::arch::is_x86_feature_detected;

/// A small generator (xorshift64*): the same cases in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// An integer of the kind that breaks things.
    pub fn integer(&mut self) -> u64 {
        const EDGES: [u64; 16] = [
            0,
            1,
            2,
            0x7f,
            0x80,
            0xff,
            0x7fff,
            0x8000,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0x7fff_ffff_ffff_ffff,
            0x8000_0000_0000_0000,
            u64::MAX,
        ];
        match self.below(4) {
            0 => self.pick(&EDGES),
            1 => self.pick(&EDGES).wrapping_add(self.below(5)).wrapping_sub(2),
            2 => self.next() >> self.below(64),
            _ => self.next(),
        }
    }

    fn single(&mut self) -> u32 {
        const EDGES: [u32; 16] = [
            0,
            1,
            0x007f_ffff,
            0x0080_0000,
            0x0080_0001,
            0x3f80_0000,
            0x3f00_0000,
            0x4b00_0001,
            0x4eff_ffff,
            0x4f00_0000,
            0x5f00_0000,
            0x7f7f_ffff,
            0x7f80_0000,
            0x7f80_0001,
            0x7fc0_0000,
            0x7fc1_2345,
        ];
        let value = match self.below(4) {
            0 => self.pick(&EDGES),
            1 => self.pick(&EDGES).wrapping_add(self.below(5) as u32).wrapping_sub(2),
            // Near 1, so that sums and products meet.
            2 => 0x3f80_0000u32.wrapping_add((self.next() as i32 >> (3 + self.below(6))) as u32),
            _ => self.next() as u32,
        };
        value ^ (self.next() as u32 & 0x8000_0000)
    }

    fn double(&mut self) -> u64 {
        const EDGES: [u64; 20] = [
            0,
            1,
            0x000f_ffff_ffff_ffff,
            0x0010_0000_0000_0000,
            0x0010_0000_0000_0001,
            0x3ff0_0000_0000_0000,
            0x3fe0_0000_0000_0000,
            0x4330_0000_0000_0001,
            0x41df_ffff_ffc0_0000,
            0x41e0_0000_0000_0000,
            0x43e0_0000_0000_0000,
            0x36a0_0000_0000_0000,
            0x3810_0000_0000_0000,
            0x47ef_ffff_e000_0000,
            0x47ef_ffff_f000_0000,
            0x7fef_ffff_ffff_ffff,
            0x7ff0_0000_0000_0000,
            0x7ff0_0000_0000_0001,
            0x7ff8_0000_0000_0000,
            0x7ff8_1234_5678_9abc,
        ];
        let value = match self.below(4) {
            0 => self.pick(&EDGES),
            1 => self.pick(&EDGES).wrapping_add(self.below(5)).wrapping_sub(2),
            2 => 0x3ff0_0000_0000_0000u64.wrapping_add((self.next() as i64 >> (3 + self.below(8))) as u64),
            _ => self.next(),
        };
        value ^ (self.next() & 1 << 63)
    }

    /// A vector of integers, singles or doubles.
    pub fn vector(&mut self) -> u128 {
        match self.below(3) {
            0 => u128::from(self.integer()) << 64 | u128::from(self.integer()),
            1 => (0..4).fold(0, |v, _| v << 32 | u128::from(self.single())),
            _ => (0..2).fold(0, |v, _| v << 64 | u128::from(self.double())),
        }
    }

    /// An MXCSR with every exception masked.
    pub fn mxcsr(&mut self) -> u32 {
        let mode = self.next() as u32 & 0xe040;
        // Often the everyday value: round to nearest, no flushing.
        let mode = if self.below(2) == 0 { 0 } else { mode };
        0x1f80 | mode | self.next() as u32 & 0x3f
    }
}

/// Features of the families tried, and whether this host has them.
pub fn features() -> Vec<(CpuidFeature, bool)> {
    use CpuidFeature as F;
    let baseline = [
        F::INTEL8086,
        F::INTEL8086_ONLY,
        F::INTEL186,
        F::INTEL286,
        F::INTEL386,
        F::INTEL486,
        F::X64,
        F::CMOV,
        F::CX8,
        F::SSE,
        F::SSE2,
        F::MULTIBYTENOP,
    ];
    let mut all: Vec<_> = baseline.into_iter().map(|f| (f, true)).collect();
    all.extend([
        (F::SSE3, is_x86_feature_detected!("sse3")),
        (F::SSSE3, is_x86_feature_detected!("ssse3")),
        (F::SSE4_1, is_x86_feature_detected!("sse4.1")),
        (F::SSE4_2, is_x86_feature_detected!("sse4.2")),
        (F::POPCNT, is_x86_feature_detected!("popcnt")),
        (F::LZCNT, is_x86_feature_detected!("lzcnt")),
        (F::BMI1, is_x86_feature_detected!("bmi1")),
        (F::BMI2, is_x86_feature_detected!("bmi2")),
        (F::ADX, is_x86_feature_detected!("adx")),
        (F::MOVBE, is_x86_feature_detected!("movbe")),
        (F::AES, is_x86_feature_detected!("aes")),
        (F::PCLMULQDQ, is_x86_feature_detected!("pclmulqdq")),
        (F::SHA, is_x86_feature_detected!("sha")),
        (F::CMPXCHG16B, is_x86_feature_detected!("cmpxchg16b")),
    ]);
    all
}

/// Whether an instruction can be tried: it stays in user mode and in line, and does not use RSP, segment registers or x87.
pub fn can_try(
    insn: &Instruction,
    info: &mut InstructionInfoFactory,
    features: &[(CpuidFeature, bool)],
) -> bool {
    let available = |f: &CpuidFeature| features.contains(&(*f, true));
    if insn.is_invalid()
        || insn.flow_control() != FlowControl::Next
        || insn.is_privileged()
        || insn.is_stack_instruction()
        || !insn.cpuid_features().iter().all(available)
        || insn.has_segment_prefix()
    {
        return false;
    }
    if matches!(
        insn.mnemonic(),
        // What they give is system state.
        Mnemonic::Sgdt | Mnemonic::Sidt | Mnemonic::Sldt | Mnemonic::Smsw | Mnemonic::Str
            | Mnemonic::Lar | Mnemonic::Lsl | Mnemonic::Verr | Mnemonic::Verw | Mnemonic::Arpl
            | Mnemonic::In | Mnemonic::Out | Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd
            | Mnemonic::Outsb | Mnemonic::Outsw | Mnemonic::Outsd | Mnemonic::Lfs | Mnemonic::Lgs
            | Mnemonic::Lss | Mnemonic::Wait | Mnemonic::Cpuid
            // No-operations for one vendor, #UD for the other.
            | Mnemonic::Reservednop
            // Approximations.
            | Mnemonic::Rcpps | Mnemonic::Rcpss | Mnemonic::Rsqrtps | Mnemonic::Rsqrtss
            // MMX registers: see `x87`.
            | Mnemonic::Cvtpi2ps | Mnemonic::Cvtpi2pd
            // Would leave an MXCSR with unmasked exceptions.
            | Mnemonic::Ldmxcsr
    ) {
        return false;
    }
    // Selectors are system state too.
    if (0..insn.op_count())
        .any(|n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_segment_register())
    {
        return false;
    }
    // BSWAP of 16 bits is undefined.
    if insn.mnemonic() == Mnemonic::Bswap && insn.op0_register().size() == 2 {
        return false;
    }
    info.info(insn).used_registers().iter().all(|used| {
        let r = used.register();
        let memory_only = matches!(r, Register::DS | Register::ES | Register::SS);
        (r.is_gpr() && r.full_register() != Register::RSP) || r.is_xmm() || memory_only
    })
}

/// Whether SSE registers or MXCSR matter to an instruction.
pub fn is_sse(insn: &Instruction) -> bool {
    use CpuidFeature as F;
    let sse = [F::SSE, F::SSE2, F::SSE3, F::SSSE3, F::SSE4_1, F::SSE4_2, F::AES, F::PCLMULQDQ, F::SHA];
    insn.cpuid_features().iter().any(|f| sse.contains(f))
}

fn gpr(register: Register) -> usize {
    register.full_register().number() & 15
}

/// Registers for an instruction: random, with its memory operands in the data region. `None`: that cannot be.
pub fn registers(insn: &Instruction, random: &mut Random) -> Option<Registers> {
    let mut regs = Registers { mxcsr: random.mxcsr(), ..Registers::default() };
    regs.gpr.fill_with(|| random.integer());
    regs.gpr[4] = 0;
    regs.xmm.fill_with(|| random.vector());
    let arithmetic = 0x8d5 & random.next();
    regs.flags = 2 | arithmetic;
    let middle = DATA + DATA_SIZE / 2;
    if insn.is_string_instruction() {
        let df = random.below(3) == 0;
        regs.flags |= if df { 1 << 10 } else { 0 };
        regs.gpr[6] = middle + random.below(256);
        regs.gpr[7] = middle + random.below(256);
        regs.gpr[1] = if random.below(8) == 0 { random.below(3000) } else { random.below(40) };
        return Some(regs);
    }
    if let Some(n) = (0..insn.op_count()).find(|&n| {
        matches!(insn.op_kind(n), OpKind::MemorySegDI | OpKind::MemorySegEDI | OpKind::MemorySegRDI)
    }) {
        let _ = n;
        regs.gpr[7] = middle + random.below(256);
        return Some(regs);
    }
    let Some(n) = (0..insn.op_count()).find(|&n| insn.op_kind(n) == OpKind::Memory) else {
        return Some(regs);
    };
    if insn.mnemonic() == Mnemonic::Lea {
        return Some(regs);
    }
    let base = insn.memory_base();
    let bit_string = matches!(insn.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
    if base == Register::None && insn.memory_index() == Register::None {
        // An absolute address, which `bytes` mostly makes in the data region.
        if !(DATA..DATA + DATA_SIZE - 64).contains(&insn.memory_displacement64()) {
            return None;
        }
        let misaligned = aligned(insn) && insn.memory_displacement64() & 15 != 0;
        let string = bit_string && insn.op1_kind() == OpKind::Register;
        return (!misaligned && !string).then_some(regs);
    }
    if !base.is_gpr() || base.size() < 4 {
        return None;
    }
    if bit_string && insn.op1_kind() == OpKind::Register {
        // Within 1 KByte either way, whatever the size of the register.
        let number = random.below(1 << 14) as i64 - (1 << 13);
        regs.gpr[gpr(insn.op1_register())] = number as u64;
    }
    let target = middle + 16 * random.below(64) + if aligned(insn) { 0 } else { random.below(16) };
    let current = insn.virtual_address(n, 0, |r, _, _| match r {
        r if r.is_segment_register() => Some(0),
        Register::AL => Some(regs.gpr[0] & 0xff),
        r if r.size() == 4 => Some(regs.gpr[gpr(r)] & 0xffff_ffff),
        r => Some(regs.gpr[gpr(r)]),
    })?;
    let at = &mut regs.gpr[gpr(base)];
    *at = at.wrapping_add(target.wrapping_sub(current));
    if base.size() == 4 {
        *at &= 0xffff_ffff;
    }
    // An index, or the bit number, that is the same register has moved with the base.
    let again = insn.virtual_address(n, 0, |r, _, _| match r {
        r if r.is_segment_register() => Some(0),
        Register::AL => Some(regs.gpr[0] & 0xff),
        r if r.size() == 4 => Some(regs.gpr[gpr(r)] & 0xffff_ffff),
        r => Some(regs.gpr[gpr(r)]),
    })?;
    let same = bit_string && insn.op1_kind() == OpKind::Register && gpr(insn.op1_register()) == gpr(base);
    (again == target && !same).then_some(regs)
}

/// Whether the memory operand must be aligned to 16 bytes.
fn aligned(insn: &Instruction) -> bool {
    let unaligned = matches!(
        insn.mnemonic(),
        Mnemonic::Movups
            | Mnemonic::Movupd
            | Mnemonic::Movdqu
            | Mnemonic::Lddqu
            | Mnemonic::Pcmpestri
            | Mnemonic::Pcmpestri64
            | Mnemonic::Pcmpestrm
            | Mnemonic::Pcmpestrm64
            | Mnemonic::Pcmpistri
            | Mnemonic::Pcmpistrm
    );
    insn.memory_size().size() == 16 && !unaligned
}

/// The opcode maps, prefixes and REX bytes, with random ModRM, SIB, displacement and immediate behind.
pub fn bytes(map: usize, opcode: u8, random: &mut Random) -> Vec<u8> {
    let mut code = Vec::new();
    // Legacy prefixes: mostly none or one, as the opcode maps use them.
    match random.below(10) {
        0..4 => {}
        4..6 => code.push(0x66),
        6 => code.push(0xf3),
        7 => code.push(0xf2),
        8 => code.extend([0x66, 0xf2]),
        _ => code.push(0x67),
    }
    if map >= 4 {
        // VEX, for BMI: three bytes, map 2 or 3, no vector length.
        let select = if map == 4 { 2 } else { 3 };
        code.clear();
        let pp = random.below(4) as u8;
        let w = (random.next() as u8 & 1) << 7;
        let vvvv = (random.next() as u8 & 15) << 3;
        code.extend([0xc4, (random.next() as u8 & 0xe0) | select, w | vvvv | pp, opcode]);
    } else {
        if random.below(2) == 0 {
            code.push(0x40 | random.next() as u8 & 15);
        }
        match map {
            0 => code.push(opcode),
            1 => code.extend([0x0f, opcode]),
            2 => code.extend([0x0f, 0x38, opcode]),
            _ => code.extend([0x0f, 0x3a, opcode]),
        }
    }
    // ModRM: three of four times registers, else memory at a base, or at an absolute address in the data region.
    let modrm = random.next() as u8;
    if random.below(8) == 0 {
        let at = DATA + DATA_SIZE / 2 + 16 * random.below(64) + random.pick(&[0, 0, 4, 8, 5]);
        code.extend([modrm & 0x38 | 4, 0x25]);
        code.extend((at as u32).to_le_bytes());
        code.extend(random.next().to_le_bytes());
        return code;
    }
    code.push(if random.below(4) != 0 { modrm | 0xc0 } else { modrm & 0x7f | 0x40 });
    code.extend(
        random.next().to_le_bytes().iter().map(|b| if random.below(3) == 0 { *b & 0x1f } else { *b }),
    );
    code.extend([0; 4]);
    code
}
