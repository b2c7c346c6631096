//! The hot instructions once more, plainly: what single steps use, and blocks for the forms that have no op of their own
//! (AH to BH, odd operand sizes, shifts in memory). The ops are tested against these.

use crate::{
    Cpu,
    cpu::{gpr, seg},
    exec::{
        Handler,
        operand::{gpr_number, mask},
    },
    fault::Exec,
    flags::{Flags, alu, binary, one, shift, shifted, unary},
};
use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind};

/// Calls a function that is generic over the operand size.
macro_rules! sized {
    ($size:expr, $f:ident::<$o:ident>($($arg:expr),*)) => {
        match $size {
            1 => $f::<$o, 1>($($arg),*),
            2 => $f::<$o, 2>($($arg),*),
            4 => $f::<$o, 4>($($arg),*),
            _ => $f::<$o, 8>($($arg),*),
        }
    };
}

/// The handler of an instruction that is hot in some form.
pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    if insn.is_jcc_short_or_near() {
        return Some(jump_if);
    }
    if insn.is_jmp_short_or_near() || insn.is_jmp_near_indirect() {
        return Some(jump);
    }
    if insn.is_call_near() || insn.is_call_near_indirect() {
        return Some(call);
    }
    if let Some(handler) = conditional(insn) {
        return Some(handler);
    }
    Some(match insn.mnemonic() {
        Mov if system_register(insn) => return None,
        Mov => mov,
        Movzx => mov,
        Movsx | Movsxd => movsx,
        Lea => lea,
        Add => alu::<{ alu::ADD }>,
        Or => alu::<{ alu::OR }>,
        Adc => alu::<{ alu::ADC }>,
        Sbb => alu::<{ alu::SBB }>,
        And => alu::<{ alu::AND }>,
        Sub => alu::<{ alu::SUB }>,
        Xor => alu::<{ alu::XOR }>,
        Cmp => compare::<{ alu::CMP }>,
        Test => compare::<{ alu::TEST }>,
        Inc => change::<{ unary::INC }>,
        Dec => change::<{ unary::DEC }>,
        Neg => change::<{ unary::NEG }>,
        Not => change::<{ unary::NOT }>,
        Rol => rotate::<{ shift::ROL }>,
        Ror => rotate::<{ shift::ROR }>,
        Shl | Sal => rotate::<{ shift::SHL }>,
        Shr => rotate::<{ shift::SHR }>,
        Sar => rotate::<{ shift::SAR }>,
        Push if system_register(insn) => return None,
        Push => push,
        Pop if system_register(insn) => return None,
        Pop => pop,
        Leave => leave,
        Ret => ret,
        Cbw => |cpu, _| set_low(cpu, gpr::RAX, 2, cpu.r[gpr::RAX] as i8 as u64),
        Cwde => |cpu, _| set_low(cpu, gpr::RAX, 4, cpu.r[gpr::RAX] as i16 as u64),
        Cdqe => |cpu, _| set_low(cpu, gpr::RAX, 8, cpu.r[gpr::RAX] as i32 as u64),
        Cwd => |cpu, _| set_low(cpu, gpr::RDX, 2, (cpu.r[gpr::RAX] as i16 >> 15) as u64),
        Cdq => |cpu, _| set_low(cpu, gpr::RDX, 4, (cpu.r[gpr::RAX] as i32 >> 31) as u64),
        Cqo => |cpu, _| set_low(cpu, gpr::RDX, 8, (cpu.r[gpr::RAX] as i64 >> 63) as u64),
        Clc => |cpu, _| set_carry(cpu, false),
        Stc => |cpu, _| set_carry(cpu, true),
        Cmc => |cpu, _| set_carry(cpu, !cpu.flags.cf()),
        Cld => |cpu, _| set_direction(cpu, false),
        Std => |cpu, _| set_direction(cpu, true),
        Nop | Endbr32 | Endbr64 | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 | Prefetchw
        | Prefetchwt1 | Prefetch => |_, _| Ok(()),
        _ => return None,
    })
}

/// Whether an operand is a segment, control or debug register.
fn system_register(insn: &Instruction) -> bool {
    (0..insn.op_count().min(2)).any(|n| {
        let register = insn.op_register(n);
        insn.op_kind(n) == OpKind::Register && !register.is_gpr()
    })
}

/// CMOVcc and SETcc.
fn conditional(insn: &Instruction) -> Option<Handler> {
    if is_cmov(insn) {
        Some(cmov)
    } else if is_set(insn) {
        Some(set_if)
    } else {
        None
    }
}

