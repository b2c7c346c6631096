//! The guest-state area: saved by VM exits, loaded by VM entries.
//!
//! SDM: "Saving Guest State", "Loading Guest State".

use super::{bits, exit::Rf};
use crate::{
    Cpu, Segment,
    cpu::{Activity, gpr, seg},
};
use x86_spec::{
    cr,
    vmx::{
        controls::{Entry, Exit, Proc2},
        field::{Field, Values},
        segment,
    },
};

/// Selector, base, limit and access rights of a segment register.
struct SegmentFields {
    selector: Field,
    base: Field,
    limit: Field,
    rights: Field,
}

macro_rules! segment_fields {
    ($($selector:ident $base:ident $limit:ident $rights:ident;)*) => {
        [$(SegmentFields {
            selector: Field::$selector,
            base: Field::$base,
            limit: Field::$limit,
            rights: Field::$rights,
        }),*]
    };
}

/// In the order of [`seg`].
const SEGMENTS: [SegmentFields; 6] = segment_fields! {
    GUEST_ES_SELECTOR GUEST_ES_BASE GUEST_ES_LIMIT GUEST_ES_AR_BYTES;
    GUEST_CS_SELECTOR GUEST_CS_BASE GUEST_CS_LIMIT GUEST_CS_AR_BYTES;
    GUEST_SS_SELECTOR GUEST_SS_BASE GUEST_SS_LIMIT GUEST_SS_AR_BYTES;
    GUEST_DS_SELECTOR GUEST_DS_BASE GUEST_DS_LIMIT GUEST_DS_AR_BYTES;
    GUEST_FS_SELECTOR GUEST_FS_BASE GUEST_FS_LIMIT GUEST_FS_AR_BYTES;
    GUEST_GS_SELECTOR GUEST_GS_BASE GUEST_GS_LIMIT GUEST_GS_AR_BYTES;
};
const LDTR_TR: [SegmentFields; 2] = segment_fields! {
    GUEST_LDTR_SELECTOR GUEST_LDTR_BASE GUEST_LDTR_LIMIT GUEST_LDTR_AR_BYTES;
    GUEST_TR_SELECTOR GUEST_TR_BASE GUEST_TR_LIMIT GUEST_TR_AR_BYTES;
};

const PDPTRS: [Field; 4] =
    [Field::GUEST_PDPTR0, Field::GUEST_PDPTR1, Field::GUEST_PDPTR2, Field::GUEST_PDPTR3];

/// Bits of CR0 that VM entries and VM exits load; the others stay. SDM: "Loading Guest Control Registers, Debug Registers,
/// and MSRs", "Loading Host Control Registers, Debug Registers, MSRs".
pub(super) const CR0_LOADED: u64 = cr::cr0::PE
    | cr::cr0::MP
    | cr::cr0::EM
    | cr::cr0::TS
    | cr::cr0::NE
    | cr::cr0::WP
    | cr::cr0::AM
    | cr::cr0::PG;

fn load_segment(v: &Values, fields: &SegmentFields) -> Segment {
    Segment {
        selector: v[fields.selector] as u16,
        base: v[fields.base],
        limit: v[fields.limit] as u32,
        rights: v[fields.rights] as u32,
    }
}

impl Cpu {
    fn save_segment(&mut self, fields: &SegmentFields, s: Segment) {
        self.vmx_put(fields.selector, u64::from(s.selector));
        self.vmx_put(fields.base, s.base);
        self.vmx_put(fields.limit, u64::from(s.limit));
        self.vmx_put(fields.rights, u64::from(s.rights));
    }

    /// Whether paging is PAE paging.
    pub(super) fn pae_paging(&self) -> bool {
        self.cr0 & cr::cr0::PG != 0 && self.cr4 & cr::cr4::PAE != 0 && self.msr.efer & cr::efer::LMA == 0
    }

