//! RDRAND, RDSEED; and GETSEC, RSM and the instructions that are invalid on purpose.

use super::{Handler, cpuid::Output};
use crate::{Cpu, fault::Exec, flags::Flags, vmx::Intercept};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::cr::{cr4, rflags};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Rdrand => |cpu, insn| random(cpu, insn, Intercept::Rdrand),
        Mnemonic::Rdseed => |cpu, insn| random(cpu, insn, Intercept::Rdseed),
        Mnemonic::Getsec | Mnemonic::Getsecq => getsec,
        // RSM is valid in SMM only, which does not exist here.
        Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 | Mnemonic::Rsm => |cpu, _| Err(cpu.ud()),
        _ => return None,
    })
}

/// CPUID leaf 1, ECX: RDRAND.
const CPUID_RDRAND: u32 = 30;
/// CPUID leaf 7, EBX: RDSEED.
const CPUID_RDSEED: u32 = 18;

/// Numbers that look random and are the same in every run.
fn random(cpu: &mut Cpu, insn: &Instruction, what: Intercept) -> Exec {
    let there = match what {
        Intercept::Rdrand => cpu.cpuid_bit(1, Output::Ecx, CPUID_RDRAND),
        _ => cpu.cpuid_bit(7, Output::Ebx, CPUID_RDSEED),
    };
    if !there {
        return Err(cpu.ud());
    }
    cpu.intercept(insn, what)?;
    // splitmix64, by Steele, Lea and Flood.
    cpu.random = cpu.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = cpu.random;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    cpu.set_reg(insn.op0_register(), z ^ z >> 31);
    // CF: there was a number; the others are cleared.
    cpu.flags = Flags::from_bits(rflags::CF);
    Ok(())
}

fn getsec(cpu: &mut Cpu, insn: &Instruction) -> Exec {
    if cpu.cr4 & cr4::SMXE == 0 {
        return Err(cpu.ud());
    }
    cpu.intercept(insn, Intercept::Getsec)?;
    Err(cpu.unsupported("GETSEC"))
}
