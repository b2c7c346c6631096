//! VM-exit instruction information, and the displacement that goes into the exit qualification, from decoded operands.
//!
//! SDM: "Information for VM Exits Due to Instruction Execution". What the manual leaves undefined is zero.

use crate::exec::operand::{gpr_number, seg_number};
use iced_x86::{Code, CodeSize, Instruction, Mnemonic, OpKind, Register};
use x86_spec::vmx::{
    exit::Reason,
    insn_info::{Layout, Operands},
};

/// 0, 1, 2 for 2, 4 and 8 bytes.
fn size_code(bytes: usize) -> u8 {
    match bytes {
        2 => 0,
        4 => 1,
        _ => 2,
    }
}

fn number(register: Register) -> u8 {
    gpr_number(register) as u8
}

/// Address size of the memory operand, in bytes.
fn address_size(insn: &Instruction) -> usize {
    match (insn.memory_base(), insn.memory_index()) {
        (Register::None, Register::None) => match insn.memory_displ_size() {
            0 if insn.code_size() == CodeSize::Code64 => 8,
            0 => 4,
            size => size as usize,
        },
        (Register::RIP, _) => 8,
        (Register::EIP, _) => 4,
        (Register::None, index) => index.size(),
        (base, _) => base.size(),
    }
}

/// The operand that can lie in memory, and the other one.
fn places(insn: &Instruction) -> (u32, u32) {
    match insn.mnemonic() {
        Mnemonic::Vmwrite | Mnemonic::Invept | Mnemonic::Invvpid | Mnemonic::Invpcid => (1, 0),
        _ => (0, 1),
    }
}

/// Which of the four instructions of its format it is.
fn identity(mnemonic: Mnemonic) -> u8 {
    match mnemonic {
        Mnemonic::Sgdt | Mnemonic::Sldt => 0,
        Mnemonic::Sidt | Mnemonic::Str => 1,
        Mnemonic::Lgdt | Mnemonic::Lldt => 2,
        _ => 3,
    }
}

/// Fills in the memory operand.
fn address(insn: &Instruction, to: &mut Operands) {
    let (base, index) = (insn.memory_base(), insn.memory_index());
    to.address_size = size_code(address_size(insn));
    to.segment = seg_number(insn.memory_segment()) as u8;
    to.base = (!matches!(base, Register::None | Register::RIP | Register::EIP)).then(|| number(base));
    if index != Register::None {
        to.index = Some(number(index));
        to.scaling = insn.memory_index_scale().trailing_zeros() as u8;
    }
}

/// The VM-exit instruction information of an instruction that exits for that reason; 0 where the reason has none.
pub(super) fn information(insn: &Instruction, reason: Reason) -> u32 {
    let Some(layout) = Layout::of(reason) else { return 0 };
    let mut operands = Operands::default();
    if layout == Layout::StringIo {
        string_io(insn, &mut operands);
        return operands.pack(layout);
    }
    let (place, other) = places(insn);
    if insn.op_kind(place) == OpKind::Memory {
        address(insn, &mut operands);
    } else {
        operands.register_form = true;
        operands.reg1 = number(insn.op_register(place));
    }
    if insn.op_count() > 1 && insn.op_kind(other) == OpKind::Register {
        operands.reg2 = number(insn.op_register(other));
    }
    operands.identity = identity(insn.mnemonic());
    operands.operand_size = match layout {
        Layout::Register => size_code(insn.op0_register().size()),
        // Undefined in 64-bit mode.
        _ => u8::from(matches!(
            insn.code(),
            Code::Sgdt_m1632 | Code::Sidt_m1632 | Code::Lgdt_m1632 | Code::Lidt_m1632
        )),
    };
    operands.pack(layout)
}

/// INS and OUTS: address size and, for OUTS, the segment.
fn string_io(insn: &Instruction, to: &mut Operands) {
    let outs = matches!(insn.mnemonic(), Mnemonic::Outsb | Mnemonic::Outsw | Mnemonic::Outsd);
    let size = match insn.op_kind(u32::from(outs)) {
        OpKind::MemorySegSI | OpKind::MemoryESDI => 2,
        OpKind::MemorySegESI | OpKind::MemoryESEDI => 4,
        _ => 8,
    };
    to.address_size = size_code(size);
    if outs {
        to.segment = seg_number(insn.memory_segment()) as u8;
    }
}

