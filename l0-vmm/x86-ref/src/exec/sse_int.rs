//! Packed integers: SSE2, and SSSE3, SSE4.1, SSE4.2 on XMM registers.

use super::{
    Handler,
    feature::Feature,
    mmx,
    sse::{Align, lane, lanes, signed, vector},
    sse_move::unpack,
    vex::{is_vex, plain},
};
use crate::{Cpu, exec::operand::mask, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic, OpKind};
use x86_spec::cr::rflags;

/// A handler that combines destination and source, with the feature it needs where that is not SSE2.
macro_rules! op {
    ($f:expr) => {
        |cpu, insn| binary(cpu, insn, $f)
    };
    ($feature:ident, $f:expr) => {
        |cpu, insn| {
            cpu.need(Feature::$feature)?;
            binary(cpu, insn, $f)
        }
    };
}

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    arithmetic(insn).or_else(|| arrange(insn)).or_else(|| shifts(insn)).or_else(|| newer(insn))
}

/// What is computed lane by lane in SSE2.
fn arithmetic(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Paddb => op!(|a, b| lanes::<8>(a, b, u64::wrapping_add)),
        Mnemonic::Paddw => op!(|a, b| lanes::<16>(a, b, u64::wrapping_add)),
        Mnemonic::Paddd => op!(|a, b| lanes::<32>(a, b, u64::wrapping_add)),
        Mnemonic::Paddq => op!(|a, b| lanes::<64>(a, b, u64::wrapping_add)),
        Mnemonic::Psubb => op!(|a, b| lanes::<8>(a, b, u64::wrapping_sub)),
        Mnemonic::Psubw => op!(|a, b| lanes::<16>(a, b, u64::wrapping_sub)),
        Mnemonic::Psubd => op!(|a, b| lanes::<32>(a, b, u64::wrapping_sub)),
        Mnemonic::Psubq => op!(|a, b| lanes::<64>(a, b, u64::wrapping_sub)),
        Mnemonic::Paddsb => op!(|a, b| lanes_signed::<8>(a, b, |a, b| saturate::<8>(a + b))),
        Mnemonic::Paddsw => op!(|a, b| lanes_signed::<16>(a, b, |a, b| saturate::<16>(a + b))),
        Mnemonic::Psubsb => op!(|a, b| lanes_signed::<8>(a, b, |a, b| saturate::<8>(a - b))),
        Mnemonic::Psubsw => op!(|a, b| lanes_signed::<16>(a, b, |a, b| saturate::<16>(a - b))),
        Mnemonic::Paddusb => op!(|a, b| lanes::<8>(a, b, |a, b| (a + b).min(0xff))),
        Mnemonic::Paddusw => op!(|a, b| lanes::<16>(a, b, |a, b| (a + b).min(0xffff))),
        Mnemonic::Psubusb => op!(|a, b| lanes::<8>(a, b, u64::saturating_sub)),
        Mnemonic::Psubusw => op!(|a, b| lanes::<16>(a, b, u64::saturating_sub)),
        Mnemonic::Pmullw => op!(|a, b| lanes::<16>(a, b, u64::wrapping_mul)),
        Mnemonic::Pmulhw => op!(|a, b| lanes_signed::<16>(a, b, |a, b| (a * b) >> 16)),
        Mnemonic::Pmulhuw => op!(|a, b| lanes::<16>(a, b, |a, b| (a * b) >> 16)),
        Mnemonic::Pmuludq => op!(|a, b| lanes::<64>(a, b, |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff))),
        Mnemonic::Pmaddwd => op!(|a, b| pairs::<16, 32>(a, b, |a, b| signed::<16>(a) * signed::<16>(b))),
        Mnemonic::Pavgb => op!(|a, b| lanes::<8>(a, b, |a, b| (a + b + 1) >> 1)),
        Mnemonic::Pavgw => op!(|a, b| lanes::<16>(a, b, |a, b| (a + b + 1) >> 1)),
        Mnemonic::Pminub => op!(|a, b| lanes::<8>(a, b, u64::min)),
        Mnemonic::Pmaxub => op!(|a, b| lanes::<8>(a, b, u64::max)),
        Mnemonic::Pminsw => op!(|a, b| lanes_signed::<16>(a, b, i64::min)),
        Mnemonic::Pmaxsw => op!(|a, b| lanes_signed::<16>(a, b, i64::max)),
        Mnemonic::Pcmpeqb => op!(|a, b| lanes::<8>(a, b, |a, b| all(a == b))),
        Mnemonic::Pcmpeqw => op!(|a, b| lanes::<16>(a, b, |a, b| all(a == b))),
        Mnemonic::Pcmpeqd => op!(|a, b| lanes::<32>(a, b, |a, b| all(a == b))),
        Mnemonic::Pcmpgtb => op!(|a, b| lanes_signed::<8>(a, b, |a, b| all(a > b) as i64)),
        Mnemonic::Pcmpgtw => op!(|a, b| lanes_signed::<16>(a, b, |a, b| all(a > b) as i64)),
        Mnemonic::Pcmpgtd => op!(|a, b| lanes_signed::<32>(a, b, |a, b| all(a > b) as i64)),
        Mnemonic::Psadbw => op!(sum_of_differences),
        _ => return None,
    })
}

