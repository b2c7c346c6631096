//! Which instructions' flags are looked at before they are written again.

use super::plain::{is_cmov, is_set};
use iced_x86::{Instruction, Mnemonic, OpKind, RflagsBits};

/// The arithmetic flags, in iced's bits.
const ALL: u32 =
    RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;

/// What is known of an instruction that can do nothing but change registers and flags: the flags that it surely writes.
/// `None`: it may fault, or be a place at which the block is left.
fn surely_writes(insn: &Instruction) -> Option<u32> {
    use Mnemonic::*;
    let memory = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
    match insn.mnemonic() {
        Lea | Nop | Endbr32 | Endbr64 => return Some(0),
        _ if memory => return None,
        Mov | Xchg
            if (0..2).any(|n| insn.op_kind(n) == OpKind::Register && !insn.op_register(n).is_gpr()) =>
        {
            return None;
        }
        _ => {}
    }
    Some(match insn.mnemonic() {
        Add | Or | Adc | Sbb | And | Sub | Xor | Cmp | Test | Neg => ALL,
        Inc | Dec => ALL & !RflagsBits::CF,
        Mov | Movzx | Movsx | Movsxd | Not | Cwde | Cdqe | Cdq | Cqo | Xchg => 0,
        // The count may be 0.
        Shl | Sal | Shr | Sar | Rol | Ror => 0,
        _ if is_set(insn) || is_cmov(insn) => 0,
        _ => return None,
    })
}

/// For each instruction, whether any of the flags that it changes is needed.
pub(super) fn flags_needed(insns: &[Instruction]) -> Vec<bool> {
    let mut needed = vec![true; insns.len()];
    let mut live = ALL;
    for (insn, needed) in insns.iter().zip(&mut needed).rev() {
        match surely_writes(insn) {
            Some(written) => {
                *needed = insn.rflags_modified() & live != 0;
                live = live & !written | insn.rflags_read() & ALL;
            }
            None => live = ALL,
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn needed(bytes: &[u8]) -> Vec<bool> {
        flags_needed(&Decoder::new(64, bytes, DecoderOptions::NONE).iter().collect::<Vec<_>>())
    }

    #[test]
    fn flags_that_are_written_again_are_not_needed() {
        // add rax, rbx; sub rax, rcx
        assert_eq!(needed(b"\x48\x01\xd8\x48\x29\xc8"), [false, true]);
        // add rax, rbx; inc rax: CF of the addition stays
        assert_eq!(needed(b"\x48\x01\xd8\x48\xff\xc0"), [true, true]);
        // add rax, rbx; mov rcx, [rax]; sub rax, rcx: the load may fault
        assert_eq!(needed(b"\x48\x01\xd8\x48\x8b\x08\x48\x29\xc8"), [true, true, true]);
        // add rax, rbx; adc rax, rcx; sub rax, rcx
        assert_eq!(needed(b"\x48\x01\xd8\x48\x11\xc8\x48\x29\xc8"), [true, false, true]);
        // add rax, rbx; shl rax, cl; sub rax, rcx
        assert_eq!(needed(b"\x48\x01\xd8\x48\xd3\xe0\x48\x29\xc8"), [false, false, true]);
        // add rax, rbx; shl rax, cl; jz: the count may be 0
        assert_eq!(needed(b"\x48\x01\xd8\x48\xd3\xe0\x74\x00"), [true, true, true]);
        // add rax, rbx; sete cl; sub rax, rcx
        assert!(needed(b"\x48\x01\xd8\x0f\x94\xc1\x48\x29\xc8")[0]);
    }
}
