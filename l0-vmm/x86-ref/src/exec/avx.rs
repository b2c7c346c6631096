//! AVX and AVX2 instructions that have no legacy form: broadcasts, permutations, masked moves, variable shifts, gathers.

use super::{
    Handler,
    operand::{address_mask, gpr_number, mask, seg_number},
    soft::{self, Env, F32},
    sse::{lane, lanes, signed, vector},
    vex::{Wide, halves, is_vex},
};
use crate::{Cpu, fault::Exec, flags::Flags, mem::Mode};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use x86_spec::cr::rflags;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    if !is_vex(insn) {
        return None;
    }
    Some(match insn.mnemonic() {
        Vzeroupper => |cpu, insn| zero(cpu, insn, false),
        Vzeroall => |cpu, insn| zero(cpu, insn, true),
        Vpbroadcastb => |cpu, insn| broadcast(cpu, insn, |v| vector::<8>(|_| v as u64)),
        Vpbroadcastw => |cpu, insn| broadcast(cpu, insn, |v| vector::<16>(|_| v as u64)),
        Vpbroadcastd | Vbroadcastss => |cpu, insn| broadcast(cpu, insn, |v| vector::<32>(|_| v as u64)),
        Vpbroadcastq | Vbroadcastsd => |cpu, insn| broadcast(cpu, insn, |v| vector::<64>(|_| v as u64)),
        Vbroadcastf128 | Vbroadcasti128 => |cpu, insn| broadcast(cpu, insn, |v| v),
        Vextractf128 | Vextracti128 => extract,
        Vinsertf128 | Vinserti128 => insert,
        Vperm2f128 | Vperm2i128 => permute_halves,
        Vpermilps => |cpu, insn| permute_within::<32>(cpu, insn),
        Vpermilpd => |cpu, insn| permute_within::<64>(cpu, insn),
        Vpermd | Vpermps => permute_dwords,
        Vpermq | Vpermpd => permute_qwords,
        Vpblendd => |cpu, insn| {
            let chosen = u32::from(insn.immediate8());
            cpu.halves(insn, super::sse::Align::Any, |a, b, half| {
                vector::<32>(|n| lane::<32>(if chosen >> (4 * half + n) & 1 != 0 { b } else { a }, n))
            })
        },
        Vpsllvd => |cpu, insn| shift::<32>(cpu, insn, |v, n| if n < 32 { v << n } else { 0 }),
        Vpsllvq => |cpu, insn| shift::<64>(cpu, insn, |v, n| if n < 64 { v << n } else { 0 }),
        Vpsrlvd => |cpu, insn| shift::<32>(cpu, insn, |v, n| if n < 32 { v >> n } else { 0 }),
        Vpsrlvq => |cpu, insn| shift::<64>(cpu, insn, |v, n| if n < 64 { v >> n } else { 0 }),
        Vpsravd => |cpu, insn| shift::<32>(cpu, insn, |v, n| (signed::<32>(v) >> n.min(31)) as u64),
        Vtestps => |cpu, insn| test::<32>(cpu, insn),
        Vtestpd => |cpu, insn| test::<64>(cpu, insn),
        Vmaskmovps | Vpmaskmovd => |cpu, insn| masked_move::<32>(cpu, insn),
        Vmaskmovpd | Vpmaskmovq => |cpu, insn| masked_move::<64>(cpu, insn),
        Vgatherdps | Vpgatherdd => |cpu, insn| gather::<32, 32>(cpu, insn),
        Vgatherqps | Vpgatherqd => |cpu, insn| gather::<64, 32>(cpu, insn),
        Vgatherdpd | Vpgatherdq => |cpu, insn| gather::<32, 64>(cpu, insn),
        Vgatherqpd | Vpgatherqq => |cpu, insn| gather::<64, 64>(cpu, insn),
        Vcvtph2ps => from_half,
        Vcvtps2ph => to_half,
        _ => return None,
    })
}

/// Lane `n` of 256 bits.
fn at<const BITS: u32>(v: Wide, n: u32) -> u64 {
    let per_half = 128 / BITS;
    lane::<BITS>(v[(n / per_half) as usize & 1], n % per_half)
}

/// 256 bits from lanes.
fn wide<const BITS: u32>(f: impl Fn(u32) -> u64) -> Wide {
    let per_half = 128 / BITS;
    [vector::<BITS>(&f), vector::<BITS>(|n| f(n + per_half))]
}

