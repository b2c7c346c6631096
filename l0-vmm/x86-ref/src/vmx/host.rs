//! The host-state area, loaded by VM exits. SDM: "Loading Host State".

use super::{exit::Abort, guest::CR0_LOADED};
use crate::{
    Cpu, DescTable, Segment,
    cpu::{gpr, seg},
};
use x86_spec::{
    cr,
    vmx::{
        controls::Exit,
        field::{Field, Values},
    },
};

/// Access rights that VM exits force. SDM: "Loading Host Segment and Descriptor-Table Registers".
const CODE_32: u32 = 0xc09b;
const CODE_64: u32 = 0xa09b;
const DATA: u32 = 0xc093;
const BUSY_TSS: u32 = 0x008b;
const UNUSABLE: u32 = 1 << 16;
const TSS_LIMIT: u32 = 0x67;
const TABLE_LIMIT: u16 = 0xffff;
const RFLAGS_FIXED: u64 = cr::rflags::FIXED;
const DR7_RESET: u64 = cr::dr7::FIXED;
const PDPTE_PRESENT: u64 = 1;
/// Reserved in every PDPTE of PAE paging.
const PDPTE_RESERVED: u64 = 0x1e6;

fn data_segment(v: &Values, selector: Field, base: u64) -> Segment {
    let selector = v[selector] as u16;
    let rights = if selector == 0 { DATA | UNUSABLE } else { DATA };
    Segment { selector, base, limit: u32::MAX, rights }
}

impl Cpu {
    /// Loads the host state. `was_long`: the guest was in IA-32e mode.
    pub(super) fn load_host(&mut self, was_long: bool) -> Result<(), Abort> {
        let v = &self.vmx.vmcs.v;
        let exit = v[Field::VM_EXIT_CONTROLS];
        let long = exit & Exit::HOST_ADDR_SPACE_SIZE != 0;
        if was_long && !long {
            return Err(Abort::LongToLegacy);
        }
        self.cr0 = self.cr0 & !CR0_LOADED | v[Field::HOST_CR0] & CR0_LOADED;
        self.cr3 = v[Field::HOST_CR3];
        self.cr4 = match v[Field::HOST_CR4] {
            cr4 if long => cr4 | cr::cr4::PAE,
            cr4 => cr4 & !cr::cr4::PCIDE,
        };
        self.dr[7] = DR7_RESET;
        self.msr.debugctl = 0;
        self.msr.sysenter_cs = v[Field::HOST_IA32_SYSENTER_CS];
        self.msr.sysenter_esp = v[Field::HOST_IA32_SYSENTER_ESP];
        self.msr.sysenter_eip = v[Field::HOST_IA32_SYSENTER_EIP];
        if exit & Exit::LOAD_IA32_EFER != 0 {
            self.msr.efer = v[Field::HOST_IA32_EFER];
        }
        let ia32e = cr::efer::LME | cr::efer::LMA;
        self.msr.efer = self.msr.efer & !ia32e | if long { ia32e } else { 0 };
        if exit & Exit::LOAD_IA32_PAT != 0 {
            self.msr.pat = v[Field::HOST_IA32_PAT];
        }
        if exit & Exit::LOAD_IA32_PERF_GLOBAL_CTRL != 0 {
            self.msr.perf_global_ctrl = v[Field::HOST_IA32_PERF_GLOBAL_CTRL];
        }
        if exit & Exit::CLEAR_BNDCFGS != 0 {
            self.msr.bndcfgs = 0;
        }
        self.load_host_protection();
        self.load_host_segments(long);
        self.rip = self.vmx.vmcs.v[Field::HOST_RIP];
        self.r[gpr::RSP] = self.vmx.vmcs.v[Field::HOST_RSP];
        self.cpl = 0;
        self.set_rflags(RFLAGS_FIXED);
        if self.pae_paging() { self.load_host_pdptrs() } else { Ok(()) }
    }

    fn load_host_segments(&mut self, long: bool) {
        let v = &self.vmx.vmcs.v;
        let code = if long { CODE_64 } else { CODE_32 };
        self.seg[seg::CS] =
            Segment { selector: v[Field::HOST_CS_SELECTOR] as u16, base: 0, limit: u32::MAX, rights: code };
        self.seg[seg::SS] = data_segment(v, Field::HOST_SS_SELECTOR, 0);
        self.seg[seg::DS] = data_segment(v, Field::HOST_DS_SELECTOR, 0);
        self.seg[seg::ES] = data_segment(v, Field::HOST_ES_SELECTOR, 0);
        self.seg[seg::FS] = data_segment(v, Field::HOST_FS_SELECTOR, v[Field::HOST_FS_BASE]);
        self.seg[seg::GS] = data_segment(v, Field::HOST_GS_SELECTOR, v[Field::HOST_GS_BASE]);
        self.tr = Segment {
            selector: v[Field::HOST_TR_SELECTOR] as u16,
            base: v[Field::HOST_TR_BASE],
            limit: TSS_LIMIT,
            rights: BUSY_TSS,
        };
        self.ldtr = Segment { selector: 0, base: 0, limit: 0, rights: UNUSABLE };
        self.gdtr = DescTable { base: v[Field::HOST_GDTR_BASE], limit: TABLE_LIMIT };
        self.idtr = DescTable { base: v[Field::HOST_IDTR_BASE], limit: TABLE_LIMIT };
    }

    /// PDPTEs of a host with PAE paging. SDM: "Checking and Loading Host Page-Directory-Pointer-Table Entries".
    fn load_host_pdptrs(&mut self) -> Result<(), Abort> {
        let reserved = PDPTE_RESERVED | self.profile.caps.beyond_physical();
        for n in 0..4 {
            let entry = self.read_pdpte(n);
            if entry & PDPTE_PRESENT != 0 && entry & reserved != 0 {
                return Err(Abort::HostPdptes);
            }
            self.pdptr[n as usize & 3] = entry;
        }
        Ok(())
    }
}
