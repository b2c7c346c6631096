//! Finding and decoding the block at RIP.

use super::{
    cache::{Block, Code, Key, NOWHERE},
    lower::Lowering,
    mode,
};
use crate::{
    Cpu,
    cpu::seg,
    exec::{self, Ends, Handler},
    fault::Exec,
    mem::ram::PAGE,
};
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};
use std::cell::Cell;

/// Instructions in a block: their number must fit into a byte, and a block that is stopped in its middle costs more than
/// one that ends.
const MOST: usize = 64;
/// Bytes of the longest instruction.
const LONGEST: usize = 15;

/// The function that executes an instruction one at a time.
pub(crate) fn handler(insn: &Instruction) -> Option<Handler> {
    super::plain::find(insn).or_else(|| exec::find(insn))
}

/// How it ends, the hot ones included.
pub(super) fn ends(insn: &Instruction) -> Ends {
    use iced_x86::FlowControl::*;
    if super::plain::find(insn).is_none() {
        return exec::ends(insn);
    }
    match insn.flow_control() {
        Next => Ends::No,
        _ => Ends::Flow,
    }
}

/// Bytes of code, and where they are.
struct Bytes {
    bytes: [u8; PAGE as usize],
    len: usize,
    first: u64,
    /// Physical address of the next page, if there are bytes from there.
    second: u64,
}

impl Cpu {
    /// Linear address of a RIP.
    #[inline]
    pub(crate) fn code_linear(&self, rip: u64) -> u64 {
        let linear = self.seg_base[seg::CS].wrapping_add(rip);
        if self.mem.mode() & mode::SIZE == mode::CODE64 { linear } else { linear & 0xffff_ffff }
    }

    /// Bits of the code: 16, 32 or 64.
    fn bitness(&self) -> u32 {
        match self.mem.mode() & mode::SIZE {
            mode::CODE64 => 64,
            mode::CODE32 => 32,
            _ => 16,
        }
    }

    /// Bytes from RIP to the end of the segment, and what fetching behind that gives.
    fn fetch_limit(&mut self) -> Exec<u64> {
        if self.mem.mode() & mode::SIZE == mode::CODE64 {
            return if self.canonical(self.rip) { Ok(u64::MAX) } else { Err(self.gp(0)) };
        }
        let limit = u64::from(self.seg[seg::CS].limit);
        if self.rip > limit { Err(self.gp(0)) } else { Ok(limit - self.rip + 1) }
    }

    /// Fetches what one instruction at RIP needs: a page behind the first only for bytes that the instruction has, and none
    /// for a 16th.
    fn fetch_one(&mut self) -> Exec<(Instruction, u64, u64)> {
        let available = self.fetch_limit()?.min(LONGEST as u64) as usize;
        let linear = self.code_linear(self.rip);
        let first = self.fetch(linear)?;
        let here = ((PAGE - linear % PAGE) as usize).min(available);
        let mut bytes = [0; LONGEST];
        if !self.mem.phys_read_bytes(first, &mut bytes[..here]) {
            return Err(self.unsupported("code outside RAM"));
        }
        let (insn, error) = decode(self.bitness(), &bytes[..here], self.rip);
        if error != DecoderError::NoMoreBytes {
            return self.not_too_long(insn, &bytes[..here], (first, NOWHERE));
        }
        if here < available {
            let next = linear.wrapping_add(here as u64) & self.linear_mask;
            let second = self.fetch(next)?;
            if !self.mem.phys_read_bytes(second, &mut bytes[here..available]) {
                return Err(self.unsupported("code outside RAM"));
            }
            let (insn, error) = decode(self.bitness(), &bytes[..available], self.rip);
            if error != DecoderError::NoMoreBytes {
                return self.not_too_long(insn, &bytes[..available], (first, second));
            }
        }
        // Over the end of the segment.
        Err(self.gp(0))
    }

    /// What was fetched, or #GP(0) if that is the beginning of an instruction of more than 15 bytes.
    fn not_too_long(
        &mut self,
        insn: Instruction,
        bytes: &[u8],
        (first, second): (u64, u64),
    ) -> Exec<(Instruction, u64, u64)> {
        if insn.is_invalid() && goes_on(self.bitness(), bytes, self.rip) {
            return Err(self.gp(0));
        }
        Ok((insn, first, second))
    }

