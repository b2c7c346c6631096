//! The reference CPU against the processor that runs the tests, and against iced's tables of what instructions may change.
//!
//! The opcode maps are walked with random operands. Each instruction that stays in user mode and in line is executed on the
//! reference CPU and natively, from the same registers and memory at the same addresses; registers, memory, MXCSR and the
//! flags that the manual defines must then agree. Features that the host lacks are printed and left out.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code, reason = "the instructions under test are executed natively")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod avx;
mod cases;
mod guest;
mod native;
mod x87;

use cases::Random;
use guest::Guest;
use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, RflagsBits,
};
use native::{CODE, CODE_SIZE, DATA_SIZE, Native, Registers};
use std::collections::{BTreeMap, BTreeSet};

/// Executions of each opcode with each seed.
const ROUNDS: u64 = 120;

const ARITHMETIC: u64 = 0x8d5;

/// iced's flag bits as RFLAGS bits.
fn rflags(bits: u32) -> u64 {
    [
        (RflagsBits::CF, 0),
        (RflagsBits::PF, 2),
        (RflagsBits::AF, 4),
        (RflagsBits::ZF, 6),
        (RflagsBits::SF, 7),
        (RflagsBits::OF, 11),
    ]
    .iter()
    .filter(|(bit, _)| bits & bit != 0)
    .fold(0, |flags, (_, at)| flags | 1 << at)
}

/// Where only part of what the instruction gives is defined: 16-bit double shifts by more than 16.
fn undefined_result(insn: &Instruction, before: &Registers) -> bool {
    if !matches!(insn.mnemonic(), Mnemonic::Shld | Mnemonic::Shrd) {
        return false;
    }
    let count = match insn.op2_kind() {
        OpKind::Immediate8 => u64::from(insn.immediate8()),
        _ => before.gpr[1],
    };
    insn.op1_register().size() == 2 && count & 31 > 16
}

struct Rig {
    guest: Guest,
    native: Native,
    info: InstructionInfoFactory,
    at: u64,
    /// Print each instruction before the host executes it: to find the one that ends the process.
    trace: bool,
    tried: BTreeMap<Mnemonic, u64>,
    failures: BTreeMap<Mnemonic, String>,
    unsupported: BTreeSet<String>,
}

impl Rig {
    fn fail(&mut self, insn: &Instruction, code: &[u8], what: String) {
        self.failures
            .entry(insn.mnemonic())
            .or_insert_with(|| format!("{:?} {code:02x?}: {what}", insn.code()));
    }

    fn one(&mut self, insn: &Instruction, code: &[u8], before: &Registers, data: &[u8]) {
        let sse = cases::is_sse(insn);
        self.at += 32;
        let wrapped = self.at + 64 > CODE + CODE_SIZE;
        if wrapped {
            self.at = CODE;
        }
        let at = self.at;
        self.guest.single = self.at & 32 != 0;
        self.guest.set_data(data);
        self.guest.place(at, code, wrapped);
        let mut here = *before;
        if let Err(stop) = self.guest.execute(at, code.len(), &mut here, sse) {
            // It may be shut down for good.
            self.guest = Guest::new();
            let faults = matches!(insn.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
            if !(faults && stop == "Shutdown") {
                self.fail(insn, code, stop.clone());
                self.unsupported.insert(stop);
            }
            return;
        }
        self.only_listed_changes(insn, code, before, &here);
        if undefined_result(insn, before) {
            return;
        }
        self.native.data()[..data.len()].copy_from_slice(data);
        let mut there = *before;
        if self.trace {
            println!("{:?} {code:02x?}", insn.code());
        }
        self.native.execute(at, code, &mut there);
        *self.tried.entry(insn.mnemonic()).or_default() += 1;

        let mut defined = ARITHMETIC & !rflags(insn.rflags_undefined());
        if matches!(insn.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr) && insn.op1_kind() == OpKind::Immediate8 {
            // All the way round (9 and 17): for iced and Intel no flag changes, for others OF follows the result.
            defined &= !rflags(RflagsBits::OF);
        }
        let memory = insn.op_kinds().any(|k| !matches!(k, OpKind::Register | OpKind::Immediate8));
        let differences = self.differences(&here, &there, defined, sse, memory.then_some(data.len()));
        if !differences.is_empty() {
            self.fail(insn, code, format!("{}\n  before: {before:x?}", differences.join("; ")));
        }
    }

    /// What differs between the reference CPU and the host, of the flags only those of `defined`.
    fn differences(
        &mut self,
        here: &Registers,
        there: &Registers,
        defined: u64,
        sse: bool,
        memory: Option<usize>,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        for n in (0..16).filter(|&n| n != 4 && here.gpr[n] != there.gpr[n]) {
            differences.push(format!("gpr {n}: {:#x}, host {:#x}", here.gpr[n], there.gpr[n]));
        }
        if (here.flags ^ there.flags) & defined != 0 {
            let (a, b) = (here.flags & defined, there.flags & defined);
            differences.push(format!("flags {a:#x}, host {b:#x}"));
        }
        if sse {
            for n in (0..16).filter(|&n| here.xmm[n] != there.xmm[n]) {
                differences.push(format!("xmm{n}: {:#034x}, host {:#034x}", here.xmm[n], there.xmm[n]));
            }
            if here.mxcsr != there.mxcsr {
                differences.push(format!("mxcsr {:#x}, host {:#x}", here.mxcsr, there.mxcsr));
            }
        }
        if let Some(len) = memory {
            let ours = self.guest.data();
            if let Some(n) = (0..len).find(|&n| ours[n] != self.native.data()[n]) {
                differences.push(format!(
                    "memory at +{n:#x}: {:#x}, host {:#x}",
                    ours[n],
                    self.native.data()[n]
                ));
            }
        }
        differences
    }

    /// An instruction changes only registers and flags that iced lists.
    fn only_listed_changes(
        &mut self,
        insn: &Instruction,
        code: &[u8],
        before: &Registers,
        after: &Registers,
    ) {
        let mut gprs = 1 << 4;
        let mut xmms = 0u32;
        for used in self.info.info(insn).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            let r = used.register();
            if writes && r.is_gpr() {
                gprs |= 1u32 << r.full_register().number();
            } else if writes && r.is_xmm() {
                xmms |= 1 << r.number();
            }
        }
        for n in (0..16).filter(|n| gprs >> n & 1 == 0) {
            if before.gpr[n] != after.gpr[n] {
                self.fail(insn, code, format!("changes gpr {n}, which it does not write"));
            }
        }
        for n in (0..16).filter(|n| xmms >> n & 1 == 0) {
            if before.xmm[n] != after.xmm[n] {
                self.fail(insn, code, format!("changes xmm{n}, which it does not write"));
            }
        }
        let may = rflags(insn.rflags_modified());
        let changed = (before.flags ^ after.flags) & ARITHMETIC & !may;
        if changed != 0 {
            self.fail(insn, code, format!("changes flags {changed:#x}, which it does not write"));
        }
    }
}

