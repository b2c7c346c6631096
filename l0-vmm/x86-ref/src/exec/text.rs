//! The text instructions of SSE4.2: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.
//!
//! SDM 2: "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM".

use super::{
    Handler,
    feature::Feature,
    sse::{lane, signed, vector},
};
use crate::{Cpu, cpu::gpr, fault::Exec, flags::Flags};
use iced_x86::{Instruction, Mnemonic, Register};
use x86_spec::cr::rflags;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match insn.mnemonic() {
        Pcmpestri | Vpcmpestri => |cpu, insn| compare(cpu, insn, explicit(cpu, false), true),
        Pcmpestri64 | Vpcmpestri64 => |cpu, insn| compare(cpu, insn, explicit(cpu, true), true),
        Pcmpestrm | Vpcmpestrm => |cpu, insn| compare(cpu, insn, explicit(cpu, false), false),
        Pcmpestrm64 | Vpcmpestrm64 => |cpu, insn| compare(cpu, insn, explicit(cpu, true), false),
        Pcmpistri | Vpcmpistri => |cpu, insn| compare(cpu, insn, None, true),
        Pcmpistrm | Vpcmpistrm => |cpu, insn| compare(cpu, insn, None, false),
        _ => return None,
    })
}

/// The lengths in (E/R)AX and (E/R)DX; their signs do not count.
fn explicit(cpu: &Cpu, wide: bool) -> Option<[u64; 2]> {
    let length = |n: usize| {
        if wide { (cpu.r[n] as i64).unsigned_abs() } else { (cpu.r[n] as i32).unsigned_abs().into() }
    };
    Some([length(gpr::RAX), length(gpr::RDX)])
}

/// The elements of one operand.
struct Text {
    value: u128,
    words: bool,
    signed: bool,
    /// Elements that are valid.
    len: u32,
}

impl Text {
    fn new(value: u128, control: u8, explicit: Option<u64>) -> Self {
        let words = control & 1 != 0;
        let most = if words { 8 } else { 16 };
        let mut text = Self { value, words, signed: control & 2 != 0, len: most };
        text.len = match explicit {
            Some(len) => len.min(u64::from(most)) as u32,
            None => (0..most).find(|&n| text.at(n) == 0).unwrap_or(most),
        };
        text
    }

    fn at(&self, n: u32) -> i64 {
        match (self.words, self.signed) {
            (true, true) => signed::<16>(lane::<16>(self.value, n)),
            (true, false) => lane::<16>(self.value, n) as i64,
            (false, true) => signed::<8>(lane::<8>(self.value, n)),
            (false, false) => lane::<8>(self.value, n) as i64,
        }
    }
}

/// One bit for each element of the second operand.
fn aggregate(a: &Text, b: &Text, count: u32, kind: u8) -> u32 {
    let holds = |j: u32| match kind {
        // Equal any: in the set.
        0 => j < b.len && (0..a.len).any(|i| a.at(i) == b.at(j)),
        // Ranges: pairs of limits.
        1 => j < b.len && (0..a.len / 2).any(|i| a.at(2 * i) <= b.at(j) && b.at(j) <= a.at(2 * i + 1)),
        // Equal each: also where both have ended.
        2 => (j < a.len && j < b.len && a.at(j) == b.at(j)) || j >= a.len && j >= b.len,
        // Equal ordered: the first text begins here.
        _ => (0..count - j).all(|i| i >= a.len || i + j < b.len && a.at(i) == b.at(i + j)),
    };
    (0..count).filter(|&j| holds(j)).fold(0, |bits, j| bits | 1 << j)
}

fn compare(cpu: &mut Cpu, insn: &Instruction, lengths: Option<[u64; 2]>, index: bool) -> Exec {
    cpu.need(Feature::Sse42)?;
    let control = insn.immediate8();
    let (a, b) = cpu.two_vectors(insn)?;
    let a = Text::new(a, control, lengths.map(|l| l[0]));
    let b = Text::new(b, control, lengths.map(|l| l[1]));
    let count = if control & 1 != 0 { 8 } else { 16 };
    let all = (1u32 << count) - 1;
    let found = aggregate(&a, &b, count, control >> 2 & 3);
    let found = match control >> 4 & 3 {
        1 => !found & all,
        // Only where the second text has elements.
        3 => found ^ ((1 << b.len) - 1),
        _ => found,
    };
    if index {
        let n = match (found, control >> 6 & 1) {
            (0, _) => count,
            (_, 0) => found.trailing_zeros(),
            _ => 31 - found.leading_zeros(),
        };
        cpu.r[gpr::RCX] = n.into();
    } else {
        let mask = match (control >> 6 & 1, count) {
            (0, _) => found.into(),
            (_, 8) => vector::<16>(|n| if found >> n & 1 != 0 { 0xffff } else { 0 }),
            _ => vector::<8>(|n| if found >> n & 1 != 0 { 0xff } else { 0 }),
        };
        cpu.set_vector_low(insn, Register::XMM0, mask);
    }
    let flag = |on: bool, bit| if on { bit } else { 0 };
    cpu.flags = Flags::from_bits(
        flag(found != 0, rflags::CF)
            | flag(b.len < count, rflags::ZF)
            | flag(a.len < count, rflags::SF)
            | flag(found & 1 != 0, rflags::OF),
    );
    Ok(())
}
