//! MOVS, STOS, LODS, SCAS, CMPS, with their repeat prefixes.
//!
//! A repeated instruction works in chunks: after [`CHUNK`] iterations it comes back with [`Why::Again`], so that interrupts
//! are seen in between (SDM 2B, "REP/REPE/REPZ/REPNE/REPNZ"). Each iteration beyond the first is taken from
//! [`Cpu::budget`], so that iterations are what the clock counts.

use super::{Handler, flag};
use crate::{
    Cpu,
    cpu::{attention, gpr, seg},
    exec::operand::{mask, seg_number},
    fault::{Exec, Why},
    mem::{Access, Mode},
};
use iced_x86::{Instruction, Mnemonic, OpKind};
use x86_spec::cr::rflags;

/// Iterations between two looks at interrupts.
const CHUNK: u64 = 4096;

/// Bytes in a page: what one bulk step stays within.
const PAGE: u64 = 4096;

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    if !insn.is_string_instruction() {
        return None;
    }
    Some(match insn.mnemonic() {
        Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => movs,
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => stos,
        Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => lods,
        Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => scas,
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => cmps,
        _ => return None,
    })
}

/// What the iterations of one instruction have in common.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes in an element.
    pub size: usize,
    /// Bytes in an address: which part of RSI, RDI and RCX is used.
    pub address: usize,
    /// Segment of the source.
    pub segment: usize,
    /// What an iteration adds to the addresses: the size or its negative.
    step: u64,
}

impl Shape {
    pub fn of(cpu: &Cpu, insn: &Instruction) -> Self {
        let address = (0..insn.op_count())
            .find_map(|n| match insn.op_kind(n) {
                OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => Some(2),
                OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => Some(4),
                OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI => Some(8),
                _ => None,
            })
            .unwrap_or(8);
        let size = insn.memory_size().size();
        let step = if cpu.sysflags & rflags::DF != 0 { (size as u64).wrapping_neg() } else { size as u64 };
        Self { size, address, segment: seg_number(insn.memory_segment()), step }
    }
}

impl Cpu {
    /// RSI, RDI or RCX as the address size sees it.
    pub(super) fn string_reg(&self, shape: Shape, n: usize) -> u64 {
        self.r[n & 15] & mask(shape.address)
    }

    fn set_string_reg(&mut self, shape: Shape, n: usize, value: u64) {
        let at = &mut self.r[n & 15];
        *at = if shape.address == 2 { *at & !0xffff | value & 0xffff } else { value & mask(shape.address) };
    }

    /// Moves RSI or RDI on by a number of elements.
    pub(super) fn string_advance(&mut self, shape: Shape, n: usize, elements: u64) {
        let to = self.r[n & 15].wrapping_add(shape.step.wrapping_mul(elements));
        self.set_string_reg(shape, n, to);
    }

    fn load(&mut self, shape: Shape) -> Exec<u64> {
        self.read_segment(shape.segment, self.string_reg(shape, gpr::RSI), shape.size)
    }

    fn load_destination(&mut self, shape: Shape) -> Exec<u64> {
        self.read_segment(seg::ES, self.string_reg(shape, gpr::RDI), shape.size)
    }

    fn store(&mut self, shape: Shape, value: u64) -> Exec {
        self.write_segment(seg::ES, self.string_reg(shape, gpr::RDI), shape.size, value)
    }

    /// Repeats `one` as the prefix says. `bulk` may do up to so many iterations at once and says how many it did; 0 sends
    /// the next iteration through `one`, which has the faults. `compares`: REPE and REPNE look at ZF.
    pub(super) fn repeat(
        &mut self,
        insn: &Instruction,
        shape: Shape,
        compares: bool,
        one: impl Fn(&mut Self) -> Exec,
        bulk: impl Fn(&mut Self, u64) -> u64,
    ) -> Exec {
        let (repe, repne) = (insn.has_rep_prefix(), insn.has_repne_prefix());
        if !repe && !repne {
            return one(self);
        }
        let mut count = self.string_reg(shape, gpr::RCX);
        if count == 0 {
            return Ok(());
        }
        // A debug trap and an MTF VM exit come after each iteration.
        let each = self.attention & (attention::TRAP | attention::VMX) != 0;
        let chunk = if each { 1 } else { CHUNK.min(self.budget.max(1) as u64) };
        let limit = count.min(chunk);
        let mut done = 0;
        while done < limit {
            let mut n = bulk(self, limit - done);
            if n == 0 {
                if let Err(halt) = one(self) {
                    self.budget -= done as i64;
                    return Err(halt);
                }
                n = 1;
            }
            done += n;
            count -= n;
            self.set_string_reg(shape, gpr::RCX, count);
            if compares && self.flags.zf() != repe {
                self.budget -= done as i64 - 1;
                return Ok(());
            }
        }
        // One is counted by the run loop, whether the instruction is complete or not.
        self.budget -= done as i64 - 1;
        if count == 0 { Ok(()) } else { Err(self.stop(Why::Again)) }
    }