impl Rig {
    /// Prints what was tried; fails if anything differs.
    fn report(&self) {
        let count: u64 = self.tried.values().sum();
        println!("{count} executions of {} mnemonics agree or are listed below", self.tried.len());
        for (mnemonic, failure) in &self.failures {
            println!("{mnemonic:?}: {failure}");
        }
        assert!(self.failures.is_empty(), "{} mnemonics differ", self.failures.len());
    }

    fn new() -> Self {
        Self {
            guest: Guest::new(),
            native: Native::new(),
            info: InstructionInfoFactory::new(),
            at: CODE,
            trace: std::env::var_os("TRACE").is_some(),
            tried: BTreeMap::new(),
            failures: BTreeMap::new(),
            unsupported: BTreeSet::new(),
        }
    }
}

/// A number from the environment, to try more than the test does by itself.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn agrees_with_the_host_and_with_iced() {
    let mut rig = Rig::new();
    instructions(&mut rig);
    rig.tried.clear();
    x87::instructions(&mut rig);
    rig.report();
    assert!(rig.tried.len() > 100, "only {} mnemonics of x87 and MMX were tried", rig.tried.len());
    rig.tried.clear();
    avx::instructions(&mut rig);
    rig.report();
    sequences(&mut rig);
}

/// Each instruction by itself.
fn instructions(rig: &mut Rig) {
    let features = cases::features();
    for (feature, _) in features.iter().filter(|f| !f.1) {
        println!("skipped: this host has no {feature:?}");
    }
    let (seed, rounds) = (setting("SEED", 1), setting("ROUNDS", ROUNDS));
    let mut random = Random::new(seed);
    let mut data: Vec<u8> = (0..DATA_SIZE).map(|_| random.next() as u8).collect();
    for map in 0..6 {
        for opcode in 0..=255u8 {
            for _ in 0..rounds {
                let bytes = cases::bytes(map, opcode, &mut random);
                let mut decoder = Decoder::with_ip(64, &bytes, rig.at, DecoderOptions::NONE);
                let insn = decoder.decode();
                if !cases::can_try(&insn, &mut rig.info, &features) {
                    continue;
                }
                let Some(before) = cases::registers(&insn, &mut random) else { continue };
                // Some of the memory is made of floats.
                for _ in 0..4 {
                    let at = (DATA_SIZE / 2 + 16 * random.below(64)) as usize;
                    data[at..at + 16].copy_from_slice(&random.vector().to_le_bytes());
                }
                rig.one(&insn, &bytes[..insn.len()], &before, &data);
            }
        }
    }
    rig.report();
    assert!(rig.tried.len() > 300, "only {} mnemonics were tried", rig.tried.len());
}

/// Instructions in a sequence.
const LENGTH: usize = 12;