    /// Saves the guest state.
    pub(super) fn save_guest(&mut self, rf: Rf) {
        let rflags = match rf {
            Rf::Clear => self.rflags() & !cr::rflags::RF,
            Rf::Set => self.rflags() | cr::rflags::RF,
            Rf::Keep => self.rflags(),
        };
        self.vmx_put(Field::GUEST_RIP, self.rip);
        self.vmx_put(Field::GUEST_RSP, self.r[gpr::RSP]);
        self.vmx_put(Field::GUEST_RFLAGS, rflags);
        self.vmx_put(Field::GUEST_CR0, self.cr0);
        self.vmx_put(Field::GUEST_CR3, self.cr3);
        self.vmx_put(Field::GUEST_CR4, self.cr4);
        for (n, fields) in SEGMENTS.iter().enumerate() {
            self.save_segment(fields, self.seg[n]);
        }
        self.save_segment(&LDTR_TR[0], self.ldtr);
        self.save_segment(&LDTR_TR[1], self.tr);
        self.vmx_put(Field::GUEST_GDTR_BASE, self.gdtr.base);
        self.vmx_put(Field::GUEST_GDTR_LIMIT, u64::from(self.gdtr.limit));
        self.vmx_put(Field::GUEST_IDTR_BASE, self.idtr.base);
        self.vmx_put(Field::GUEST_IDTR_LIMIT, u64::from(self.idtr.limit));
        self.vmx_put(Field::GUEST_SYSENTER_CS, self.msr.sysenter_cs & Field::GUEST_SYSENTER_CS.mask());
        self.vmx_put(Field::GUEST_SYSENTER_ESP, self.msr.sysenter_esp);
        self.vmx_put(Field::GUEST_SYSENTER_EIP, self.msr.sysenter_eip);
        self.save_optional();
        self.vmx_put(Field::GUEST_ACTIVITY_STATE, self.activity as u64);
        self.vmx_put(Field::GUEST_INTERRUPTIBILITY_INFO, u64::from(self.blocking));
        self.vmx_put(Field::GUEST_PENDING_DBG_EXCEPTIONS, self.pending_dbg);
    }

    /// What only some controls save.
    fn save_optional(&mut self) {
        let exit = self.vmx.ctl.exit;
        if exit & Exit::SAVE_DEBUG_CONTROLS != 0 {
            self.vmx_put(Field::GUEST_DR7, self.dr[7]);
            self.vmx_put(Field::GUEST_IA32_DEBUGCTL, self.msr.debugctl);
        }
        if exit & Exit::SAVE_IA32_PAT != 0 {
            self.vmx_put(Field::GUEST_IA32_PAT, self.msr.pat);
        }
        if exit & Exit::SAVE_IA32_EFER != 0 {
            self.vmx_put(Field::GUEST_IA32_EFER, self.msr.efer);
        }
        if exit & Exit::SAVE_IA32_PERF_GLOBAL_CTRL != 0 {
            self.vmx_put(Field::GUEST_IA32_PERF_GLOBAL_CTRL, self.msr.perf_global_ctrl);
        }
        // Processors that can clear or load it save it at every exit.
        if Field::GUEST_BNDCFGS.exists(&self.profile.caps) {
            self.vmx_put(Field::GUEST_BNDCFGS, self.msr.bndcfgs);
        }
        self.save_guest_protection();
        if exit & Exit::SAVE_VMX_PREEMPTION_TIMER != 0 {
            self.vmx_put(Field::VMX_PREEMPTION_TIMER_VALUE, self.preemption_timer_left());
        }
        if self.profile.caps.exit_stores_lma() {
            let long = if self.msr.efer & cr::efer::LMA != 0 { Entry::IA32E_MODE } else { 0 };
            let controls = self.vmx.vmcs.v[Field::VM_ENTRY_CONTROLS];
            self.vmx_put(Field::VM_ENTRY_CONTROLS, controls & !Entry::IA32E_MODE | long);
        }
        if self.vmx.ctl.proc2 & Proc2::ENABLE_EPT != 0 && self.pae_paging() {
            for (field, entry) in PDPTRS.into_iter().zip(self.pdptr) {
                self.vmx_put(field, entry);
            }
        }
    }