/// Packing, unpacking, shuffling, and to and from general-purpose registers.
fn arrange(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Punpcklbw => op!(|a, b| unpack::<8>(a, b, 0)),
        Mnemonic::Punpcklwd => op!(|a, b| unpack::<16>(a, b, 0)),
        Mnemonic::Punpckldq => op!(|a, b| unpack::<32>(a, b, 0)),
        Mnemonic::Punpcklqdq => op!(|a, b| unpack::<64>(a, b, 0)),
        Mnemonic::Punpckhbw => op!(|a, b| unpack::<8>(a, b, 8)),
        Mnemonic::Punpckhwd => op!(|a, b| unpack::<16>(a, b, 4)),
        Mnemonic::Punpckhdq => op!(|a, b| unpack::<32>(a, b, 2)),
        Mnemonic::Punpckhqdq => op!(|a, b| unpack::<64>(a, b, 1)),
        Mnemonic::Packsswb => op!(|a, b| pack::<16, 8>(a, b, saturate::<8>)),
        Mnemonic::Packssdw => op!(|a, b| pack::<32, 16>(a, b, saturate::<16>)),
        Mnemonic::Packuswb => op!(|a, b| pack::<16, 8>(a, b, |v| v.clamp(0, 0xff))),
        Mnemonic::Packusdw => op!(Sse41, |a, b| pack::<32, 16>(a, b, |v| v.clamp(0, 0xffff))),
        Mnemonic::Pshufd => {
            |cpu, insn| shuffle(cpu, insn, |b, imm| vector::<32>(|n| lane::<32>(b, imm >> (2 * n) & 3)))
        }
        Mnemonic::Pshuflw => |cpu, insn| {
            shuffle(cpu, insn, |b, imm| {
                vector::<16>(|n| lane::<16>(b, if n < 4 { imm >> (2 * n) & 3 } else { n }))
            })
        },
        Mnemonic::Pshufhw => |cpu, insn| {
            shuffle(cpu, insn, |b, imm| {
                vector::<16>(|n| lane::<16>(b, if n < 4 { n } else { 4 + (imm >> (2 * (n - 4)) & 3) }))
            })
        },
        Mnemonic::Pmovmskb => pmovmskb,
        Mnemonic::Pextrb => extract::<8>,
        Mnemonic::Pextrw => extract::<16>,
        Mnemonic::Pextrd => extract::<32>,
        Mnemonic::Pextrq => extract::<64>,
        Mnemonic::Pinsrb => insert::<8>,
        Mnemonic::Pinsrw => insert::<16>,
        Mnemonic::Pinsrd => insert::<32>,
        Mnemonic::Pinsrq => insert::<64>,
        _ => return None,
    })
}