/// The displacement of the memory operand; with RIP-relative addressing the sum of both. Zero without a memory operand.
pub(super) fn displacement(insn: &Instruction) -> u64 {
    let memory = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
    if memory { insn.memory_displacement64() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    const NO_INDEX: u32 = 1 << 22;
    const NO_BASE: u32 = 1 << 27;
    const DS: u32 = 3 << 15;
    const A32: u32 = 1 << 7;
    const A64: u32 = 2 << 7;

    #[test]
    fn every_format() {
        let rows: &[(u32, &[u8], Reason, u32, u64)] = &[
            // sgdt [rip + 0x10], at 0x1000
            (64, b"\x0f\x01\x05\x10\x00\x00\x00", Reason::GDTR_IDTR, A64 | DS | NO_INDEX | NO_BASE, 0x1017),
            // lidt [eax], 32-bit code
            (32, b"\x0f\x01\x18", Reason::GDTR_IDTR, A32 | 1 << 11 | DS | NO_INDEX | 3 << 28, 0),
            // lgdt [bx + si - 2], 16-bit code
            (16, b"\x0f\x01\x50\xfe", Reason::GDTR_IDTR, DS | 6 << 18 | 3 << 23 | 2 << 28, 0xfffe),
            // sldt ecx; str [rdx]; ltr r9w
            (64, b"\x0f\x00\xc1", Reason::LDTR_TR, 1 << 10 | 1 << 3, 0),
            (64, b"\x0f\x00\x0a", Reason::LDTR_TR, A64 | DS | NO_INDEX | 2 << 23 | 1 << 28, 0),
            (64, b"\x41\x0f\x00\xd9", Reason::LDTR_TR, 1 << 10 | 9 << 3 | 3 << 28, 0),
            // rdrand r9w; rdseed rax
            (64, b"\x66\x41\x0f\xc7\xf1", Reason::RDRAND, 9 << 3, 0),
            (64, b"\x48\x0f\xc7\xf8", Reason::RDSEED, 2 << 11, 0),
            // vmptrld gs:[r12 + r13 * 8 - 0x80]
            (
                64,
                b"\x65\x43\x0f\xc7\x74\xec\x80",
                Reason::VMPTRLD,
                3 | A64 | 5 << 15 | 13 << 18 | 12 << 23,
                0xffff_ffff_ffff_ff80,
            ),
            // invvpid r10, [rsp]
            (
                64,
                b"\x66\x44\x0f\x38\x81\x14\x24",
                Reason::INVVPID,
                A64 | 2 << 15 | NO_INDEX | 4 << 23 | 10 << 28,
                0,
            ),
            // vmread [rbp], rdx; vmwrite rdx, [rbp]
            (64, b"\x0f\x78\x55\x00", Reason::VMREAD, A64 | 2 << 15 | NO_INDEX | 5 << 23 | 2 << 28, 0),
            (64, b"\x0f\x79\x55\x00", Reason::VMWRITE, A64 | 2 << 15 | NO_INDEX | 5 << 23 | 2 << 28, 0),
            // fs outsb with 32-bit addresses; insd
            (64, b"\x67\x64\x6e", Reason::IO_INSTRUCTION, A32 | 4 << 15, 0),
            (64, b"\x6d", Reason::IO_INSTRUCTION, A64, 0),
            // hlt
            (64, b"\xf4", Reason::HLT, 0, 0),
        ];
        for (bits, bytes, reason, expected, address) in rows {
            let insn = Decoder::with_ip(*bits, bytes, 0x1000, DecoderOptions::NONE).decode();
            assert_eq!(information(&insn, *reason), *expected, "{bytes:02x?}");
            assert_eq!(displacement(&insn), *address, "{bytes:02x?}");
        }
    }
}