    /// Executes the instruction at RIP without decoded code.
    pub(crate) fn step(&mut self) -> Exec {
        let (insn, _, _) = self.fetch_one()?;
        if insn.is_invalid() {
            return Err(self.ud());
        }
        let Some(handler) = handler(&insn) else {
            return Err(self.unsupported("instruction"));
        };
        let flow = ends(&insn) == Ends::Flow;
        self.step_branch = flow;
        handler(self, &insn)?;
        if !flow {
            let mask = match insn.code_size() {
                iced_x86::CodeSize::Code16 => 0xffff,
                iced_x86::CodeSize::Code32 => 0xffff_ffff,
                _ => u64::MAX,
            };
            self.rip = insn.next_ip() & mask;
        }
        Ok(())
    }

    /// The bytes of the instruction at RIP, as far as they can be read without an effect.
    pub(crate) fn instruction_bytes(&mut self) -> Vec<u8> {
        let why = self.why;
        let cr2 = self.cr2;
        let bytes = match self.fetch_one() {
            Ok((insn, first, second)) => {
                let len = if insn.is_invalid() { LONGEST } else { insn.len() };
                let here = if second == NOWHERE { len } else { len.min((PAGE - first % PAGE) as usize) };
                let mut bytes = vec![0; len];
                let (a, b) = bytes.split_at_mut(here.min(len));
                if self.mem.phys_read_bytes(first, a) && (b.is_empty() || self.mem.phys_read_bytes(second, b))
                {
                    bytes
                } else {
                    Vec::new()
                }
            }
            Err(_) => Vec::new(),
        };
        self.why = why;
        self.cr2 = cr2;
        bytes
    }

    /// The block at RIP: found or decoded.
    pub(crate) fn lookup(&mut self, code: &mut Code) -> Exec<u16> {
        let number = code.recent_number(self.rip);
        let block = code.block(number);
        if block.rip == self.rip && (block.stamp.get() == self.mem.stamp || self.revalidate(block)) {
            return Ok(number);
        }
        let number = loop {
            if self.mem.stamp == 0 {
                self.settle_code(code);
            }
            let number = self.find_block(code)?;
            // Setting the accessed flag of a table that lies beside code may have dropped what was just found.
            if self.mem.stamp != 0 {
                break number;
            }
        };
        let block = code.block(number);
        block.stamp.set(self.mem.stamp);
        code.note_recent(self.rip, number);
        Ok(number)
    }

    fn find_block(&mut self, code: &mut Code) -> Exec<u16> {
        self.fetch_limit()?;
        let linear = self.code_linear(self.rip);
        let physical = self.fetch(linear)?;
        let key = Key { physical, rip: self.rip, mode: self.mem.mode() };
        if let Some(number) = code.find(&key) {
            if self.is_current(code.block(number), linear)? {
                return Ok(number);
            }
            code.drop_block(number);
        }
        if code.is_full() {
            code.clear();
            self.mem.unmark_all_code();
        }
        self.build(code, key, linear)
    }

    /// Whether a block still is what memory says.
    fn is_current(&mut self, block: &Block, linear: u64) -> Exec<bool> {
        if block.second != NOWHERE {
            let next = ((linear | (PAGE - 1)).wrapping_add(1)) & self.linear_mask;
            if self.fetch(next)? != block.second {
                return Ok(false);
            }
        }
        if block.generation.get() != self.mem.generation {
            let here = ((PAGE - block.key.physical % PAGE) as usize).min(block.bytes.len());
            let (a, b) = block.bytes.split_at(here);
            if !self.holds(block.key.physical, a) || !b.is_empty() && !self.holds(block.second, b) {
                return Ok(false);
            }
            block.generation.set(self.mem.generation);
        }
        Ok(true)
    }

    fn holds(&self, physical: u64, bytes: &[u8]) -> bool {
        let mut now = vec![0; bytes.len()];
        self.mem.phys_read_bytes(physical, &mut now) && now == bytes
    }