/// CMOVcc.
pub(super) fn is_cmov(insn: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        insn.mnemonic(),
        Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
            | Cmove
            | Cmovg
            | Cmovge
            | Cmovl
            | Cmovle
            | Cmovne
            | Cmovno
            | Cmovnp
            | Cmovns
            | Cmovo
            | Cmovp
            | Cmovs
    )
}

/// SETcc.
pub(super) fn is_set(insn: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        insn.mnemonic(),
        Seta | Setae
            | Setb
            | Setbe
            | Sete
            | Setg
            | Setge
            | Setl
            | Setle
            | Setne
            | Setno
            | Setnp
            | Setns
            | Seto
            | Setp
            | Sets
    )
}

/// Number of a condition in the encodings.
pub(super) fn condition_number(insn: &Instruction) -> u8 {
    match insn.condition_code() {
        ConditionCode::o | ConditionCode::None => 0,
        ConditionCode::no => 1,
        ConditionCode::b => 2,
        ConditionCode::ae => 3,
        ConditionCode::e => 4,
        ConditionCode::ne => 5,
        ConditionCode::be => 6,
        ConditionCode::a => 7,
        ConditionCode::s => 8,
        ConditionCode::ns => 9,
        ConditionCode::p => 10,
        ConditionCode::np => 11,
        ConditionCode::l => 12,
        ConditionCode::ge => 13,
        ConditionCode::le => 14,
        ConditionCode::g => 15,
    }
}

/// Whether condition `cc` is met.
pub(super) fn condition(flags: Flags, cc: u8) -> bool {
    let met = match cc >> 1 {
        0 => flags.condition::<0>(),
        1 => flags.condition::<2>(),
        2 => flags.condition::<4>(),
        3 => flags.condition::<6>(),
        4 => flags.condition::<8>(),
        5 => flags.condition::<10>(),
        6 => flags.condition::<12>(),
        _ => flags.condition::<14>(),
    };
    met != (cc & 1 != 0)
}

/// Sign-extends the low `size` bytes.
fn sign_extend(value: u64, size: usize) -> u64 {
    let shift = 64 - 8 * size as u32;
    ((value << shift) as i64 >> shift) as u64
}

fn set_low(cpu: &mut Cpu, n: usize, size: usize, value: u64) -> Exec {
    let at = &mut cpu.r[n];
    *at = if size == 2 { *at & !0xffff | value & 0xffff } else { value & mask(size) };
    Ok(())
}

fn set_carry(cpu: &mut Cpu, carry: bool) -> Exec {
    let overflow = cpu.flags.of();
    cpu.flags.aux = cpu.flags.aux << 2 >> 2 | u64::from(carry) << 63 | u64::from(carry ^ overflow) << 62;
    Ok(())
}

fn set_direction(cpu: &mut Cpu, down: bool) -> Exec {
    cpu.sysflags = cpu.sysflags & !x86_spec::cr::rflags::DF | if down { x86_spec::cr::rflags::DF } else { 0 };
    Ok(())
}

/// MOV and MOVZX: operands are read zero-extended.
fn mov(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.read_operand(insn, 1)?;
    cpu.write_operand(insn, 0, value)
}

fn movsx(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.read_operand(insn, 1)?;
    let value = sign_extend(value, cpu.operand_size(insn, 1));
    cpu.write_operand(insn, 0, value)
}

fn lea(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    cpu.set_reg(insn.op0_register(), cpu.effective_address(insn));
    Ok(())
}

fn alu<const O: u8>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let b = cpu.read_operand(insn, 1)?;
    let a = cpu.read_operand_for_write(insn, 0)?;
    let (result, flags) = sized!(size, binary::<O>(a, b, cpu.flags));
    cpu.write_operand(insn, 0, result)?;
    cpu.flags = flags;
    Ok(())
}

fn compare<const O: u8>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let b = cpu.read_operand(insn, 1)?;
    let a = cpu.read_operand(insn, 0)?;
    cpu.flags = sized!(size, binary::<O>(a, b, cpu.flags)).1;
    Ok(())
}

fn change<const O: u8>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let a = cpu.read_operand_for_write(insn, 0)?;
    let (result, flags) = sized!(size, one::<O>(a, cpu.flags));
    cpu.write_operand(insn, 0, result)?;
    cpu.flags = flags;
    Ok(())
}

