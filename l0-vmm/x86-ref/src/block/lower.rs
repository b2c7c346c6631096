//! From instructions to ops: what each instruction of a block becomes. What has no op of its own becomes a slow one.

use super::{
    build::{ends, handler},
    cache::Code,
    liveness, mode,
    op::{ADDRESS_MASKS, Op, Run, slow, slow_after, slow_flow},
    ops::{Reach, alu, branch, fall_through, mov, shift, stack},
    plain::{condition_number, is_cmov, is_set, whole},
};
use crate::{
    Cpu,
    cpu::{gpr, seg},
    exec::{
        Ends, Handler,
        operand::{address_mask, mask, seg_number},
    },
    flags,
};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use std::cell::Cell;

/// Lowers the instructions of one block.
pub(super) struct Lowering<'a> {
    code: &'a mut Code,
    /// Number of the block.
    number: u16,
    mode: u8,
    start: u64,
    /// Mask of RIP.
    mask: u64,
}

/// A memory operand as ops have it.
struct Place {
    disp: i32,
    base: u8,
    index: u8,
    shape: u8,
    reach: Reach,
}

/// Where an operand is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Register(u8),
    Memory,
    Immediate,
    Other,
}

fn kind(insn: &Instruction, n: u32) -> Kind {
    match insn.op_kind(n) {
        OpKind::Register => whole(insn.op_register(n)).map_or(Kind::Other, Kind::Register),
        OpKind::Memory => Kind::Memory,
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Kind::Immediate,
        _ => Kind::Other,
    }
}

/// Bytes of operand `n`.
fn size(insn: &Instruction, n: u32) -> usize {
    match insn.op_kind(n) {
        OpKind::Register => insn.op_register(n).size(),
        _ => insn.memory_size().size(),
    }
}

fn alu_number(mnemonic: Mnemonic) -> Option<u8> {
    use flags::alu::*;
    Some(match mnemonic {
        Mnemonic::Add => ADD,
        Mnemonic::Or => OR,
        Mnemonic::Adc => ADC,
        Mnemonic::Sbb => SBB,
        Mnemonic::And => AND,
        Mnemonic::Sub => SUB,
        Mnemonic::Xor => XOR,
        Mnemonic::Cmp => CMP,
        Mnemonic::Test => TEST,
        _ => return None,
    })
}

fn unary_number(mnemonic: Mnemonic) -> Option<u8> {
    use flags::unary::*;
    Some(match mnemonic {
        Mnemonic::Inc => INC,
        Mnemonic::Dec => DEC,
        Mnemonic::Neg => NEG,
        Mnemonic::Not => NOT,
        _ => return None,
    })
}

fn shift_number(mnemonic: Mnemonic) -> Option<u8> {
    use flags::shift::*;
    Some(match mnemonic {
        Mnemonic::Rol => ROL,
        Mnemonic::Ror => ROR,
        Mnemonic::Shl | Mnemonic::Sal => SHL,
        Mnemonic::Shr => SHR,
        Mnemonic::Sar => SAR,
        _ => return None,
    })
}

impl<'a> Lowering<'a> {
    pub fn new(cpu: &Cpu, code: &'a mut Code, number: u16) -> Self {
        Self { code, number, mode: cpu.mem.mode(), start: cpu.rip, mask: cpu.rip_mask() }
    }

    /// The ops of a block.
    pub fn block(&mut self, insns: &[Instruction]) -> Box<[Op]> {
        let live = liveness::flags_needed(insns);
        let mut ops = Vec::with_capacity(insns.len() + 1);
        let mut ended = false;
        for (i, (insn, live)) in insns.iter().zip(live).enumerate() {
            let left = insns.len() - i;
            let end = ends(insn);
            ended = end != Ends::No;
            if is_nothing(insn) {
                continue;
            }
            let blank = self.blank(insn, left);
            let op = match end {
                Ends::No => self.straight(insn, blank, live),
                Ends::Flow => self.branch(insn, blank),
                Ends::After => None,
            };
            let op = match op {
                Some(op) => op,
                None => self.slow(insn, end, left),
            };
            ops.push(op);
        }
        if let (false, Some(last)) = (ended, insns.last()) {
            let mut op = self.ending(self.blank(last, 0), last);
            op.run = fall_through;
            op.offset = last.next_ip().wrapping_sub(self.start) as u16;
            ops.push(op);
        }
        ops.into_boxed_slice()
    }

    /// An op at that place, without operands.
    fn blank(&self, insn: &Instruction, left: usize) -> Op {
        Op {
            run: fall_through,
            imm: 0,
            disp: 0,
            dst: gpr::ZERO as u8,
            src: gpr::ZERO as u8,
            base: gpr::ZERO as u8,
            index: gpr::ZERO as u8,
            shape: 0,
            left: left as u8,
            offset: insn.ip().wrapping_sub(self.start) as u16,
            link: [Cell::new(0), Cell::new(0)],
        }
    }

