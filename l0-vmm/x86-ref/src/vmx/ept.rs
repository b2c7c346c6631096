//! Address spaces of guests: EPT and VPID, INVEPT, INVVPID, VMFUNC. SDM: "VMX Support for Address Translation".

use crate::{
    Cpu,
    cpu::gpr,
    exec::operand::seg_number,
    fault::Exec,
    mem::{ContextKey, Mode, ept::EptState},
};
use iced_x86::Instruction;
use x86_spec::{
    cr::{cr0, cr4, efer},
    vmx::{
        controls::{Proc2, Word},
        ept,
        error::InstructionError,
        exit::Reason,
        field::Field,
    },
};

const VMFUNC_EPTP_SWITCHING: u64 = 0;
const VM_FUNCTIONS: u64 = 64;
const EPTP_LIST_ENTRIES: u64 = 512;

/// What address spaces under an EPTP are tagged with: bits 51:12, and a bit that keeps them apart from those without EPT.
fn ept_tag(eptp: u64) -> u64 {
    const EPT: u64 = 1;
    eptp & ept::ADDRESS | EPT
}

/// What a processor's translations depend on that an address space's tags do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Space {
    cr3: u64,
    mode: u64,
    /// What VM entry set up for EPT, and the APIC-access page.
    ept: EptState,
    apic: Option<u64>,
}

/// Address spaces that are remembered.
const SPACES: usize = 8;

/// The control registers under which address spaces were used last. Our translations hold what hardware asks the control
/// registers for at each use, so an address space that is used under others is flushed; so is one whose CR3 has changed,
/// which the manual allows (and hardware tags by PCID only).
#[derive(Debug, Default)]
pub(super) struct Spaces {
    current: ContextKey,
    last: [(ContextKey, Space); SPACES],
    next: usize,
}

impl Spaces {
    /// Notes the use of an address space; whether it was used like this before.
    fn note(&mut self, key: ContextKey, space: Space) -> bool {
        if let Some((_, last)) = self.last.iter_mut().find(|(k, _)| *k == key) {
            let same = *last == space;
            *last = space;
            return same;
        }
        self.next = (self.next + 1) % SPACES;
        self.last[self.next % SPACES] = (key, space);
        false
    }
}

impl Cpu {
    /// The address space of the guest whose state has just been loaded becomes the current one.
    ///
    /// Without VPIDs no translation outlives the transition. SDM: "Operations that Invalidate Cached Mappings".
    pub(super) fn enter_context(&mut self) {
        let v = &self.vmx.vmcs.v;
        let mut key = ContextKey::default();
        if self.vmx.ctl.proc2 & Proc2::ENABLE_VPID != 0 {
            key.vpid = v[Field::VIRTUAL_PROCESSOR_ID] as u16;
        }
        if self.vmx.ctl.proc2 & Proc2::ENABLE_EPT != 0 {
            let eptp = v[Field::EPT_POINTER];
            let caps = &self.profile.caps;
            key.ept_root = ept_tag(eptp);
            self.mem.ept = EptState {
                enabled: true,
                root: eptp & ept::ADDRESS,
                levels: ((eptp & ept::eptp::WALK) >> ept::eptp::WALK_SHIFT) as u32 + 1,
                accessed_dirty: eptp & ept::eptp::ACCESSED_DIRTY != 0,
                mode_based_execute: self.vmx.ctl.proc2 & Proc2::MODE_BASED_EPT_EXEC != 0,
                execute_only: caps.ept_execute_only(),
                huge_pages: caps.ept_1g(),
                advanced: caps.ept_advanced_exit_info(),
                violation_exceptions: self.vmx.ctl.proc2 & Proc2::EPT_VIOLATION_VE != 0,
                log: self.vmx.ctl.proc2 & Proc2::ENABLE_PML != 0,
                sub_pages: self.vmx.ctl.proc2 & Proc2::SPP != 0,
            };
        }
        self.mem.apic_page = self.apic_access_page();
        self.go_to_space(key);
    }

    /// Before the control registers change with VM entry or VM exit.
    pub(super) fn note_space(&mut self) {
        let space = self.space();
        self.vmx.spaces.note(self.vmx.spaces.current, space);
    }

    /// Back to the host's translations (VPID 0000H, no EPT).
    pub(super) fn leave_context(&mut self) {
        self.mem.ept = EptState::default();
        self.mem.apic_page = None;
        self.go_to_space(ContextKey::default());
    }

    /// Makes an address space the current one, after the control registers have been loaded.
    fn go_to_space(&mut self, key: ContextKey) {
        let space = self.space();
        let same = self.vmx.spaces.note(key, space);
        self.vmx.spaces.current = key;
        self.mem.switch_context(key);
        if !self.vmx.keeps_translations {
            self.mem.flush_contexts(|k| k.vpid == 0);
        } else if !same {
            self.mem.flush_context(key);
        }
    }

    /// What our TLBs have worked into their translations, and hardware looks at when it uses one.
    fn space(&self) -> Space {
        /// Bits of CR0, CR4 and IA32_EFER that decide about rights or about the format of the paging structures.
        const CR0: u64 = cr0::WP | cr0::PG | cr0::PE;
        const CR4: u64 = cr4::PSE | cr4::PAE | cr4::SMEP | cr4::SMAP | cr4::LA57 | cr4::PKE;
        const EFER: u64 = efer::NXE | efer::LMA;
        let mode = self.cr0 & CR0 | (self.cr4 & CR4) << 32 | self.msr.efer & EFER;
        Space { cr3: self.cr3, mode, ept: self.mem.ept, apic: self.mem.apic_page }
    }

