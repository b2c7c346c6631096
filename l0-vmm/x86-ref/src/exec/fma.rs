//! FMA: a product and a sum, rounded once.

use super::{
    Handler,
    soft::{self, Env, F32, F64},
    sse::lane,
    vex::{Wide, halves},
};
use crate::{Cpu, fault::Exec};
use iced_x86::{Instruction, Mnemonic};

/// Signs of an operation.
#[derive(Clone, Copy)]
struct Kind {
    /// The product is negated.
    negate: bool,
    /// What is added is negated in lanes: 0 none, 1 all, 2 even ones, 3 odd ones.
    subtract: u8,
}

const ADD: Kind = Kind { negate: false, subtract: 0 };
const SUB: Kind = Kind { negate: false, subtract: 1 };
const NEGATED_ADD: Kind = Kind { negate: true, subtract: 0 };
const NEGATED_SUB: Kind = Kind { negate: true, subtract: 1 };
/// Subtracts in even lanes.
const ADD_SUB: Kind = Kind { negate: false, subtract: 2 };
const SUB_ADD: Kind = Kind { negate: false, subtract: 3 };

/// The forms of one operation: operands in the order 132, 213, 231; packed and scalar, single and double.
macro_rules! forms {
    ($insn:expr; $($kind:ident: $p132:ident $p213:ident $p231:ident $d132:ident $d213:ident $d231:ident;)*
     ; $($skind:ident: $s132:ident $s213:ident $s231:ident $e132:ident $e213:ident $e231:ident;)*) => {
        match $insn.mnemonic() {
            $(
                Mnemonic::$p132 => |cpu, insn| packed::<32>(cpu, insn, $kind, [0, 2, 1]),
                Mnemonic::$p213 => |cpu, insn| packed::<32>(cpu, insn, $kind, [1, 0, 2]),
                Mnemonic::$p231 => |cpu, insn| packed::<32>(cpu, insn, $kind, [1, 2, 0]),
                Mnemonic::$d132 => |cpu, insn| packed::<64>(cpu, insn, $kind, [0, 2, 1]),
                Mnemonic::$d213 => |cpu, insn| packed::<64>(cpu, insn, $kind, [1, 0, 2]),
                Mnemonic::$d231 => |cpu, insn| packed::<64>(cpu, insn, $kind, [1, 2, 0]),
            )*
            $(
                Mnemonic::$s132 => |cpu, insn| scalar::<32>(cpu, insn, $skind, [0, 2, 1]),
                Mnemonic::$s213 => |cpu, insn| scalar::<32>(cpu, insn, $skind, [1, 0, 2]),
                Mnemonic::$s231 => |cpu, insn| scalar::<32>(cpu, insn, $skind, [1, 2, 0]),
                Mnemonic::$e132 => |cpu, insn| scalar::<64>(cpu, insn, $skind, [0, 2, 1]),
                Mnemonic::$e213 => |cpu, insn| scalar::<64>(cpu, insn, $skind, [1, 0, 2]),
                Mnemonic::$e231 => |cpu, insn| scalar::<64>(cpu, insn, $skind, [1, 2, 0]),
            )*
            _ => return None,
        }
    };
}

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(forms! { insn;
        ADD: Vfmadd132ps Vfmadd213ps Vfmadd231ps Vfmadd132pd Vfmadd213pd Vfmadd231pd;
        SUB: Vfmsub132ps Vfmsub213ps Vfmsub231ps Vfmsub132pd Vfmsub213pd Vfmsub231pd;
        NEGATED_ADD: Vfnmadd132ps Vfnmadd213ps Vfnmadd231ps Vfnmadd132pd Vfnmadd213pd Vfnmadd231pd;
        NEGATED_SUB: Vfnmsub132ps Vfnmsub213ps Vfnmsub231ps Vfnmsub132pd Vfnmsub213pd Vfnmsub231pd;
        ADD_SUB: Vfmaddsub132ps Vfmaddsub213ps Vfmaddsub231ps Vfmaddsub132pd Vfmaddsub213pd Vfmaddsub231pd;
        SUB_ADD: Vfmsubadd132ps Vfmsubadd213ps Vfmsubadd231ps Vfmsubadd132pd Vfmsubadd213pd Vfmsubadd231pd;
        ;
        ADD: Vfmadd132ss Vfmadd213ss Vfmadd231ss Vfmadd132sd Vfmadd213sd Vfmadd231sd;
        SUB: Vfmsub132ss Vfmsub213ss Vfmsub231ss Vfmsub132sd Vfmsub213sd Vfmsub231sd;
        NEGATED_ADD: Vfnmadd132ss Vfnmadd213ss Vfnmadd231ss Vfnmadd132sd Vfnmadd213sd Vfnmadd231sd;
        NEGATED_SUB: Vfnmsub132ss Vfnmsub213ss Vfnmsub231ss Vfnmsub132sd Vfnmsub213sd Vfnmsub231sd;
    })
}

/// One lane; `order` says which operands are multiplied and which is added.
fn one<const BITS: u32>(env: &mut Env, v: [u64; 3], kind: Kind, order: [usize; 3], n: u32) -> u64 {
    let f = if BITS == 32 { F32 } else { F64 };
    let subtract = match kind.subtract {
        0 => false,
        1 => true,
        2 => n & 1 == 0,
        _ => n & 1 != 0,
    };
    soft::multiply_add(f, env, order.map(|n| v[n % 3]), kind.negate, subtract)
}

fn operands(cpu: &mut Cpu, insn: &Instruction) -> Exec<[Wide; 3]> {
    cpu.avx(insn)?;
    let c = cpu.read_wide(insn, 2)?;
    Ok([cpu.wide(insn.op0_register()), cpu.wide(insn.op1_register()), c])
}

fn packed<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, kind: Kind, order: [usize; 3]) -> Exec {
    let v = operands(cpu, insn)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let mut result = [0; 2];
    for (half, to) in result.iter_mut().enumerate().take(halves(insn)) {
        for n in 0..128 / BITS {
            let lanes = v.map(|v| lane::<BITS>(v[half & 1], n));
            *to |= u128::from(one::<BITS>(&mut env, lanes, kind, order, n)) << (n * BITS);
        }
    }
    cpu.collect(&env)?;
    cpu.set_wide(insn.op0_register(), result);
    Ok(())
}

fn scalar<const BITS: u32>(cpu: &mut Cpu, insn: &Instruction, kind: Kind, order: [usize; 3]) -> Exec {
    let v = operands(cpu, insn)?;
    let mut env = Env::new(cpu.fpu.mxcsr);
    let result = one::<BITS>(&mut env, v.map(|v| lane::<BITS>(v[0], 0)), kind, order, 0);
    cpu.collect(&env)?;
    let keep = !(u128::MAX >> (128 - BITS));
    cpu.set_wide(insn.op0_register(), [v[0][0] & keep | u128::from(result), 0]);
    Ok(())
}
