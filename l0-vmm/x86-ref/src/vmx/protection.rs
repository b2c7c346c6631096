//! CET state and IA32_PKRS across VM entries and VM exits. SDM: "Loading Guest State", "Saving Guest State", "Loading Host State".

use super::Controls;
use crate::{Cpu, exec::cet::ENABLES};
use x86_spec::{
    cr::cr4,
    vmx::{
        controls::{Entry, Exit, Word},
        field::Field,
    },
};

/// A guest or a host, as the VMCS describes it: CR4, and what is loaded with it.
struct Side {
    cr4: u64,
    s_cet: Option<u64>,
    pkrs: Option<u64>,
}

impl Cpu {
    /// Whether guest or host would have a feature turned on that is not modelled.
    pub(super) fn protection_not_modelled(&self, c: &Controls) -> Option<&'static str> {
        let v = &self.vmx.vmcs.v;
        let guest = Side {
            cr4: v[Field::GUEST_CR4],
            s_cet: (c.entry & Entry::LOAD_CET_STATE != 0).then_some(v[Field::GUEST_S_CET]),
            pkrs: (c.entry & Entry::LOAD_PKRS != 0).then_some(v[Field::GUEST_IA32_PKRS]),
        };
        let host = Side {
            cr4: v[Field::HOST_CR4],
            s_cet: (c.exit & Exit::LOAD_CET_STATE != 0).then_some(v[Field::HOST_S_CET]),
            pkrs: (c.exit & Exit::LOAD_PKRS != 0).then_some(v[Field::HOST_IA32_PKRS]),
        };
        for side in [guest, host] {
            let cet = side.s_cet.unwrap_or(self.msr.cet.supervisor) | self.msr.cet.user;
            if side.cr4 & cr4::CET != 0 && cet & ENABLES != 0 {
                return Some("shadow stacks or indirect-branch tracking");
            }
            if side.cr4 & cr4::PKS != 0 && side.pkrs.unwrap_or(self.msr.pkrs) != 0 {
                return Some("protection keys of supervisor pages");
            }
        }
        None
    }

    pub(super) fn load_guest_protection(&mut self) {
        let (entry, v) = (self.vmx.ctl.entry, &self.vmx.vmcs.v);
        if entry & Entry::LOAD_CET_STATE != 0 {
            self.msr.cet.supervisor = v[Field::GUEST_S_CET];
            self.msr.cet.ssp = v[Field::GUEST_SSP];
            self.msr.cet.table = v[Field::GUEST_INTR_SSP_TABLE];
        }
        if entry & Entry::LOAD_PKRS != 0 {
            self.msr.pkrs = v[Field::GUEST_IA32_PKRS];
        }
    }

    /// Processors that can load it save it at every exit.
    pub(super) fn save_guest_protection(&mut self) {
        let caps = &self.profile.caps;
        let pkrs = caps.allows(Word::Entry, Entry::LOAD_PKRS);
        if caps.allows(Word::Entry, Entry::LOAD_CET_STATE) {
            self.vmx_put(Field::GUEST_S_CET, self.msr.cet.supervisor);
            self.vmx_put(Field::GUEST_SSP, self.msr.cet.ssp);
            self.vmx_put(Field::GUEST_INTR_SSP_TABLE, self.msr.cet.table);
        }
        if pkrs {
            self.vmx_put(Field::GUEST_IA32_PKRS, self.msr.pkrs);
        }
    }

    pub(super) fn load_host_protection(&mut self) {
        let v = &self.vmx.vmcs.v;
        let exit = v[Field::VM_EXIT_CONTROLS];
        if exit & Exit::LOAD_CET_STATE != 0 {
            self.msr.cet.supervisor = v[Field::HOST_S_CET];
            self.msr.cet.ssp = v[Field::HOST_SSP];
            self.msr.cet.table = v[Field::HOST_INTR_SSP_TABLE];
        }
        if exit & Exit::LOAD_PKRS != 0 {
            self.msr.pkrs = v[Field::HOST_IA32_PKRS];
        }
    }
}