fn shifts(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Psllw => |cpu, insn| shift::<16>(cpu, insn, |v, n| if n < 16 { v << n } else { 0 }),
        Mnemonic::Pslld => |cpu, insn| shift::<32>(cpu, insn, |v, n| if n < 32 { v << n } else { 0 }),
        Mnemonic::Psllq => |cpu, insn| shift::<64>(cpu, insn, |v, n| if n < 64 { v << n } else { 0 }),
        Mnemonic::Psrlw => |cpu, insn| shift::<16>(cpu, insn, |v, n| if n < 16 { v >> n } else { 0 }),
        Mnemonic::Psrld => |cpu, insn| shift::<32>(cpu, insn, |v, n| if n < 32 { v >> n } else { 0 }),
        Mnemonic::Psrlq => |cpu, insn| shift::<64>(cpu, insn, |v, n| if n < 64 { v >> n } else { 0 }),
        Mnemonic::Psraw => |cpu, insn| shift::<16>(cpu, insn, |v, n| (signed::<16>(v) >> n.min(15)) as u64),
        Mnemonic::Psrad => |cpu, insn| shift::<32>(cpu, insn, |v, n| (signed::<32>(v) >> n.min(31)) as u64),
        Mnemonic::Pslldq => |cpu, insn| shift_bytes(cpu, insn, |v, bits| v.checked_shl(bits).unwrap_or(0)),
        Mnemonic::Psrldq => |cpu, insn| shift_bytes(cpu, insn, |v, bits| v.checked_shr(bits).unwrap_or(0)),
        _ => return None,
    })
}

