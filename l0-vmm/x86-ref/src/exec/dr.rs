//! Debug registers.

use super::{Handler, operand::gpr_number};
use crate::{
    Cpu,
    fault::{Exception, Exec, Why},
    vmx::Intercept,
};
use iced_x86::{Instruction, Mnemonic, OpKind};
use x86_spec::{
    cr::{cr4, dr6, dr7},
    vector,
    vmx::caps::Features,
};

pub(super) fn find(insn: &Instruction) -> Option<Handler> {
    let debug = |n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_dr();
    Some(match insn.mnemonic() {
        Mnemonic::Mov if debug(0) => |cpu, insn| mov(cpu, insn, true),
        Mnemonic::Mov if debug(1) => |cpu, insn| mov(cpu, insn, false),
        _ => return None,
    })
}

/// DR6 bits that software can change; RTM and BLD only where there is such a feature.
const DR6_BITS: u64 = 0xf | dr6::BD | dr6::BS | dr6::BT;
/// DR6 bits that come with a feature.
const DR6_FEATURES: &[(Features, u64)] = &[(Features::RTM, dr6::RTM), (Features::BUS_LOCK_DETECT, dr6::BLD)];
/// DR6 bits that read as 1.
const DR6_ONES: u64 = 0xffff_0ff0;
/// DR7 bits that read as 0.
const DR7_ZEROS: u64 = 1 << 12 | 1 << 14 | 1 << 15;

/// SDM 2: "MOV—Move to/from Debug Registers".
fn mov(cpu: &mut Cpu, insn: &Instruction, write: bool) -> Exec {
    let (dr, gpr) = if write {
        (insn.op0_register(), insn.op1_register())
    } else {
        (insn.op1_register(), insn.op0_register())
    };
    let mut number = dr.number();
    if number > 7 {
        return Err(cpu.ud());
    }
    // SDM 3C: "Instructions That Cause VM Exits Conditionally": this VM exit comes before the #UD of CR4.DE and the #GP of
    // the privilege level, against the rule.
    cpu.intercept(insn, Intercept::MovDr { dr: number as u8, write, gpr: gpr_number(gpr) as u8 })?;
    let aliases = cpu.cr4 & cr4::DE == 0;
    if !aliases && matches!(number, 4 | 5) {
        return Err(cpu.ud());
    }
    if cpu.vm86() {
        return Err(cpu.gp(0));
    }
    cpu.need_cpl0()?;
    if cpu.dr[7] & dr7::GD != 0 {
        return Err(cpu.stop(Why::Exception(Exception {
            vector: vector::DB,
            error: None,
            info: dr6::BD,
            software_len: 0,
        })));
    }
    if matches!(number, 4 | 5) {
        number += 2;
    }
    if !write {
        let value = cpu.dr[number & 7];
        cpu.set_reg(gpr, value);
        return Ok(());
    }
    let value = cpu.reg(gpr);
    match number {
        6 | 7 if value >> 32 != 0 => return Err(cpu.gp(0)),
        6 => {
            let bits = cpu.feature_bits(DR6_BITS, DR6_FEATURES);
            cpu.dr[6] = DR6_ONES & !bits | value & bits;
        }
        7 => {
            cpu.dr[7] = cpu.dr7_of(value);
            cpu.mode_changed();
        }
        _ => cpu.dr[number & 3] = value,
    }
    cpu.attention_changed();
    Ok(())
}

impl Cpu {
    /// What DR7 is after this value was loaded into it: some bits have only one.
    pub(crate) fn dr7_of(&self, value: u64) -> u64 {
        let rtm = if self.has(Features::RTM) { 0 } else { dr7::RTM };
        value & !(DR7_ZEROS | rtm) | dr7::FIXED
    }
}

#[cfg(test)]
mod tests;