    /// The 128-bit descriptor of INVEPT and INVVPID.
    fn invalidate_descriptor(&mut self, insn: &Instruction) -> Exec<(u64, u64)> {
        let segment = seg_number(insn.memory_segment());
        let linear = self.linear(segment, self.effective_address(insn), 16, false)?;
        let mut bytes = [0; 16];
        self.read_linear_bytes(linear, &mut bytes, Mode::Data)?;
        let whole = u128::from_le_bytes(bytes);
        Ok((whole as u64, (whole >> 64) as u64))
    }

    pub(super) fn invept(&mut self, insn: &Instruction) -> Exec {
        if !self.profile.caps.allows(Word::Proc2, Proc2::ENABLE_EPT) || !self.profile.caps.invept() {
            return Err(self.ud());
        }
        self.vmx_insn(insn, Reason::INVEPT)?;
        let kind = self.reg(insn.op0_register());
        let (eptp, _) = self.invalidate_descriptor(insn)?;
        if !self.profile.caps.invept_type(kind)
            || (kind == ept::invalidate::SINGLE_CONTEXT && !self.eptp_ok(eptp))
        {
            return self.vm_fail(InstructionError::INVALID_OPERAND_TO_INVEPT_INVVPID);
        }
        let tag = ept_tag(eptp);
        self.mem.flush_contexts(|k| {
            k.ept_root != 0 && (kind != ept::invalidate::SINGLE_CONTEXT || k.ept_root == tag)
        });
        self.vm_succeed()
    }

    pub(super) fn invvpid(&mut self, insn: &Instruction) -> Exec {
        if !self.profile.caps.allows(Word::Proc2, Proc2::ENABLE_VPID) || !self.profile.caps.invvpid() {
            return Err(self.ud());
        }
        self.vmx_insn(insn, Reason::INVVPID)?;
        let kind = self.reg(insn.op0_register());
        let (low, linear) = self.invalidate_descriptor(insn)?;
        let vpid = low & 0xffff;
        let bad = !self.profile.caps.invvpid_type(kind)
            || low >> 16 != 0
            || (kind != ept::invalidate::ALL_CONTEXTS && vpid == 0)
            || (kind == ept::invalidate::INDIVIDUAL_ADDRESS && !self.canonical(linear));
        if bad {
            return self.vm_fail(InstructionError::INVALID_OPERAND_TO_INVEPT_INVVPID);
        }
        // Single addresses are not looked for in other address spaces: more is flushed than the manual asks for, as it allows.
        self.mem.flush_contexts(|k| {
            k.vpid != 0 && (kind == ept::invalidate::ALL_CONTEXTS || k.vpid == vpid as u16)
        });
        self.vm_succeed()
    }

    /// Whether VM entry would take that EPT pointer. SDM: "VM-Execution Control Fields" of "Checks on VMX Controls".
    fn eptp_ok(&self, eptp: u64) -> bool {
        use ept::{eptp as bits, memory_type};
        let caps = &self.profile.caps;
        let memory = match eptp & bits::MEMORY_TYPE {
            memory_type::UC => caps.ept_memory_uc(),
            memory_type::WB => caps.ept_memory_wb(),
            _ => false,
        };
        let walk = match (eptp & bits::WALK) >> bits::WALK_SHIFT {
            3 => caps.ept_walk_4(),
            4 => caps.ept_walk_5(),
            _ => false,
        };
        memory
            && walk
            && (eptp & bits::ACCESSED_DIRTY == 0 || caps.ept_accessed_dirty())
            && (eptp & bits::SUPERVISOR_SHADOW_STACK == 0 || caps.ept_supervisor_shadow_stack())
            && eptp & (bits::RESERVED_LOW | caps.beyond_physical()) == 0
    }

    pub(super) fn vmfunc(&mut self, insn: &Instruction) -> Exec {
        let function = self.r[gpr::RAX] & 0xffff_ffff;
        if !self.vmx.non_root || self.vmx.ctl.proc2 & Proc2::ENABLE_VMFUNC == 0 || function >= VM_FUNCTIONS {
            return Err(self.ud());
        }
        let enabled = self.vmx.vmcs.v[Field::VM_FUNCTION_CONTROL] >> function & 1 != 0;
        let index = self.r[gpr::RCX] & 0xffff_ffff;
        if !enabled || function != VMFUNC_EPTP_SWITCHING || index >= EPTP_LIST_ENTRIES {
            return self.insn_exit(insn, Reason::VMFUNC, 0);
        }
        let at = self.vmx.vmcs.v[Field::EPTP_LIST_ADDRESS].wrapping_add(8 * index);
        let eptp = self.mem.phys_read(at).map_or(u64::MAX, u64::from_le_bytes);
        if !self.eptp_ok(eptp) {
            return self.insn_exit(insn, Reason::VMFUNC, 0);
        }
        self.note_space();
        self.vmx_put(Field::EPT_POINTER, eptp);
        if self.vmx.ctl.proc2 & Proc2::EPT_VIOLATION_VE != 0 {
            self.vmx_put(Field::EPTP_INDEX, index);
        }
        self.enter_context();
        Ok(())
    }
}