/// SSSE3, SSE4.1, SSE4.2.
fn newer(insn: &Instruction) -> Option<Handler> {
    Some(match plain(insn) {
        Mnemonic::Pshufb => op!(Ssse3, |a, b| vector::<8>(|n| {
            let by = lane::<8>(b, n);
            if by & 0x80 != 0 { 0 } else { lane::<8>(a, by as u32 & 15) }
        })),
        Mnemonic::Palignr => palignr,
        Mnemonic::Pabsb => op!(Ssse3, |_, b| lanes_signed::<8>(b, b, |v, _| v.abs())),
        Mnemonic::Pabsw => op!(Ssse3, |_, b| lanes_signed::<16>(b, b, |v, _| v.abs())),
        Mnemonic::Pabsd => op!(Ssse3, |_, b| lanes_signed::<32>(b, b, |v, _| v.abs())),
        Mnemonic::Psignb => op!(Ssse3, |a, b| lanes_signed::<8>(a, b, |a, b| a * b.signum())),
        Mnemonic::Psignw => op!(Ssse3, |a, b| lanes_signed::<16>(a, b, |a, b| a * b.signum())),
        Mnemonic::Psignd => op!(Ssse3, |a, b| lanes_signed::<32>(a, b, |a, b| a * b.signum())),
        Mnemonic::Phaddw => op!(Ssse3, |a, b| horizontal::<16>(a, b, |x, y| x + y)),
        Mnemonic::Phaddd => op!(Ssse3, |a, b| horizontal::<32>(a, b, |x, y| x + y)),
        Mnemonic::Phaddsw => op!(Ssse3, |a, b| horizontal::<16>(a, b, |x, y| saturate::<16>(x + y))),
        Mnemonic::Phsubw => op!(Ssse3, |a, b| horizontal::<16>(a, b, |x, y| x - y)),
        Mnemonic::Phsubd => op!(Ssse3, |a, b| horizontal::<32>(a, b, |x, y| x - y)),
        Mnemonic::Phsubsw => op!(Ssse3, |a, b| horizontal::<16>(a, b, |x, y| saturate::<16>(x - y))),
        Mnemonic::Pmulhrsw => op!(Ssse3, |a, b| lanes_signed::<16>(a, b, |a, b| (((a * b) >> 14) + 1) >> 1)),
        Mnemonic::Pmaddubsw => op!(Ssse3, |a, b| vector::<16>(|n| {
            let product = |n| lane::<8>(a, n) as i64 * signed::<8>(lane::<8>(b, n));
            saturate::<16>(product(2 * n) + product(2 * n + 1)) as u64
        })),
        Mnemonic::Pcmpeqq => op!(Sse41, |a, b| lanes::<64>(a, b, |a, b| all(a == b))),
        Mnemonic::Pcmpgtq => op!(Sse42, |a, b| lanes_signed::<64>(a, b, |a, b| all(a > b) as i64)),
        Mnemonic::Pmulld => op!(Sse41, |a, b| lanes::<32>(a, b, u64::wrapping_mul)),
        Mnemonic::Pmuldq => {
            op!(Sse41, |a, b| lanes::<64>(a, b, |a, b| (signed::<32>(a) * signed::<32>(b)) as u64))
        }
        Mnemonic::Pminsb => op!(Sse41, |a, b| lanes_signed::<8>(a, b, i64::min)),
        Mnemonic::Pmaxsb => op!(Sse41, |a, b| lanes_signed::<8>(a, b, i64::max)),
        Mnemonic::Pminuw => op!(Sse41, |a, b| lanes::<16>(a, b, u64::min)),
        Mnemonic::Pmaxuw => op!(Sse41, |a, b| lanes::<16>(a, b, u64::max)),
        Mnemonic::Pminsd => op!(Sse41, |a, b| lanes_signed::<32>(a, b, i64::min)),
        Mnemonic::Pmaxsd => op!(Sse41, |a, b| lanes_signed::<32>(a, b, i64::max)),
        Mnemonic::Pminud => op!(Sse41, |a, b| lanes::<32>(a, b, u64::min)),
        Mnemonic::Pmaxud => op!(Sse41, |a, b| lanes::<32>(a, b, u64::max)),
        Mnemonic::Pmovsxbw => {
            |cpu, insn| widen(cpu, insn, |b| vector::<16>(|n| signed::<8>(lane::<8>(b, n)) as u64))
        }
        Mnemonic::Pmovsxbd => {
            |cpu, insn| widen(cpu, insn, |b| vector::<32>(|n| signed::<8>(lane::<8>(b, n)) as u64))
        }
        Mnemonic::Pmovsxbq => {
            |cpu, insn| widen(cpu, insn, |b| vector::<64>(|n| signed::<8>(lane::<8>(b, n)) as u64))
        }
        Mnemonic::Pmovsxwd => {
            |cpu, insn| widen(cpu, insn, |b| vector::<32>(|n| signed::<16>(lane::<16>(b, n)) as u64))
        }
        Mnemonic::Pmovsxwq => {
            |cpu, insn| widen(cpu, insn, |b| vector::<64>(|n| signed::<16>(lane::<16>(b, n)) as u64))
        }
        Mnemonic::Pmovsxdq => {
            |cpu, insn| widen(cpu, insn, |b| vector::<64>(|n| signed::<32>(lane::<32>(b, n)) as u64))
        }
        Mnemonic::Pmovzxbw => |cpu, insn| widen(cpu, insn, |b| vector::<16>(|n| lane::<8>(b, n))),
        Mnemonic::Pmovzxbd => |cpu, insn| widen(cpu, insn, |b| vector::<32>(|n| lane::<8>(b, n))),
        Mnemonic::Pmovzxbq => |cpu, insn| widen(cpu, insn, |b| vector::<64>(|n| lane::<8>(b, n))),
        Mnemonic::Pmovzxwd => |cpu, insn| widen(cpu, insn, |b| vector::<32>(|n| lane::<16>(b, n))),
        Mnemonic::Pmovzxwq => |cpu, insn| widen(cpu, insn, |b| vector::<64>(|n| lane::<16>(b, n))),
        Mnemonic::Pmovzxdq => |cpu, insn| widen(cpu, insn, |b| vector::<64>(|n| lane::<32>(b, n))),
        Mnemonic::Phminposuw => op!(Sse41, |_, b| {
            let least = (0..8).map(|n| (lane::<16>(b, n), n)).min().unwrap_or((0, 0));
            u128::from(least.1) << 16 | u128::from(least.0)
        }),
        Mnemonic::Mpsadbw => mpsadbw,
        Mnemonic::Ptest => ptest,
        _ => return None,
    })
}

fn binary(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u128) -> u128) -> Exec {
    if insn.op0_register().is_mm() {
        return mmx::binary(cpu, insn, f);
    }
    cpu.vectors(insn, Align::Checked, f)
}