fn zero(cpu: &mut Cpu, insn: &Instruction, all: bool) -> Exec {
    cpu.avx(insn)?;
    let count = cpu.xmm_count();
    cpu.fpu.ymm.iter_mut().take(count).for_each(|y| *y = 0);
    if all {
        cpu.fpu.xmm.iter_mut().take(count).for_each(|x| *x = 0);
    }
    Ok(())
}

fn broadcast(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u128) -> u128) -> Exec {
    cpu.avx(insn)?;
    let value = f(cpu.read_wide(insn, 1)?[0]);
    cpu.set_wide(insn.op0_register(), [value, value]);
    Ok(())
}

fn extract(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let value = cpu.wide(insn.op1_register())[usize::from(insn.immediate8() & 1)];
    if insn.op0_kind() == OpKind::Register {
        cpu.set_wide(insn.op0_register(), [value, 0]);
        return Ok(());
    }
    cpu.write_wide_memory(insn, [value, 0])
}

fn insert(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let mut value = cpu.wide(insn.op1_register());
    value[usize::from(insn.immediate8() & 1)] = cpu.read_wide(insn, 2)?[0];
    cpu.set_wide(insn.op0_register(), value);
    Ok(())
}

fn permute_halves(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let b = cpu.read_wide(insn, 2)?;
    let a = cpu.wide(insn.op1_register());
    let control = insn.immediate8();
    let half = |control: u8| match control & 0xb {
        0 => a[0],
        1 => a[1],
        2 => b[0],
        3 => b[1],
        _ => 0,
    };
    cpu.set_wide(insn.op0_register(), [half(control), half(control >> 4)]);
    Ok(())
}

/// VPERMILPS, VPERMILPD: by an immediate or by lanes of the second source.
fn permute_within<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let align = super::sse::Align::Any;
    if insn.op2_kind() == OpKind::Immediate8 {
        let order = u32::from(insn.immediate8());
        return cpu.halves(insn, align, |_, b, half| {
            vector::<BITS>(|n| {
                let from = if BITS == 32 { order >> (2 * n) & 3 } else { order >> (2 * half + n) & 1 };
                lane::<BITS>(b, from)
            })
        });
    }
    cpu.vectors(insn, align, |a, b| {
        vector::<BITS>(|n| {
            let control = lane::<BITS>(b, n) as u32;
            lane::<BITS>(a, if BITS == 32 { control & 3 } else { control >> 1 & 1 })
        })
    })
}

fn permute_dwords(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let b = cpu.read_wide(insn, 2)?;
    let order = cpu.wide(insn.op1_register());
    cpu.set_wide(insn.op0_register(), wide::<32>(|n| at::<32>(b, at::<32>(order, n) as u32 & 7)));
    Ok(())
}

fn permute_qwords(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let b = cpu.read_wide(insn, 1)?;
    let order = u32::from(insn.immediate8());
    cpu.set_wide(insn.op0_register(), wide::<64>(|n| at::<64>(b, order >> (2 * n) & 3)));
    Ok(())
}

fn shift<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, f: impl Fn(u64, u64) -> u64) -> Exec {
    cpu.vectors(insn, super::sse::Align::Any, |a, b| lanes::<BITS>(a, b, &f))
}

/// VTESTPS, VTESTPD: sign bits alone.
fn test<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let b = cpu.read_wide(insn, 1)?;
    let a = cpu.wide(insn.op0_register());
    let signs = vector::<BITS>(|_| 1 << (BITS - 1));
    let count = halves(insn);
    let none = |f: fn(u128, u128) -> u128| (0..count).all(|n| f(a[n & 1], b[n & 1]) & signs == 0);
    let zf = if none(|a, b| a & b) { rflags::ZF } else { 0 };
    let cf = if none(|a, b| !a & b) { rflags::CF } else { 0 };
    cpu.flags = Flags::from_bits(zf | cf);
    Ok(())
}

