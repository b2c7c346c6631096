//! The start of a case: everything as the case before found it, then the prologue.

use crate::{
    entry,
    phys::{self, Phys},
    record,
    script::L1,
    start, trap,
    vmx::{self, Raw, Report},
};
use l1_hypervisor::{
    l2, step,
    vmcs::{self, Host},
};
use rig_abi::{
    layout::{self, PAGE},
    record::{CaseRecord, Kind, Outcome},
    script::{KEEP, Mode, Op, Start, Step},
};
use x86_spec::{msr, vmx::ept::invalidate};

/// MSRs of the host-state area, kept until a step changes an MSR.
#[derive(Clone, Copy)]
pub struct HostMsrs {
    sysenter: [u64; 3],
    efer: u64,
    pat: u64,
}

impl L1 {
    /// Does a step of kind CASE and leaves its record.
    pub fn case(&mut self, step: &Step) {
        self.reset();
        let mut op = 0;
        let mut report = Report::new(Outcome::OK);
        match step::case(step) {
            Some((mode, start)) => {
                for part in [Op::VMXON, Op::VMCLEAR, Op::VMPTRLD, Op::SETUP] {
                    let needed = match part {
                        Op::VMXON => Start::VMXON,
                        Op::SETUP => Start::L2,
                        _ => Start::VMCS,
                    };
                    if start.0 < needed.0 {
                        break;
                    }
                    report = self.prologue(part, mode, step.a);
                    if !report.ok() {
                        op = part.0;
                        break;
                    }
                }
            }
            None => (report, op) = (Report::new(Outcome::BAD_STEP), Op::CASE.0),
        }
        self.skip = !report.ok();
        let failed = self.skip;
        let error = if report.outcome == Outcome::EXCEPTION {
            report.error << 8 | report.vector
        } else {
            report.error
        };
        let outcome = if failed { report.outcome } else { Outcome::OK }.0;
        record::append(Kind::CASE, &CaseRecord { case: step.arg, outcome, error, op: u32::from(op) });
    }

    fn prologue(&mut self, op: Op, mode: Mode, entry: u64) -> Report {
        let a = if op == Op::VMXON { layout::VMXON_REGION } else { layout::VMCS_0 };
        let report = match op {
            Op::SETUP => self.setup(mode, entry),
            _ => self.region(op, &Step { a, b: KEEP, ..Step::default() }),
        };
        if op == Op::VMXON && report.ok() {
            self.forget_translations();
        }
        report
    }

    /// What the last case left in the TLBs says nothing about this one. (VMXON and VMXOFF keep it.)
    fn forget_translations(&mut self) {
        let Some(caps) = self.caps() else { return };
        phys::fill(layout::OPERAND, 0, invalidate::DESCRIPTOR);
        if caps.invept() && caps.invept_global() {
            let _: Raw = vmx::invept(invalidate::ALL_CONTEXTS, layout::OPERAND);
        }
        if caps.invvpid() && caps.invvpid_all() {
            let _: Raw = vmx::invvpid(invalidate::ALL_CONTEXTS, layout::OPERAND);
        }
    }

    /// Undoes what the steps of the last case did.
    fn reset(&mut self) {
        if self.vmx_on {
            // What the processor holds of a VMCS goes back to memory before the memory is used again.
            for at in [Some(layout::VMCS_0), Some(layout::VMCS_1), Some(layout::VMCS_2), self.vmcs.current()]
            {
                if let Some(at) = at
                    && self.dirty.any(at, PAGE)
                {
                    let _: Raw = vmx::vmclear(&raw const at as u64);
                }
            }
            let _: Raw = vmx::vmxoff();
        }
        self.vmx_on = false;
        self.vmcs = l1_hypervisor::state::Launched::new();
        while let Some((index, old)) = self.saved.pop() {
            let _: Raw = vmx::wrmsr(index, old);
            self.host_msrs = None;
        }
        if vmx::cr3() != self.cr3 {
            vmx::set_cr3(self.cr3);
        }
        if vmx::cr4() != self.cr4 {
            let _: Raw = vmx::set_cr4(self.cr4);
        }
        if vmx::cr0() != self.cr0 {
            let _: Raw = vmx::set_cr0(self.cr0);
        }
        self.reset_memory();
        *entry::registers() = [0; 16];
        self.answers.reset();
    }

    fn reset_memory(&mut self) {
        if self.dirty.any(layout::EPT, 64 * PAGE) {
            self.ept_built = false;
        }
        let mut low = self.l2_ran;
        self.dirty.drain(|page| {
            low |= page < layout::L1_IMAGE;
            phys::fill(page, 0, PAGE);
        });
        if low {
            // L2's own memory: what it or a step may have changed.
            phys::fill(layout::L2_DATA, 0, 0x4000);
            phys::fill(layout::L2_STACK, 0, 0x2000);
            phys::copy(layout::L2_IMAGE, self.boot.l2, self.boot.l2_len.min(layout::L2_IMAGE_MAX));
            self.tables = None;
        }
        self.l2_ran = false;
    }

    /// Writes the default state for a mode into the current VMCS, and what L2 needs into its memory.
    pub fn setup(&mut self, mode: Mode, entry: u64) -> Report {
        if let Err(outcome) = self.build_ept() {
            return Report::new(outcome);
        }
        if self.tables != Some(mode) {
            l2::prepare(&mut Phys, mode);
            self.tables = Some(mode);
        }
        let host = self.host();
        let caps = self.caps().unwrap_or_default();
        let done = vmcs::setup(mode, entry, &host, &caps, Report::new(Outcome::BAD_STEP), |field, value| {
            let mut report = vmx::write(field, value);
            if report.ok() {
                return Ok(());
            }
            report.values[0] = u64::from(field.encoding());
            Err(report)
        });
        done.err().unwrap_or(Report::new(Outcome::VM_SUCCEED))
    }

    /// Builds the default EPT, unless it is there.
    pub fn build_ept(&mut self) -> Result<(), Outcome> {
        if !self.ept_built {
            let large = self.caps().is_none_or(|caps| caps.ept_2m());
            self.ept.identity(&mut Phys, phys::size().min(layout::RAM_SIZE), large)?;
            self.ept_built = true;
        }
        Ok(())
    }

    fn host(&mut self) -> Host {
        let msrs = *self.host_msrs.get_or_insert_with(|| {
            let [cs, esp, eip, efer, pat] = [
                msr::IA32_SYSENTER_CS,
                msr::IA32_SYSENTER_ESP,
                msr::IA32_SYSENTER_EIP,
                msr::IA32_EFER,
                msr::IA32_PAT,
            ]
            .map(|index| vmx::rdmsr(index).1);
            HostMsrs { sysenter: [cs, esp, eip], efer, pat }
        });
        let (tr_base, gdtr) = start::tables();
        let (rsp, rip) = entry::host();
        Host {
            cr0: vmx::cr0(),
            cr3: vmx::cr3(),
            cr4: vmx::cr4(),
            cs: start::selector::CODE,
            data: start::selector::DATA,
            tr: start::selector::TSS,
            fs_base: 0,
            gs_base: 0,
            tr_base,
            gdtr,
            idtr: trap::idt(),
            sysenter: msrs.sysenter,
            efer: msrs.efer,
            pat: msrs.pat,
            rsp,
            rip,
        }
    }
}
