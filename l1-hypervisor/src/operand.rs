//! VMX instructions whose operand is in memory, and the regions that they are about.

use crate::{
    phys::{self, Phys},
    script::L1,
    vmx::{self, Raw, Report},
};
use l1_hypervisor::{memory::Memory, step};
use rig_abi::{
    layout,
    record::Outcome,
    script::{KEEP, Op, RAW, Step},
};
use x86_spec::{cr::cr4, msr};

impl L1 {
    /// VMXON, VMCLEAR or VMPTRLD of the region at `step.a`.
    pub fn region(&mut self, op: Op, step: &Step) -> Report {
        if !step::region(step.a) {
            return Report::new(Outcome::BAD_STEP);
        }
        let raw = step.flags & RAW != 0;
        if !raw && let Err(report) = self.revision(op, step) {
            return report;
        }
        if op == Op::VMXON && !raw {
            let report = self.enable();
            if !report.ok() {
                return report;
            }
        }
        let pointer = step.a;
        self.pointer(op, &raw const pointer as u64, pointer)
    }

    /// The instruction, with its operand at a linear address and the pointer that is there.
    fn pointer(&mut self, op: Op, at: u64, pointer: u64) -> Report {
        self.dirty.add(pointer, layout::PAGE);
        let report = match op {
            Op::VMXON => vmx::vmxon(at),
            Op::VMCLEAR => vmx::vmclear(at),
            _ => vmx::vmptrld(at),
        }
        .vmx();
        if report.ok() {
            match op {
                Op::VMXON => self.vmx_on = true,
                Op::VMCLEAR => self.vmcs.clear(pointer),
                _ => self.vmcs.load(pointer),
            }
        }
        report
    }

    /// Writes the revision identifier into a region. The processor's own is left out where a script may not write.
    fn revision(&mut self, op: Op, step: &Step) -> Result<(), Report> {
        let own = step.b == KEEP;
        if own && op == Op::VMPTRLD {
            return Ok(());
        }
        let revision = if own { self.caps().map_or(0, |caps| u64::from(caps.revision())) } else { step.b };
        if phys::poke(step.a, revision, 4) {
            self.dirty.add(step.a, 4);
        } else if !own {
            return Err(Report::new(Outcome::BAD_STEP));
        }
        Ok(())
    }

    /// Makes VMXON possible. SDM: "Enabling and Entering VMX Operation".
    fn enable(&mut self) -> Report {
        const LOCK: u64 = 1 << 0;
        const OUTSIDE_SMX: u64 = 1 << 2;
        let (raw, control) = vmx::rdmsr(msr::IA32_FEATURE_CONTROL);
        if raw.plain().ok() && control & LOCK == 0 {
            let _: Raw = vmx::wrmsr(msr::IA32_FEATURE_CONTROL, control | LOCK | OUTSIDE_SMX);
        }
        let old = vmx::cr0();
        let (mut new0, mut new4) = (old, vmx::cr4() | cr4::VMXE);
        if let Some(caps) = self.caps() {
            new0 = (new0 | caps.cr0_fixed0) & caps.cr0_fixed1;
            new4 = (new4 | caps.cr4_fixed0) & caps.cr4_fixed1;
        }
        if new0 != old {
            let report = vmx::set_cr0(new0).plain();
            if !report.ok() {
                return report;
            }
        }
        vmx::set_cr4(new4).plain()
    }

    /// INVEPT or INVVPID with the descriptor `step.b`, `step.c`.
    pub fn invalidate(&mut self, op: Op, step: &Step) -> Report {
        self.dirty.add(layout::OPERAND, 16);
        Phys.write(layout::OPERAND, step.b);
        Phys.write(layout::OPERAND + 8, step.c);
        if op == Op::INVEPT {
            vmx::invept(step.a, layout::OPERAND)
        } else {
            vmx::invvpid(step.a, layout::OPERAND)
        }
        .vmx()
    }

    /// VMPTRST.
    pub fn store_pointer(&mut self) -> Report {
        self.dirty.add(layout::OPERAND, 8);
        let report = vmx::vmptrst(layout::OPERAND).vmx();
        report.with(Phys.read(layout::OPERAND))
    }

    /// An instruction with its operand at the linear address `step.a`.
    pub fn with_operand_at(&mut self, step: &Step) -> Report {
        let bad = Report::new(Outcome::BAD_STEP);
        if !step::operand(step.a, phys::size()) {
            return bad;
        }
        self.dirty.add(step.a, 16);
        let op = Op(step.arg as u16);
        match op {
            _ if step.arg > u32::from(u16::MAX) => bad,
            Op::VMPTRST => vmx::vmptrst(step.a).vmx(),
            Op::INVEPT => vmx::invept(step.b, step.a).vmx(),
            Op::INVVPID => vmx::invvpid(step.b, step.a).vmx(),
            Op::VMXON | Op::VMCLEAR | Op::VMPTRLD => {
                // The processor may write to the region, wherever it is.
                let pointer = phys::peek(step.a, 8).unwrap_or(u64::MAX);
                if step::region(pointer) { self.pointer(op, step.a, pointer) } else { bad }
            }
            _ => bad,
        }
    }
}