    /// Loads the guest state. The rules of VM entry have been passed: nothing here can fail.
    pub(super) fn load_guest(&mut self) {
        let entry = self.vmx.ctl.entry;
        let long = entry & Entry::IA32E_MODE != 0;
        let v = &self.vmx.vmcs.v;
        self.cr0 = self.cr0 & !CR0_LOADED | v[Field::GUEST_CR0] & CR0_LOADED;
        self.cr3 = v[Field::GUEST_CR3];
        self.cr4 = v[Field::GUEST_CR4];
        if entry & Entry::LOAD_DEBUG_CONTROLS != 0 {
            self.dr[7] = self.dr7_of(v[Field::GUEST_DR7]);
            self.msr.debugctl = v[Field::GUEST_IA32_DEBUGCTL];
        }
        self.msr.sysenter_cs = v[Field::GUEST_SYSENTER_CS];
        self.msr.sysenter_esp = v[Field::GUEST_SYSENTER_ESP];
        self.msr.sysenter_eip = v[Field::GUEST_SYSENTER_EIP];
        if entry & Entry::LOAD_IA32_EFER != 0 {
            self.msr.efer = v[Field::GUEST_IA32_EFER];
        } else {
            self.msr.efer = self.msr.efer & !cr::efer::LMA | if long { cr::efer::LMA } else { 0 };
            if self.cr0 & cr::cr0::PG != 0 {
                self.msr.efer = self.msr.efer & !cr::efer::LME | if long { cr::efer::LME } else { 0 };
            }
        }
        if entry & Entry::LOAD_IA32_PAT != 0 {
            self.msr.pat = v[Field::GUEST_IA32_PAT];
        }
        if entry & Entry::LOAD_IA32_PERF_GLOBAL_CTRL != 0 {
            self.msr.perf_global_ctrl = v[Field::GUEST_IA32_PERF_GLOBAL_CTRL];
        }
        if entry & Entry::LOAD_BNDCFGS != 0 {
            self.msr.bndcfgs = v[Field::GUEST_BNDCFGS];
        }
        for (n, fields) in SEGMENTS.iter().enumerate() {
            self.seg[n] = load_segment(v, fields);
        }
        self.ldtr = load_segment(v, &LDTR_TR[0]);
        self.tr = load_segment(v, &LDTR_TR[1]);
        self.gdtr.base = v[Field::GUEST_GDTR_BASE];
        self.gdtr.limit = v[Field::GUEST_GDTR_LIMIT] as u16;
        self.idtr.base = v[Field::GUEST_IDTR_BASE];
        self.idtr.limit = v[Field::GUEST_IDTR_LIMIT] as u16;
        self.rip = v[Field::GUEST_RIP];
        self.r[gpr::RSP] = v[Field::GUEST_RSP];
        let rflags = v[Field::GUEST_RFLAGS];
        self.cpl = match () {
            () if self.cr0 & cr::cr0::PE == 0 => 0,
            () if rflags & cr::rflags::VM != 0 => 3,
            () => segment::dpl(self.seg[seg::SS].rights),
        };
        self.set_rflags(rflags);
        self.load_guest_protection();
        self.load_guest_non_register();
        self.load_guest_pdptrs();
    }

    fn load_guest_non_register(&mut self) {
        let v = &self.vmx.vmcs.v;
        self.activity = match v[Field::GUEST_ACTIVITY_STATE] {
            0 => Activity::Active,
            1 => Activity::Hlt,
            2 => Activity::Shutdown,
            _ => Activity::WaitForSipi,
        };
        self.blocking = v[Field::GUEST_INTERRUPTIBILITY_INFO] as u32 & (bits::SHADOW | bits::BLOCKED_BY_NMI);
        self.pending_dbg = v[Field::GUEST_PENDING_DBG_EXCEPTIONS];
    }

    /// PDPTEs of a guest with PAE paging: from the VMCS under EPT, else from memory (which the rules have looked at).
    fn load_guest_pdptrs(&mut self) {
        if !self.pae_paging() {
            return;
        }
        for (n, field) in PDPTRS.into_iter().enumerate() {
            self.pdptr[n] = if self.vmx.ctl.proc2 & Proc2::ENABLE_EPT != 0 {
                self.vmx.vmcs.v[field]
            } else {
                self.read_pdpte(n as u64)
            };
        }
    }

    /// A PDPTE from physical memory, by CR3.
    pub(super) fn read_pdpte(&self, n: u64) -> u64 {
        /// A page-directory-pointer table of PAE paging is aligned to 32 bytes below 4 GiB.
        const TABLE: u64 = 0xffff_ffe0;
        self.mem.phys_read((self.cr3 & TABLE) + 8 * n).map_or(0, u64::from_le_bytes)
    }

    /// Whether the VM exits of NMIs and the like apply, by a bit of the pin-based controls.
    #[inline]
    pub(super) fn pin(&self, bit: u64) -> bool {
        self.vmx.ctl.pin & bit != 0
    }
}