    /// How many elements a bulk step may take at this offset: forward, within the page, the segment and the address size,
    /// in RAM (devices see each access), and with nobody watching single accesses. With the linear address of the first.
    fn run_at(
        &mut self,
        shape: Shape,
        segment: usize,
        offset: u64,
        write: bool,
        most: u64,
    ) -> Option<(u64, u64)> {
        let size = shape.size as u64;
        if shape.step != size || self.watched {
            return None;
        }
        let linear = self.linear(segment, offset, shape.size, write).ok()?;
        let in_page = (PAGE - linear % PAGE) / size;
        let in_address = (mask(shape.address) - offset) / size;
        let elements = most.min(in_page).min(in_address);
        if elements < 2 {
            return None;
        }
        self.linear(segment, offset, (elements * size) as usize, write).ok()?;
        let access = if write { Access::Write } else { Access::Read };
        let physical = self.translate(linear, access, Mode::Data).ok()?;
        if self.mem.is_apic_page(physical) {
            return None;
        }
        let in_ram = physical.checked_add(elements * size)? <= self.mem.ram_size();
        in_ram.then_some((linear, elements))
    }
}

fn nothing(_: &mut Cpu, _: u64) -> u64 {
    0
}

fn movs(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let shape = Shape::of(cpu, insn);
    let one = |cpu: &mut Cpu| {
        let value = cpu.load(shape)?;
        cpu.store(shape, value)?;
        cpu.string_advance(shape, gpr::RSI, 1);
        cpu.string_advance(shape, gpr::RDI, 1);
        Ok(())
    };
    cpu.repeat(insn, shape, false, one, |cpu, most| bulk_move(cpu, shape, most).unwrap_or(0))
}

/// Copies within one page of the source and one of the destination. The destination must not run over bytes that are still
/// to be read; offsets in the page decide, because two linear pages may be one physical page.
fn bulk_move(cpu: &mut Cpu, shape: Shape, most: u64) -> Option<u64> {
    let (source, n) = cpu.run_at(shape, shape.segment, cpu.string_reg(shape, gpr::RSI), false, most)?;
    let (to, n) = cpu.run_at(shape, seg::ES, cpu.string_reg(shape, gpr::RDI), true, n)?;
    let size = shape.size as u64;
    let ahead = to.wrapping_sub(source) % PAGE;
    let n = if ahead == 0 { n } else { n.min(ahead / size) };
    if n < 2 {
        return None;
    }
    let mut page = [0; PAGE as usize];
    let bytes = page.get_mut(..(n * size) as usize)?;
    cpu.read_linear_bytes(source, bytes, Mode::Data).ok()?;
    cpu.write_linear_bytes(to, bytes, Mode::Data).ok()?;
    cpu.string_advance(shape, gpr::RSI, n);
    cpu.string_advance(shape, gpr::RDI, n);
    Some(n)
}

fn stos(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let shape = Shape::of(cpu, insn);
    let value = cpu.r[gpr::RAX] & mask(shape.size);
    let one = |cpu: &mut Cpu| {
        cpu.store(shape, value)?;
        cpu.string_advance(shape, gpr::RDI, 1);
        Ok(())
    };
    cpu.repeat(insn, shape, false, one, |cpu, most| bulk_store(cpu, shape, value, most).unwrap_or(0))
}

fn bulk_store(cpu: &mut Cpu, shape: Shape, value: u64, most: u64) -> Option<u64> {
    let (to, n) = cpu.run_at(shape, seg::ES, cpu.string_reg(shape, gpr::RDI), true, most)?;
    let mut page = [0; PAGE as usize];
    let bytes = page.get_mut(..n as usize * shape.size)?;
    if value != 0 {
        for element in bytes.chunks_exact_mut(shape.size) {
            element.copy_from_slice(value.to_le_bytes().get(..shape.size)?);
        }
    }
    cpu.write_linear_bytes(to, bytes, Mode::Data).ok()?;
    cpu.string_advance(shape, gpr::RDI, n);
    Some(n)
}

fn lods(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let shape = Shape::of(cpu, insn);
    let one = |cpu: &mut Cpu| {
        let value = cpu.load(shape)?;
        cpu.set_reg(insn.op0_register(), value);
        cpu.string_advance(shape, gpr::RSI, 1);
        Ok(())
    };
    cpu.repeat(insn, shape, false, one, nothing)
}

fn scas(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let shape = Shape::of(cpu, insn);
    let one = |cpu: &mut Cpu| {
        let value = cpu.load_destination(shape)?;
        cpu.flags = flag::sub(cpu.r[gpr::RAX], value, shape.size).1;
        cpu.string_advance(shape, gpr::RDI, 1);
        Ok(())
    };
    cpu.repeat(insn, shape, true, one, nothing)
}

fn cmps(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let shape = Shape::of(cpu, insn);
    let one = |cpu: &mut Cpu| {
        let source = cpu.load(shape)?;
        let destination = cpu.load_destination(shape)?;
        cpu.flags = flag::sub(source, destination, shape.size).1;
        cpu.string_advance(shape, gpr::RSI, 1);
        cpu.string_advance(shape, gpr::RDI, 1);
        Ok(())
    };
    cpu.repeat(insn, shape, true, one, nothing)
}