    /// Gives an op that ends its block what its links need.
    fn ending(&self, mut op: Op, insn: &Instruction) -> Op {
        [op.base, op.index] = self.number.to_le_bytes();
        op.disp = (insn.next_ip() & self.mask).wrapping_sub(self.start) as i32;
        op
    }

    /// An instruction by its function.
    fn slow(&mut self, insn: &Instruction, end: Ends, left: usize) -> Op {
        let run: Run = match end {
            // In the last 4 GBytes of 32-bit code the place behind may be out of reach of a displacement.
            Ends::After if !self.behind_is_near(insn) => slow_flow,
            Ends::No => slow,
            Ends::After => slow_after,
            Ends::Flow => slow_flow,
        };
        let handler: Handler = handler(insn).unwrap_or(|cpu, _| Err(cpu.unsupported("instruction")));
        let imm = self.code.add_slow(handler, *insn);
        let op = Op { imm, run, ..self.blank(insn, left) };
        if end == Ends::After { self.ending(op, insn) } else { op }
    }

    /// Whether the instruction behind can be told by a displacement from the start of the block.
    fn behind_is_near(&self, insn: &Instruction) -> bool {
        let behind = (insn.next_ip() & self.mask).wrapping_sub(self.start);
        behind as i32 as u64 == behind
    }

    fn code_size(&self) -> u8 {
        self.mode & mode::SIZE
    }

    fn checked(&self) -> bool {
        self.mode & mode::CHECKED != 0
    }

    /// The memory operand, if ops can have one like it.
    fn place(&self, insn: &Instruction) -> Option<Place> {
        let long = self.code_size() == mode::CODE64;
        let cut = address_mask(insn);
        let address_size = ADDRESS_MASKS.iter().position(|&m| m == cut)? as u8;
        let mut displacement = insn.memory_displacement64();
        let base = match insn.memory_base() {
            Register::None => gpr::ZERO as u8,
            Register::RIP => {
                displacement = displacement.wrapping_sub(self.start);
                gpr::RIP as u8
            }
            Register::EIP => return None,
            register => whole(register)?,
        };
        let index = match insn.memory_index() {
            Register::None => gpr::ZERO as u8,
            register => whole(register)?,
        };
        let disp = displacement as i32;
        // Shorter addresses are cut after the sum.
        if cut == u64::MAX && disp as u64 != displacement {
            return None;
        }
        let segment = seg_number(insn.memory_segment());
        let scale = insn.memory_index_scale().trailing_zeros() as u8;
        let shape = scale & 3 | address_size << 2 | (segment as u8) << 4;
        let usable = if long { true } else { matches!(segment, seg::ES | seg::SS | seg::DS) };
        let reach = if self.checked() || !usable {
            Reach::Checked
        } else if long && cut == u64::MAX && segment < seg::FS {
            Reach::Long
        } else {
            Reach::Any
        };
        Some(Place { disp, base, index, shape, reach })
    }

    /// An op with the memory operand, and how it is reached.
    fn with_memory(&self, insn: &Instruction, op: Op) -> Option<(Op, Reach)> {
        let place = self.place(insn)?;
        let op = Op { disp: place.disp, base: place.base, index: place.index, shape: place.shape, ..op };
        Some((op, place.reach))
    }

    /// An instruction that goes on behind itself; `live`: its flags are looked at.
    fn straight(&self, insn: &Instruction, op: Op, live: bool) -> Option<Op> {
        let mnemonic = insn.mnemonic();
        if let Some(o) = alu_number(mnemonic) {
            return self.alu(o, insn, op, live);
        }
        if let Some(o) = unary_number(mnemonic) {
            let size = size(insn, 0);
            return match kind(insn, 0) {
                Kind::Register(dst) => Some(Op { run: alu::unary_r(o, size, live), dst, ..op }),
                Kind::Memory => {
                    let (op, reach) = self.with_memory(insn, op)?;
                    Some(Op { run: alu::unary_m(o, size, reach), ..op })
                }
                _ => None,
            };
        }
        if let Some(o) = shift_number(mnemonic) {
            return Self::shift(o, insn, op, live);
        }
        match mnemonic {
            Mnemonic::Mov => self.mov(insn, op),
            Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd => self.extend(insn, op),
            Mnemonic::Lea => {
                let Kind::Register(dst) = kind(insn, 0) else { return None };
                let (op, _) = self.with_memory(insn, op)?;
                let long = ADDRESS_MASKS[usize::from(op.shape >> 2) % 4] == u64::MAX;
                Some(Op { run: mov::lea(size(insn, 0), long), dst, ..op })
            }
            Mnemonic::Push | Mnemonic::Pop | Mnemonic::Leave => self.stack(insn, op),
            Mnemonic::Imul => self.imul(insn, op),
            Mnemonic::Xchg => match (kind(insn, 0), kind(insn, 1), size(insn, 0)) {
                (Kind::Register(dst), Kind::Register(src), size @ (4 | 8)) => {
                    Some(Op { run: mov::xchg(size), dst, src, ..op })
                }
                _ => None,
            },
            Mnemonic::Cwde => Some(Op { run: mov::widen(4), ..op }),
            Mnemonic::Cdqe => Some(Op { run: mov::widen(8), ..op }),
            Mnemonic::Cdq => Some(Op { run: mov::spread(4), ..op }),
            Mnemonic::Cqo => Some(Op { run: mov::spread(8), ..op }),
            _ => self.conditional(insn, op),
        }
    }

