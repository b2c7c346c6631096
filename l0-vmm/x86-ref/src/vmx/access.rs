//! VMREAD and VMWRITE.

use super::{NO_POINTER, bitmaps, vmcs};
use crate::{Cpu, exec::operand::mask, fault::Exec};
use iced_x86::Instruction;
use x86_spec::vmx::{
    controls::Proc2,
    error::InstructionError,
    exit::Reason,
    field::{Field, Kind},
};

/// An access of type "high" is to bits 63:32.
const HIGH_SHIFT: u32 = 32;

impl Cpu {
    /// Whether VMREAD or VMWRITE in non-root operation exits: it does without VMCS shadowing, and where the bitmap says so.
    /// SDM: "VMREAD: Read Field from Virtual-Machine Control Structure", "VMREAD and VMWRITE Bitmap Addresses".
    fn access_exits(&self, operand: u64, bitmap: Field) -> bool {
        self.vmx.ctl.proc2 & Proc2::SHADOW_VMCS == 0
            || operand >> 15 != 0
            || bitmaps::test_bit(&self.mem, self.vmx.vmcs.v[bitmap], operand)
    }

    /// Whether the VMCS that VMREAD and VMWRITE work on does not exist.
    fn no_target(&self) -> bool {
        if self.vmx.non_root {
            self.vmx.vmcs.v[Field::VMCS_LINK_POINTER] == NO_POINTER
        } else {
            self.vmx.vmcs.pointer == NO_POINTER
        }
    }

    /// The field that an operand names, if this processor has it.
    fn field_of(&self, operand: u64) -> Option<(Field, bool)> {
        let (field, high) = Field::from_encoding(u32::try_from(operand).ok()?)?;
        field.exists(&self.profile.caps).then_some((field, high))
    }

    fn read_vmcs(&self, field: Field) -> u64 {
        if self.vmx.non_root {
            vmcs::read_field(&self.mem, self.vmx.vmcs.v[Field::VMCS_LINK_POINTER], field)
        } else {
            self.vmx.vmcs.v[field]
        }
    }

    pub(super) fn vmread(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn_ud()?;
        let operand = self.read_operand(insn, 1)?;
        if self.vmx.non_root && self.access_exits(operand, Field::VMREAD_BITMAP) {
            return self.insn_exit_info(insn, Reason::VMREAD);
        }
        self.vmx_insn_cpl()?;
        if self.no_target() {
            return self.vm_fail_invalid();
        }
        let Some((field, high)) = self.field_of(operand) else {
            return self.vm_fail(InstructionError::UNSUPPORTED_VMCS_COMPONENT);
        };
        let value = self.read_vmcs(field);
        let value = if high { value >> HIGH_SHIFT } else { value };
        let size = if self.long64() { 8 } else { 4 };
        self.write_operand(insn, 0, value & mask(size))?;
        self.vm_succeed()
    }

    pub(super) fn vmwrite(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn_ud()?;
        let operand = self.read_operand(insn, 0)?;
        if self.vmx.non_root && self.access_exits(operand, Field::VMWRITE_BITMAP) {
            return self.insn_exit_info(insn, Reason::VMWRITE);
        }
        self.vmx_insn_cpl()?;
        if self.no_target() {
            return self.vm_fail_invalid();
        }
        let value = self.read_operand(insn, 1)?;
        let Some((field, high)) = self.field_of(operand) else {
            return self.vm_fail(InstructionError::UNSUPPORTED_VMCS_COMPONENT);
        };
        if field.kind() == Kind::ReadOnly && !self.profile.caps.vmwrite_any_field() {
            return self.vm_fail(InstructionError::VMWRITE_READ_ONLY_VMCS_COMPONENT);
        }
        // Outside 64-bit mode the source has 32 bits: a 64-bit field gets zeros above them; "high" writes its upper half only.
        let low = mask(4);
        let value = if high { self.read_vmcs(field) & low | value << HIGH_SHIFT } else { value };
        if self.vmx.non_root {
            let link = self.vmx.vmcs.v[Field::VMCS_LINK_POINTER];
            vmcs::write_field(&mut self.mem, link, field, value);
        } else if self.vmx.vmcs.v[field] != value & field.mask() {
            self.vmx.vmcs.v.set(field, value);
            self.vmx.checks.changed(field);
        }
        self.vm_succeed()
    }
}