fn rotate<const O: u8>(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = cpu.operand_size(insn, 0);
    let count = cpu.read_operand(insn, 1)?;
    let a = cpu.read_operand_for_write(insn, 0)?;
    let (result, flags) = sized!(size, shifted::<O>(a, count, cpu.flags));
    cpu.write_operand(insn, 0, result)?;
    cpu.flags = flags;
    Ok(())
}

fn cmov(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.read_operand(insn, 1)?;
    let register = insn.op0_register();
    // With a false condition a 32-bit destination still loses its upper half.
    let met = condition(cpu.flags, condition_number(insn));
    let value = if met { value } else { cpu.reg(register) };
    cpu.set_reg(register, value);
    Ok(())
}

fn set_if(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let met = condition(cpu.flags, condition_number(insn));
    cpu.write_operand(insn, 0, u64::from(met))
}

/// Bytes that PUSH, POP, CALL, RET and LEAVE move.
fn stack_size(insn: &Instruction) -> usize {
    insn.stack_pointer_increment().unsigned_abs() as usize
}

fn push(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let value = cpu.read_operand(insn, 0)?;
    cpu.push(stack_size(insn), value)
}

fn pop(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let old = cpu.r[gpr::RSP];
    let value = cpu.pop(stack_size(insn))?;
    // "If the ESP register is used as a base register": the address is computed after the increment.
    let done = cpu.write_operand(insn, 0, value);
    if done.is_err() {
        cpu.r[gpr::RSP] = old;
    }
    done
}

fn leave(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let size = match insn.code() {
        iced_x86::Code::Leavew => 2,
        iced_x86::Code::Leaved => 4,
        _ => 8,
    };
    let old = cpu.r[gpr::RSP];
    cpu.set_rsp(cpu.r[gpr::RBP]);
    match cpu.pop(size) {
        Ok(value) => {
            let at = &mut cpu.r[gpr::RBP];
            *at = if size == 2 { *at & !0xffff | value & 0xffff } else { value };
            Ok(())
        }
        Err(halt) => {
            cpu.r[gpr::RSP] = old;
            Err(halt)
        }
    }
}

impl Cpu {
    /// Mask of RIP as the code size has it.
    pub(crate) fn rip_mask(&self) -> u64 {
        if self.long64() {
            u64::MAX
        } else if self.seg[seg::CS].rights & 1 << 14 != 0 {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// Checks the target of a near branch: canonical, within the limit of CS.
    pub(crate) fn check_target(&mut self, target: u64) -> Exec {
        let allowed =
            if self.long64() { self.canonical(target) } else { target <= u64::from(self.seg[seg::CS].limit) };
        if allowed { Ok(()) } else { Err(self.gp(0)) }
    }

    fn target(&mut self, insn: &Instruction) -> Exec<u64> {
        match insn.op0_kind() {
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                Ok(insn.near_branch_target())
            }
            _ => self.read_operand(insn, 0),
        }
    }
}

fn jump_if(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if condition(cpu.flags, condition_number(insn)) {
        let target = insn.near_branch_target();
        cpu.check_target(target)?;
        cpu.rip = target;
    } else {
        cpu.rip = insn.next_ip() & cpu.rip_mask();
        cpu.step_branch = false;
    }
    Ok(())
}

fn jump(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let target = cpu.target(insn)?;
    cpu.check_target(target)?;
    cpu.rip = target;
    Ok(())
}

fn call(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let target = cpu.target(insn)?;
    cpu.check_target(target)?;
    cpu.push(stack_size(insn), insn.next_ip() & cpu.rip_mask())?;
    cpu.rip = target;
    Ok(())
}

fn ret(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    let release = if insn.op_count() > 0 { insn.immediate(0) } else { 0 };
    let size = stack_size(insn) - release as usize;
    let old = cpu.r[gpr::RSP];
    let target = cpu.pop(size)?;
    if let Err(halt) = cpu.check_target(target) {
        cpu.r[gpr::RSP] = old;
        return Err(halt);
    }
    cpu.set_rsp(cpu.r[gpr::RSP].wrapping_add(release));
    cpu.rip = target;
    Ok(())
}

/// Number of the whole register that a general-purpose operand is in, as ops have it; `None` for AH to BH.
pub(super) fn whole(register: iced_x86::Register) -> Option<u8> {
    use iced_x86::Register::{AH, BH, CH, DH, None};
    (!matches!(register, AH | BH | CH | DH | None) && register.is_gpr()).then(|| gpr_number(register) as u8)
}