/// Sequences executed.
const SEQUENCES: u64 = 4000;

/// One instruction of a sequence, and what it does to the flags.
#[derive(Clone)]
struct Step {
    code: Vec<u8>,
    insn: Instruction,
}

/// Which flags are undefined after a sequence; `None` when it reads one that is.
fn undefined_after(steps: &[Step]) -> Option<u64> {
    use Mnemonic::{Rcl, Rcr, Rol, Ror, Sal, Sar, Shl, Shld, Shr, Shrd};
    let mut undefined = 0;
    for Step { insn, .. } in steps {
        if rflags(insn.rflags_read()) & undefined != 0 {
            return None;
        }
        let shifts = matches!(insn.mnemonic(), Shl | Sal | Shr | Sar | Rol | Ror | Rcl | Rcr | Shld | Shrd);
        if shifts {
            // With a count of 0 flags stay, also those that are undefined.
            undefined |= rflags(insn.rflags_undefined() | RflagsBits::OF);
        } else {
            undefined = undefined & !rflags(insn.rflags_modified()) | rflags(insn.rflags_undefined());
        }
    }
    Some(undefined)
}

/// Executes a sequence on both; what differs.
fn compare_sequence(rig: &mut Rig, steps: &[Step], before: &Registers, data: &[u8]) -> Vec<String> {
    let Some(undefined) = undefined_after(steps) else { return Vec::new() };
    let code: Vec<u8> = steps.iter().flat_map(|s| s.code.iter().copied()).collect();
    // Always at the same place: decoded code is dropped when it changes.
    rig.guest.single = false;
    rig.guest.set_data(data);
    rig.guest.place(CODE, &code, true);
    let (mut here, mut there) = (*before, *before);
    if let Err(stop) = rig.guest.execute(CODE, code.len(), &mut here, true) {
        rig.guest = Guest::new();
        return vec![stop];
    }
    rig.native.data()[..data.len()].copy_from_slice(data);
    rig.native.execute(CODE, &code, &mut there);
    rig.differences(&here, &there, ARITHMETIC & !undefined, true, Some(data.len()))
}

/// Instructions in blocks, where flags of one may be left out because the next one sets them.
fn sequences(rig: &mut Rig) {
    let features = cases::features();
    let (seed, rounds) = (setting("SEED", 1), setting("SEQUENCES", SEQUENCES));
    let mut random = Random::new(seed + 1000);
    let mut data: Vec<u8> = (0..DATA_SIZE).map(|_| random.next() as u8).collect();
    let (mut done, mut failed) = (0, 0);
    for _ in 0..rounds {
        let mut steps: Vec<Step> = Vec::new();
        while steps.len() < LENGTH {
            let map = random.pick(&[0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5]);
            let bytes = cases::bytes(map, random.next() as u8, &mut random);
            let at = CODE + steps.iter().map(|s| s.code.len() as u64).sum::<u64>();
            let insn = Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE).decode();
            // Memory only at absolute addresses; no results that are undefined or may fault.
            let based = insn.op_kinds().any(|k| k == OpKind::Memory)
                && (insn.memory_base(), insn.memory_index())
                    != (iced_x86::Register::None, iced_x86::Register::None);
            let unwanted = matches!(
                insn.mnemonic(),
                Mnemonic::Div
                    | Mnemonic::Idiv
                    | Mnemonic::Shld
                    | Mnemonic::Shrd
                    | Mnemonic::Xlatb
                    | Mnemonic::Std
            ) || insn.is_string_instruction()
                || insn.mnemonic() == Mnemonic::Maskmovdqu;
            if unwanted
                || based && insn.mnemonic() != Mnemonic::Lea
                || !cases::can_try(&insn, &mut rig.info, &features)
                || cases::registers(&insn, &mut random).is_none()
            {
                continue;
            }
            steps.push(Step { code: bytes[..insn.len()].to_vec(), insn });
            if undefined_after(&steps).is_none() {
                steps.pop();
            }
        }
        let nothing = Instruction::default();
        let Some(before) = cases::registers(&nothing, &mut random) else { continue };
        for byte in data.iter_mut().take(64) {
            *byte = random.next() as u8;
        }
        let differences = compare_sequence(rig, &steps, &before, &data);
        done += 1;
        if differences.is_empty() {
            continue;
        }
        // Leave out what does not matter.
        let mut n = 0;
        while n < steps.len() {
            let mut fewer = steps.clone();
            fewer.remove(n);
            if compare_sequence(rig, &fewer, &before, &data).is_empty() { n += 1 } else { steps = fewer }
        }
        failed += 1;
        println!("sequence: {}", compare_sequence(rig, &steps, &before, &data).join("; "));
        for step in &steps {
            println!("  {:?} {:02x?}", step.insn.code(), step.code);
        }
    }
    println!("{done} sequences");
    assert_eq!(failed, 0, "sequences that differ");
}
