//! The VMX instructions but for VMREAD, VMWRITE (`access`), INVEPT, INVVPID, VMFUNC (`ept`), VMLAUNCH and VMRESUME (`entry`).
//!
//! SDM: "VMX Instruction Reference", whose order of checks is kept: #UD, VM exit, #GP, VMfail.

use super::{NO_POINTER, bits, vmcs};
use crate::{
    Cpu,
    exec::Handler,
    fault::{Exec, Why},
    flags::Flags,
};
use iced_x86::{Instruction, Mnemonic};
use x86_spec::{
    cr,
    vmx::{
        controls::{Proc2, Word},
        error::InstructionError,
        exit::Reason,
        field::Field,
    },
};

/// VMXON and VMCS regions are aligned to this.
const REGION_ALIGN: u64 = 0xfff;

/// The handler of a VMX instruction.
pub(crate) fn find(insn: &Instruction) -> Option<Handler> {
    Some(match insn.mnemonic() {
        Mnemonic::Vmxon => Cpu::vmxon,
        Mnemonic::Vmxoff => Cpu::vmxoff,
        Mnemonic::Vmclear => Cpu::vmclear,
        Mnemonic::Vmptrld => Cpu::vmptrld,
        Mnemonic::Vmptrst => Cpu::vmptrst,
        Mnemonic::Vmread => Cpu::vmread,
        Mnemonic::Vmwrite => Cpu::vmwrite,
        Mnemonic::Vmlaunch => Cpu::vmlaunch,
        Mnemonic::Vmresume => Cpu::vmresume,
        Mnemonic::Vmcall => Cpu::vmcall,
        Mnemonic::Vmfunc => Cpu::vmfunc,
        Mnemonic::Invept => Cpu::invept,
        Mnemonic::Invvpid => Cpu::invvpid,
        _ => return None,
    })
}

impl Cpu {
    /// #UD outside VMX operation, in real-address mode, virtual-8086 mode and compatibility mode.
    pub(super) fn vmx_insn_ud(&mut self) -> Exec {
        if !self.vmx.on || self.vmx_insn_wrong_mode() {
            return Err(self.ud());
        }
        Ok(())
    }

    /// Real-address mode, virtual-8086 mode and compatibility mode know no VMX instructions.
    fn vmx_insn_wrong_mode(&self) -> bool {
        self.cr0 & cr::cr0::PE == 0
            || self.sysflags & cr::rflags::VM != 0
            || (self.msr.efer & cr::efer::LMA != 0 && !self.long64())
    }

    /// #GP(0) above privilege level 0.
    pub(super) fn vmx_insn_cpl(&mut self) -> Exec {
        if self.cpl > 0 { Err(self.gp(0)) } else { Ok(()) }
    }

    /// #UD, or the VM exit of non-root operation, or #GP.
    pub(super) fn vmx_insn(&mut self, insn: &Instruction, reason: Reason) -> Exec {
        self.vmx_insn_ud()?;
        if self.vmx.non_root {
            return self.insn_exit_info(insn, reason);
        }
        self.vmx_insn_cpl()
    }

    /// VMsucceed.
    pub(super) fn vm_succeed(&mut self) -> Exec {
        self.flags = Flags::from_bits(0);
        Ok(())
    }

    /// VMfailInvalid.
    pub(super) fn vm_fail_invalid(&mut self) -> Exec {
        self.flags = Flags::from_bits(cr::rflags::CF);
        Ok(())
    }

    /// VMfail: VMfailValid with a current VMCS, VMfailInvalid without. SDM: "Conventions" of the VMX instructions.
    #[cold]
    pub(super) fn vm_fail(&mut self, error: InstructionError) -> Exec {
        if self.vmx.vmcs.pointer == NO_POINTER {
            return self.vm_fail_invalid();
        }
        self.flags = Flags::from_bits(cr::rflags::ZF);
        self.vmx.vmcs.v.set(Field::VM_INSTRUCTION_ERROR, u64::from(error.number()));
        Ok(())
    }