    fn alu(&self, o: u8, insn: &Instruction, op: Op, live: bool) -> Option<Op> {
        let size = size(insn, 0);
        Some(match (kind(insn, 0), kind(insn, 1)) {
            (Kind::Register(dst), Kind::Register(src)) => Op { run: alu::rr(o, size, live), dst, src, ..op },
            (Kind::Register(dst), Kind::Immediate) => {
                Op { run: alu::ri(o, size, live), dst, imm: insn.immediate(1), ..op }
            }
            (Kind::Register(dst), Kind::Memory) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Op { run: alu::rm(o, size, reach), dst, ..op }
            }
            (Kind::Memory, Kind::Register(src)) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Op { run: alu::mr(o, size, reach), src, ..op }
            }
            (Kind::Memory, Kind::Immediate) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Op { run: alu::mi(o, size, reach), imm: insn.immediate(1), ..op }
            }
            _ => return None,
        })
    }

    fn shift(o: u8, insn: &Instruction, op: Op, live: bool) -> Option<Op> {
        let Kind::Register(dst) = kind(insn, 0) else { return None };
        let size = size(insn, 0);
        if insn.op_kind(1) == OpKind::Register {
            return Some(Op { run: shift::by_cl(o, size), dst, ..op });
        }
        let count = insn.immediate(1) & if size == 8 { 63 } else { 31 };
        (count != 0).then(|| Op { run: shift::immediate(o, size, live), dst, imm: count, ..op })
    }

    fn mov(&self, insn: &Instruction, op: Op) -> Option<Op> {
        let size = size(insn, 0);
        Some(match (kind(insn, 0), kind(insn, 1)) {
            (Kind::Register(dst), Kind::Register(src)) => Op { run: mov::rr(size), dst, src, ..op },
            (Kind::Register(dst), Kind::Immediate) => {
                Op { run: mov::ri(size), dst, imm: insn.immediate(1), ..op }
            }
            (Kind::Register(dst), Kind::Memory) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Op { run: mov::rm(size, reach), dst, ..op }
            }
            (Kind::Memory, Kind::Register(src)) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Op { run: mov::mr(size, reach), src, ..op }
            }
            (Kind::Memory, Kind::Immediate) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Op { run: mov::mi(size, reach), imm: insn.immediate(1), ..op }
            }
            _ => return None,
        })
    }

    fn extend(&self, insn: &Instruction, op: Op) -> Option<Op> {
        let (to, from) = (size(insn, 0), size(insn, 1));
        let signed = insn.mnemonic() != Mnemonic::Movzx;
        let Kind::Register(dst) = kind(insn, 0) else { return None };
        // 16-bit destinations, and MOVSXD that extends nothing, are rare.
        if to == 2 || from >= to {
            return None;
        }
        match kind(insn, 1) {
            Kind::Register(src) => Some(Op { run: mov::extend_r(from, to, signed), dst, src, ..op }),
            Kind::Memory => {
                let (op, reach) = self.with_memory(insn, op)?;
                Some(Op { run: mov::extend_m(from, to, signed, reach), dst, ..op })
            }
            _ => None,
        }
    }

    fn imul(&self, insn: &Instruction, op: Op) -> Option<Op> {
        let Kind::Register(dst) = kind(insn, 0) else { return None };
        let size = size(insn, 0);
        if size < 4 {
            return None;
        }
        match (insn.op_count(), kind(insn, 1)) {
            (2, Kind::Register(src)) => Some(Op { run: alu::imul_rr(size), dst, src, ..op }),
            (2, Kind::Memory) => {
                let (op, reach) = self.with_memory(insn, op)?;
                Some(Op { run: alu::imul_rm(size, reach), dst, ..op })
            }
            (3, Kind::Register(src)) => {
                Some(Op { run: alu::imul_ri(size), dst, src, imm: insn.immediate(2), ..op })
            }
            _ => None,
        }
    }

    /// Bytes that PUSH, CALL and their like move, when they are what fast forms know.
    fn stack_slot(&self, insn: &Instruction) -> Option<usize> {
        let slot = match self.code_size() {
            mode::CODE64 => 8,
            mode::CODE32 if self.mode & mode::STACK32 != 0 => 4,
            _ => return None,
        };
        let ret = insn.mnemonic() == Mnemonic::Ret;
        let released = if ret && insn.op_count() > 0 { insn.immediate(0) as usize } else { 0 };
        let moved = insn.stack_pointer_increment().unsigned_abs() as usize;
        let leave = insn.mnemonic() == Mnemonic::Leave;
        (leave && insn.code() != iced_x86::Code::Leavew || moved == slot + released).then_some(slot)
    }

    fn stack(&self, insn: &Instruction, op: Op) -> Option<Op> {
        let slot = self.stack_slot(insn)?;
        let checked = self.checked();
        match (insn.mnemonic(), insn.op_count()) {
            (Mnemonic::Leave, _) => Some(Op { run: stack::leave(slot, checked), ..op }),
            (Mnemonic::Push, 1) => match kind(insn, 0) {
                Kind::Register(src) => Some(Op { run: stack::push_r(slot, checked), src, ..op }),
                Kind::Immediate => {
                    Some(Op { run: stack::push_i(slot, checked), imm: insn.immediate(0) & mask(slot), ..op })
                }
                _ => None,
            },
            (Mnemonic::Pop, 1) => match kind(insn, 0) {
                Kind::Register(dst) => Some(Op { run: stack::pop_r(slot, checked), dst, ..op }),
                _ => None,
            },
            _ => None,
        }
    }

    /// CMOVcc and SETcc.
    fn conditional(&self, insn: &Instruction, op: Op) -> Option<Op> {
        if insn.condition_code() == iced_x86::ConditionCode::None {
            return None;
        }
        let cc = condition_number(insn);
        let Kind::Register(dst) = kind(insn, 0) else { return None };
        if is_set(insn) {
            return Some(Op { run: mov::set(cc), dst, ..op });
        }
        let size = size(insn, 0);
        if !is_cmov(insn) || size < 4 {
            return None;
        }
        match kind(insn, 1) {
            Kind::Register(src) => Some(Op { run: mov::cmov(cc, size), dst, src, ..op }),
            Kind::Memory => {
                let (op, reach) = self.with_memory(insn, op)?;
                Some(Op { run: mov::cmov_m(size, reach), dst, imm: u64::from(cc), ..op })
            }
            _ => None,
        }
    }

    /// Whether a near target needs no check when the branch is taken.
    fn target_is_good(&self, target: u64) -> bool {
        match self.code_size() {
            mode::CODE64 => (target as i64) << 16 >> 16 == target as i64,
            _ => target <= self.mask,
        }
    }

    /// A near branch.
    fn branch(&self, insn: &Instruction, op: Op) -> Option<Op> {
        if !self.behind_is_near(insn) {
            return None;
        }
        let checked = self.checked();
        let direct = insn.is_jcc_short_or_near() || insn.is_jmp_short_or_near() || insn.is_call_near();
        if direct {
            let target = insn.near_branch_target();
            if !self.target_is_good(target) {
                return None;
            }
            let run = if insn.is_jcc_short_or_near() {
                branch::jcc(condition_number(insn))
            } else if insn.is_call_near() {
                branch::call(self.stack_slot(insn)?, checked)
            } else {
                branch::jmp()
            };
            return Some(self.ending(Op { run, imm: target, ..op }, insn));
        }
        let slot = match self.code_size() {
            mode::CODE64 => 8,
            mode::CODE32 if self.mode & mode::STACK32 != 0 => 4,
            _ => return None,
        };
        if insn.mnemonic() == Mnemonic::Ret {
            self.stack_slot(insn)?;
            let released = if insn.op_count() > 0 { insn.immediate(0) } else { 0 };
            return Some(Op { run: branch::ret(slot, checked), imm: slot as u64 + released, ..op });
        }
        let call = insn.is_call_near_indirect();
        if !call && !insn.is_jmp_near_indirect() || size(insn, 0) != slot {
            return None;
        }
        let imm = insn.next_ip() & self.mask;
        match kind(insn, 0) {
            Kind::Register(src) => {
                let run = if call { branch::call_r(slot, checked) } else { branch::jmp_r(slot) };
                Some(Op { run, src, imm, ..op })
            }
            Kind::Memory => {
                let (op, reach) = self.with_memory(insn, op)?;
                let run = if call { branch::call_m(slot, reach) } else { branch::jmp_m(slot, reach) };
                Some(Op { run, imm, ..op })
            }
            _ => None,
        }
    }
}

/// Whether the instruction needs no op at all: it only counts.
fn is_nothing(insn: &Instruction) -> bool {
    matches!(insn.mnemonic(), Mnemonic::Nop | Mnemonic::Endbr32 | Mnemonic::Endbr64)
}