/// Moves the lanes whose mask has its top bit: loads clear the others, stores leave them.
fn masked_move<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let store = insn.op0_kind() == OpKind::Memory;
    let size = BITS as usize / 8;
    let count = halves(insn) as u32 * 128 / BITS;
    let chosen = cpu.wide(insn.op1_register());
    let chosen = |n: &u32| at::<BITS>(chosen, *n) >> (BITS - 1) != 0;
    let segment = seg_number(insn.memory_segment());
    let offset = cpu.effective_address(insn);
    let mut places = [0u64; 8];
    for n in (0..count).filter(chosen) {
        let offset = offset.wrapping_add(u64::from(n) * size as u64) & address_mask(insn);
        let linear = cpu.linear(segment, offset, size, store)?;
        if store {
            cpu.probe_write(linear, size, Mode::Data)?;
        }
        places[n as usize & 7] = linear;
    }
    if store {
        let value = cpu.wide(insn.op2_register());
        for n in (0..count).filter(chosen) {
            cpu.write_linear(places[n as usize & 7], size, at::<BITS>(value, n), Mode::Data)?;
        }
        return Ok(());
    }
    let mut loaded = [0u64; 8];
    for n in (0..count).filter(chosen) {
        loaded[n as usize & 7] = cpu.read_linear(places[n as usize & 7], size, Mode::Data)?;
    }
    cpu.set_wide(insn.op0_register(), wide::<BITS>(|n| loaded[n as usize & 7]));
    Ok(())
}

/// Gathers: lane by lane, lowest first. What was gathered before a fault stays, and its mask is cleared.
fn gather<const INDEX: u32, const DATA: u32>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let (to, index, by) = (insn.op0_register(), insn.memory_index(), insn.op2_register());
    if to.number() == index.number() || to.number() == by.number() || index.number() == by.number() {
        return Err(cpu.ud());
    }
    let bits = |r: Register| if r.is_ymm() { 256 } else { 128 };
    let count = (bits(to) / DATA).min(bits(index) / INDEX);
    let base = match insn.memory_base() {
        Register::None => 0,
        r => cpu.r[gpr_number(r)] & mask(r.size()),
    };
    let (indices, segment) = (cpu.wide(index), seg_number(insn.memory_segment()));
    // A destination of 128 bits is whole, also where fewer lanes are gathered.
    let (mut result, mut chosen) = (cpu.wide(to), cpu.wide(by));
    let put = |v: Wide, at_lane: u32, value: u64| {
        wide::<DATA>(|n| if n == at_lane { value } else { at::<DATA>(v, n) })
    };
    let mut failed = None;
    for n in 0..count {
        if at::<DATA>(chosen, n) >> (DATA - 1) != 0 {
            let scaled = signed::<INDEX>(at::<INDEX>(indices, n)) as u64;
            let scaled = scaled.wrapping_mul(u64::from(insn.memory_index_scale()));
            let offset = base.wrapping_add(scaled).wrapping_add(insn.memory_displacement64());
            match cpu.read_segment(segment, offset & address_mask(insn), DATA as usize / 8) {
                Ok(value) => result = put(result, n, value),
                Err(halt) => {
                    failed = Some(halt);
                    break;
                }
            }
        }
        chosen = put(chosen, n, 0);
    }
    if let Some(halt) = failed {
        cpu.set_wide(to, result);
        cpu.set_wide(by, chosen);
        return Err(halt);
    }
    cpu.set_wide(to, wide::<DATA>(|n| if n < count { at::<DATA>(result, n) } else { 0 }));
    cpu.set_wide(by, [0, 0]);
    Ok(())
}

/// VCVTPH2PS. Denormals of half precision are normal numbers of single precision: DAZ does not matter, and there is no DE.
fn from_half(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let value = cpu.read_wide(insn, 1)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    env.daz = false;
    let count = if insn.op0_register().is_ymm() { 8 } else { 4 };
    let mut result = [0u64; 8];
    for (n, to) in (0..count).zip(&mut result) {
        *to = soft::convert(soft::F16, F32, &mut env, at::<16>(value, n));
    }
    env.flags &= soft::IE;
    cpu.collect(&env)?;
    cpu.set_wide(insn.op0_register(), wide::<32>(|n| result[n as usize & 7]));
    Ok(())
}

/// VCVTPS2PH. FTZ does not matter.
fn to_half(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.avx(insn)?;
    let value = cpu.wide(insn.op1_register());
    let control = insn.immediate8();
    let mut env = Env::new(cpu.fpu.mxcsr);
    env.ftz = false;
    if control & 4 == 0 {
        env.rounding = u32::from(control & 3);
    }
    let count = if insn.op1_register().is_ymm() { 8 } else { 4 };
    let mut result = [0u64; 8];
    for (n, to) in (0..count).zip(&mut result) {
        *to = soft::convert(F32, soft::F16, &mut env, at::<32>(value, n));
    }
    cpu.collect(&env)?;
    let result = vector::<16>(|n| result[n as usize & 7]);
    if insn.op0_kind() == OpKind::Register {
        cpu.set_wide(insn.op0_register(), [result, 0]);
        return Ok(());
    }
    cpu.write_wide_memory(insn, [result, 0])
}