    /// Whether a VMX structure cannot lie there.
    fn bad_region(&self, address: u64) -> bool {
        address & REGION_ALIGN != 0 || !self.profile.caps.physical_ok(address)
    }

    fn vmxon(&mut self, insn: &Instruction) -> Exec {
        if self.vmx_insn_wrong_mode() || self.cr4 & cr::cr4::VMXE == 0 {
            return Err(self.ud());
        }
        if self.vmx.on {
            self.vmx_insn(insn, Reason::VMXON)?;
            return self.vm_fail(InstructionError::VMXON_IN_VMX_ROOT_OPERATION);
        }
        self.vmx_insn_cpl()?;
        let caps = &self.profile.caps;
        let fixed = |value, fixed0, fixed1: u64| value & fixed0 == fixed0 && value & !fixed1 == 0;
        let allowed = bits::FEATURE_CONTROL_LOCK | bits::FEATURE_CONTROL_VMX;
        if !fixed(self.cr0, caps.cr0_fixed0, caps.cr0_fixed1)
            || !fixed(self.cr4, caps.cr4_fixed0, caps.cr4_fixed1)
            || self.msr.feature_control & allowed != allowed
        {
            return Err(self.gp(0));
        }
        let address = self.read_operand(insn, 0)?;
        if self.bad_region(address) || vmcs::header(&self.mem, address) != self.profile.caps.revision() {
            return self.vm_fail_invalid();
        }
        self.vmx.on = true;
        self.vmx.vmxon = address;
        self.vm_succeed()
    }

    fn vmxoff(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn(insn, Reason::VMXOFF)?;
        // Current no more, and every other VMCS is in memory already.
        self.store_vmcs();
        self.vmx.on = false;
        self.vmx.vmxon = NO_POINTER;
        self.vm_succeed()
    }

    fn vmclear(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn(insn, Reason::VMCLEAR)?;
        let address = self.read_operand(insn, 0)?;
        if self.bad_region(address) {
            return self.vm_fail(InstructionError::VMCLEAR_INVALID_ADDRESS);
        }
        if address == self.vmx.vmxon {
            return self.vm_fail(InstructionError::VMCLEAR_VMXON_POINTER);
        }
        self.clear_vmcs(address);
        self.vm_succeed()
    }

    fn vmptrld(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn(insn, Reason::VMPTRLD)?;
        let address = self.read_operand(insn, 0)?;
        if self.bad_region(address) {
            return self.vm_fail(InstructionError::VMPTRLD_INVALID_ADDRESS);
        }
        if address == self.vmx.vmxon {
            return self.vm_fail(InstructionError::VMPTRLD_VMXON_POINTER);
        }
        let header = vmcs::header(&self.mem, address);
        let shadow_ok = self.profile.caps.allows(Word::Proc2, Proc2::SHADOW_VMCS);
        if header & !vmcs::SHADOW != self.profile.caps.revision()
            || (header & vmcs::SHADOW != 0 && !shadow_ok)
        {
            return self.vm_fail(InstructionError::VMPTRLD_INCORRECT_VMCS_REVISION_ID);
        }
        self.load_vmcs(address);
        self.vm_succeed()
    }

    fn vmptrst(&mut self, insn: &Instruction) -> Exec {
        self.vmx_insn(insn, Reason::VMPTRST)?;
        self.write_operand(insn, 0, self.vmx.vmcs.pointer)?;
        self.vm_succeed()
    }

    fn vmcall(&mut self, insn: &Instruction) -> Exec {
        if !self.vmx.on {
            return Err(self.ud());
        }
        if self.vmx.non_root {
            return self.insn_exit(insn, Reason::VMCALL, 0);
        }
        self.vmx_insn_ud()?;
        self.vmx_insn_cpl()?;
        // There is no dual-monitor treatment of SMIs that it could call.
        self.vm_fail(InstructionError::VMCALL_IN_VMX_ROOT_OPERATION)
    }

    /// Ends an instruction that has replaced the state.
    pub(super) fn vmx_switched(&mut self) -> Exec {
        Err(self.stop(Why::Switched))
    }
}