fn lanes_signed<const BITS: u32>(a: u128, b: u128, f: impl Fn(i64, i64) -> i64) -> u128 {
    lanes::<BITS>(a, b, |a, b| f(signed::<BITS>(a), signed::<BITS>(b)) as u64)
}

/// Sums of two neighbouring products.
fn pairs<const FROM: u32, const TO: u32>(a: u128, b: u128, product: impl Fn(u64, u64) -> i64) -> u128 {
    vector::<TO>(|n| {
        let at = |n| product(lane::<FROM>(a, n), lane::<FROM>(b, n));
        at(2 * n).wrapping_add(at(2 * n + 1)) as u64
    })
}

/// Combines neighbours: those of the destination give the low half, those of the source the high half.
fn horizontal<const BITS: u32>(a: u128, b: u128, f: impl Fn(i64, i64) -> i64) -> u128 {
    let half = 64 / BITS;
    vector::<BITS>(|n| {
        let (from, n) = if n < half { (a, n) } else { (b, n - half) };
        let at = |n| signed::<BITS>(lane::<BITS>(from, n));
        f(at(2 * n), at(2 * n + 1)) as u64
    })
}

fn pack<const FROM: u32, const TO: u32>(a: u128, b: u128, f: impl Fn(i64) -> i64) -> u128 {
    let half = 64 / TO;
    vector::<TO>(|n| {
        let (from, n) = if n < half { (a, n) } else { (b, n - half) };
        f(signed::<FROM>(lane::<FROM>(from, n))) as u64
    })
}

fn saturate<const BITS: u32>(v: i64) -> i64 {
    v.clamp(-(1 << (BITS - 1)), (1 << (BITS - 1)) - 1)
}

fn all(on: bool) -> u64 {
    if on { u64::MAX } else { 0 }
}

fn sum_of_differences(a: u128, b: u128) -> u128 {
    vector::<64>(|half| (0..8).map(|n| lane::<8>(a, 8 * half + n).abs_diff(lane::<8>(b, 8 * half + n))).sum())
}

fn shuffle(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u32) -> u128) -> Exec {
    let imm = u32::from(insn.immediate8());
    binary(cpu, insn, |_, b| f(b, imm))
}

fn palignr(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Ssse3)?;
    let bits = 8 * u32::from(insn.immediate8());
    if insn.op0_register().is_mm() {
        return mmx::align(cpu, insn, bits);
    }
    binary(cpu, insn, |a, b| match bits {
        0 => b,
        1..=127 => b >> bits | a << (128 - bits),
        _ => a.checked_shr(bits - 128).unwrap_or(0),
    })
}

fn mpsadbw(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Sse41)?;
    let imm = u32::from(insn.immediate8());
    // The upper half has three bits of its own.
    cpu.halves(insn, Align::Checked, |a, b, half| {
        let imm = imm >> (3 * half);
        let (block, first) = (4 * (imm & 3), 4 * (imm >> 2 & 1));
        vector::<16>(|n| (0..4).map(|k| lane::<8>(a, first + n + k).abs_diff(lane::<8>(b, block + k))).sum())
    })
}

/// Memory operands of PMOVSX and PMOVZX are as wide as what they widen, and need no alignment.
fn widen(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128) -> u128) -> Exec {
    cpu.need(Feature::Sse41)?;
    if !is_vex(insn) {
        return binary(cpu, insn, |_, b| f(b));
    }
    cpu.avx(insn)?;
    let b = cpu.read_wide(insn, 1)?[0];
    use Mnemonic::{Pmovsxbd, Pmovsxbq, Pmovsxwq, Pmovzxbd, Pmovzxbq, Pmovzxwq};
    let ratio = match plain(insn) {
        Pmovsxbq | Pmovzxbq => 8,
        Pmovsxbd | Pmovzxbd | Pmovsxwq | Pmovzxwq => 4,
        _ => 2,
    };
    cpu.set_wide(insn.op0_register(), [f(b), f(b >> (128 / ratio))]);
    Ok(())
}