    /// Decodes the block at RIP.
    fn build(&mut self, code: &mut Code, key: Key, linear: u64) -> Exec<u16> {
        let mut source = Bytes { bytes: [0; PAGE as usize], len: 0, first: key.physical, second: NOWHERE };
        let reach = if self.bitness() == 16 { 0x1_0000 - (self.rip & 0xffff) } else { u64::MAX };
        source.len = (PAGE - linear % PAGE).min(reach).min((MOST * LONGEST) as u64) as usize;
        if !self.mem.phys_read_bytes(key.physical, &mut source.bytes[..source.len]) {
            return Err(self.unsupported("code outside RAM"));
        }
        let mut insns = Vec::with_capacity(16);
        {
            let mut decoder =
                Decoder::with_ip(self.bitness(), &source.bytes[..source.len], self.rip, DecoderOptions::NONE);
            while insns.len() < MOST && decoder.can_decode() {
                let insn = decoder.decode();
                if insn.is_invalid() {
                    break;
                }
                let last = ends(&insn) != Ends::No || handler(&insn).is_none();
                insns.push(insn);
                if last {
                    break;
                }
            }
        }
        if insns.is_empty() {
            // Over the page's end, over the segment's, or not an instruction at all.
            let (insn, _, second) = self.fetch_one()?;
            if insn.is_invalid() {
                return Err(self.ud());
            }
            source.second = second;
            insns.push(insn);
        }
        let number = code.next_number();
        let ops = Lowering::new(self, code, number).block(&insns);
        let size: usize = insns.iter().map(Instruction::len).sum();
        let here = ((PAGE - linear % PAGE) as usize).min(size);
        let mut bytes = vec![0; size];
        let (a, b) = bytes.split_at_mut(here);
        self.mem.phys_read_bytes(source.first, a);
        self.mem.mark_code(source.first, here as u64);
        if !b.is_empty() {
            self.mem.phys_read_bytes(source.second, b);
            self.mem.mark_code(source.second, (size - here) as u64);
        }
        let block = Block {
            ops,
            stamp: Cell::new(u64::MAX),
            rip: self.rip,
            count: insns.len() as i64,
            key,
            second: source.second,
            bytes: bytes.into_boxed_slice(),
            generation: Cell::new(self.mem.generation),
        };
        Ok(code.add(block))
    }

    /// Makes decoded code usable again when [`crate::mem::Mem::stamp`] is 0: drops what was written to from outside of
    /// instructions, and takes note of another base of CS.
    pub(crate) fn settle_code(&mut self, code: &mut Code) {
        for page in std::mem::take(&mut self.mem.dirty) {
            self.drop_page(code, page);
        }
        self.mem.settle_base();
    }

    /// Drops the decoded code on a page.
    pub(crate) fn drop_page(&mut self, code: &mut Code, physical: u64) {
        code.drop_page(physical);
        self.mem.unmark_code(physical);
    }
}

fn decode(bitness: u32, bytes: &[u8], rip: u64) -> (Instruction, DecoderError) {
    let mut decoder = Decoder::with_ip(bitness, bytes, rip, DecoderOptions::NONE);
    let insn = decoder.decode();
    (insn, decoder.last_error())
}

/// Whether bytes that do not decode are the most that an instruction may have and it wants more. The decoder calls that
/// invalid, like an undefined opcode; with one prefix fewer it tells them apart. Not just any prefix: those of sizes change
/// how much follows.
fn goes_on(bitness: u32, bytes: &[u8], rip: u64) -> bool {
    const OPERAND_SIZE: u8 = 0x66;
    const ADDRESS_SIZE: u8 = 0x67;
    if bytes.len() < LONGEST {
        return false;
    }
    let needed =
        |at: usize| matches!(bytes[at], OPERAND_SIZE | ADDRESS_SIZE) && !bytes[..at].contains(&bytes[at]);
    // So long an instruction begins with three prefixes at least.
    let Some(spare) = (0..3).find(|&at| !needed(at)) else {
        return false;
    };
    let mut shorter = bytes.to_vec();
    shorter.remove(spare);
    decode(bitness, &shorter, rip).1 == DecoderError::NoMoreBytes
}

#[cfg(test)]
mod tests;
