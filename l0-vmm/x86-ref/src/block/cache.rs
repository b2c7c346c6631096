//! The cache of blocks.

use super::op::Op;
use crate::{Cpu, exec::Handler, mem::ram::PAGE};
use iced_x86::Instruction;
use std::{
    cell::Cell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Blocks before everything is thrown away. Links have 16 bits, and 0 is none.
const MOST_BLOCKS: usize = u16::MAX as usize;
/// Slots of the table by which RIP finds a block without a page walk.
const RECENT: usize = 4096;
/// A physical address that no block is at.
pub(super) const NOWHERE: u64 = u64::MAX;

/// What a block is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub physical: u64,
    pub rip: u64,
    pub mode: u8,
}

/// A straight run of instructions.
pub(crate) struct Block {
    pub ops: Box<[Op]>,
    /// The state of the address space, and the mode, that it was last found in.
    pub stamp: Cell<u64>,
    pub rip: u64,
    /// Instructions.
    pub count: i64,
    pub key: Key,
    /// Physical address of the part on the next page, of the one instruction that crosses pages; else [`NOWHERE`].
    pub second: u64,
    /// The bytes that it was decoded from, and when they were last compared with memory.
    pub bytes: Box<[u8]>,
    pub generation: Cell<u64>,
}

/// A quick hash for keys that nobody chooses to collide.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
}

/// A map with that hash; its order is never looked at.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Decoded code.
pub(crate) struct Code {
    /// All blocks; number 0 is one that never runs, so that "no link" needs no test.
    blocks: Vec<Block>,
    by_key: Map<Key, u16>,
    by_page: Map<u64, Vec<u16>>,
    recent: Box<[Cell<u16>]>,
    slow: Vec<(Handler, Instruction)>,
    /// How often everything was thrown away: numbers of blocks from before mean nothing.
    pub cleared: u64,
}

impl Default for Code {
    fn default() -> Self {
        let mut code = Self {
            blocks: Vec::new(),
            by_key: Map::default(),
            by_page: Map::default(),
            recent: vec![Cell::new(0); RECENT].into_boxed_slice(),
            slow: Vec::new(),
            cleared: 0,
        };
        code.clear();
        code
    }
}

/// A block that never runs: no stamp is [`u64::MAX`].
fn nothing() -> Block {
    Block {
        ops: Box::default(),
        stamp: Cell::new(u64::MAX),
        rip: u64::MAX,
        count: i64::MAX,
        key: Key { physical: NOWHERE, rip: 0, mode: 0 },
        second: NOWHERE,
        bytes: Box::default(),
        generation: Cell::new(0),
    }
}

impl Code {
    /// Throws everything away.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.blocks.push(nothing());
        self.by_key.clear();
        self.by_page.clear();
        self.recent.fill(Cell::new(0));
        self.slow.clear();
        self.cleared += 1;
    }

    /// Whether another block would need a [`Code::clear`] first.
    pub fn is_full(&self) -> bool {
        self.blocks.len() >= MOST_BLOCKS
    }

    /// The number that the next block gets.
    pub fn next_number(&self) -> u16 {
        self.blocks.len() as u16
    }

    /// Block of that number.
    #[inline(always)]
    pub fn block(&self, number: u16) -> &Block {
        match self.blocks.get(usize::from(number)) {
            Some(block) => block,
            None => &self.blocks[0],
        }
    }

    #[inline(always)]
    fn recent_slot(rip: u64) -> usize {
        (rip ^ rip >> 12) as usize % RECENT
    }

    /// The block that was last found at a RIP like that.
    #[inline(always)]
    pub fn recent(&self, rip: u64) -> &Block {
        self.block(self.recent_number(rip))
    }

    #[inline(always)]
    pub fn recent_number(&self, rip: u64) -> u16 {
        self.recent.get(Self::recent_slot(rip)).map_or(0, Cell::get)
    }

    /// Notes where a block was found.
    pub fn note_recent(&self, rip: u64, number: u16) {
        if let Some(slot) = self.recent.get(Self::recent_slot(rip)) {
            slot.set(number);
        }
    }

    /// The handler and instruction of a slow op.
    #[inline(always)]
    pub fn slow(&self, index: u64) -> Option<&(Handler, Instruction)> {
        self.slow.get(index as usize)
    }

    /// Keeps the handler and instruction of a slow op.
    pub fn add_slow(&mut self, handler: Handler, insn: Instruction) -> u64 {
        self.slow.push((handler, insn));
        self.slow.len() as u64 - 1
    }

    pub fn find(&self, key: &Key) -> Option<u16> {
        self.by_key.get(key).copied()
    }

    /// Adds a block.
    pub fn add(&mut self, block: Block) -> u16 {
        let number = self.next_number();
        self.by_key.insert(block.key, number);
        for physical in [block.key.physical, block.second] {
            if physical != NOWHERE {
                self.by_page.entry(physical / PAGE).or_default().push(number);
            }
        }
        self.blocks.push(block);
        number
    }

    /// Forgets one block. Its number is not used again, so links to it lead to nothing.
    pub fn drop_block(&mut self, number: u16) {
        if let Some(block) = self.blocks.get_mut(usize::from(number)) {
            if self.by_key.get(&block.key) == Some(&number) {
                self.by_key.remove(&block.key);
            }
            *block = nothing();
        }
    }

    /// Forgets the blocks on the page of a physical address.
    pub fn drop_page(&mut self, physical: u64) {
        for number in self.by_page.remove(&(physical / PAGE)).unwrap_or_default() {
            self.drop_block(number);
        }
    }

    /// Links the last op of a block.
    pub fn link(&self, from: u16, side: u8, to: u16) {
        if let Some(link) = self.block(from).ops.last().and_then(|op| op.link.get(usize::from(side))) {
            link.set(to);
        }
    }
}

impl Cpu {
    /// Whether a block that was found in another state of the address space is still what is at RIP; then it may run.
    /// Only looks at what the TLB knows.
    pub(super) fn revalidate(&mut self, block: &Block) -> bool {
        let linear = self.code_linear(block.rip);
        let same = block.key.physical != NOWHERE
            && block.second == NOWHERE
            && block.key.mode == self.mem.mode()
            && block.generation.get() == self.mem.generation
            && self.mem.stamp != 0
            && self.mem.tlb.executable(linear) == Some(block.key.physical);
        if same {
            block.stamp.set(self.mem.stamp);
        }
        same
    }
}