/// A count in a register or memory is a 64-bit number.
fn shift<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u64, u64) -> u64) -> Exec {
    let immediate = u64::from(insn.immediate8());
    if is_vex(insn) {
        cpu.avx(insn)?;
        let by_immediate = insn.op2_kind() == OpKind::Immediate8;
        let count = if by_immediate { immediate } else { cpu.read_wide(insn, 2)?[0] as u64 };
        let a = cpu.wide(insn.op1_register());
        cpu.set_wide(insn.op0_register(), a.map(|a| lanes::<BITS>(a, 0, |v, _| f(v, count))));
        return Ok(());
    }
    if insn.op1_kind() != OpKind::Immediate8 {
        return binary(cpu, insn, |a, b| lanes::<BITS>(a, 0, |v, _| f(v, b as u64)));
    }
    if insn.op0_register().is_mm() {
        return mmx::binary(cpu, insn, |a, _| lanes::<BITS>(a, 0, |v, _| f(v, immediate)));
    }
    cpu.sse()?;
    let a = cpu.xmm(insn.op0_register());
    cpu.set_xmm(insn.op0_register(), lanes::<BITS>(a, 0, |v, _| f(v, immediate)));
    Ok(())
}

fn shift_bytes(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128, u32) -> u128) -> Exec {
    cpu.enabled(insn)?;
    let bits = 8 * u32::from(insn.immediate8());
    if is_vex(insn) {
        let a = cpu.wide(insn.op1_register());
        cpu.set_wide(insn.op0_register(), a.map(|a| f(a, bits)));
        return Ok(());
    }
    let a = cpu.xmm(insn.op0_register());
    cpu.set_xmm(insn.op0_register(), f(a, bits));
    Ok(())
}

fn pmovmskb(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if insn.op1_register().is_mm() {
        return mmx::pmovmskb(cpu, insn);
    }
    cpu.enabled(insn)?;
    let value = cpu.wide(insn.op1_register());
    let mask = |v: u128| (0..16).fold(0, |mask, n| mask | (lane::<8>(v, n) >> 7) << n);
    cpu.set_reg(insn.op0_register(), mask(value[0]) | mask(value[1]) << 16);
    Ok(())
}

/// PEXTRB, PEXTRW, PEXTRD, PEXTRQ. PEXTRW to a register is SSE2, the others are SSE4.1.
fn extract<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if insn.op1_register().is_mm() {
        return mmx::pextrw(cpu, insn);
    }
    if BITS != 16 || insn.op0_kind() != OpKind::Register {
        cpu.need(Feature::Sse41)?;
    }
    cpu.enabled(insn)?;
    let n = u32::from(insn.immediate8()) & (128 / BITS - 1);
    let value = lane::<BITS>(cpu.xmm(insn.op1_register()), n);
    cpu.write_operand(insn, 0, value)
}

fn insert<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if insn.op0_register().is_mm() {
        return mmx::pinsrw(cpu, insn);
    }
    if BITS != 16 {
        cpu.need(Feature::Sse41)?;
    }
    cpu.enabled(insn)?;
    let (from, old) = if is_vex(insn) { (2, insn.op1_register()) } else { (1, insn.op0_register()) };
    let value = cpu.read_operand(insn, from)? & mask(BITS as usize / 8);
    let at = u32::from(insn.immediate8()) & (128 / BITS - 1);
    let old = cpu.xmm(old);
    cpu.set_vector(insn, vector::<BITS>(|n| if n == at { value } else { lane::<BITS>(old, n) }));
    Ok(())
}

fn ptest(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.need(Feature::Sse41)?;
    let (a, b) = if is_vex(insn) {
        cpu.avx(insn)?;
        let b = cpu.read_wide(insn, 1)?;
        (cpu.wide(insn.op0_register()), b)
    } else {
        cpu.sse()?;
        let b = cpu.read_sse(insn, 1, Align::Checked)?;
        ([cpu.xmm(insn.op0_register()), 0], [b, 0])
    };
    let zf = if a[0] & b[0] | a[1] & b[1] == 0 { rflags::ZF } else { 0 };
    let cf = if !a[0] & b[0] | !a[1] & b[1] == 0 { rflags::CF } else { 0 };
    cpu.flags = Flags::from_bits(zf | cf);
    Ok(())
}
