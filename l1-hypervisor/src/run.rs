//! Launch, resume and the run loop.

use crate::{
    entry,
    handlers::{self, Next},
    record,
    script::L1,
    vmx::{self, Report},
};
use rig_abi::{
    record::{ExitRecord, Kind, Outcome, RunEnd, RunRecord},
    script::{COUNT_ONLY, QUIET, Step},
};
use x86_spec::vmx::{
    exit::{ENTRY_FAILURE_BIT, Reason},
    field::Field,
};

impl L1 {
    /// Does a step of kind LAUNCH or RESUME.
    pub fn launch(&mut self, step: &Step, resume: bool) {
        match self.enter(resume) {
            Ok(reason) if step.flags & QUIET == 0 => self.record_exit(reason, resume),
            Ok(_) => {}
            Err(report) => self.report(step, report),
        }
    }

    /// Does a step of kind RUN.
    pub fn run(&mut self, step: &Step) {
        if step.a == 0 {
            return self.report(step, Report::new(Outcome::BAD_STEP));
        }
        let silent = step.flags & (COUNT_ONLY | QUIET) != 0;
        let mut run = RunRecord {
            exits: 0,
            end: RunEnd::BOUND.0,
            outcome: Outcome::VM_SUCCEED.0,
            error: 0,
            reasons: 80,
            counts: [0; 80],
        };
        while run.exits < step.a {
            let resume = self.vmcs.is_launched();
            let reason = match self.enter(resume) {
                Ok(reason) => reason,
                Err(report) => {
                    run.end = RunEnd::NO_ENTRY.0;
                    run.outcome = report.outcome.0;
                    run.error = report.error;
                    break;
                }
            };
            run.exits += 1;
            let basic = Reason::of(reason);
            if let Some(count) = run.counts.get_mut(usize::from(basic.0)) {
                *count += 1;
            }
            // The record shows the state before the handler.
            if !silent {
                self.record_exit(reason, resume);
            }
            let stop = basic.0 < 64 && step.b >> basic.0 & 1 != 0;
            let handled = !stop && reason & ENTRY_FAILURE_BIT == 0 && self.handle(basic);
            if !handled {
                if silent {
                    self.record_exit(reason, resume);
                }
                run.end = if stop { RunEnd::STOP.0 } else { RunEnd::UNHANDLED.0 };
                break;
            }
        }
        record::append(Kind::RUN, &run);
    }

    /// Enters L2. The exit reason, or how the instruction failed.
    fn enter(&mut self, resume: bool) -> Result<u32, Report> {
        self.l2_ran = true;
        if let Some(raw) = entry::run(resume) {
            return Err(raw.vmx());
        }
        let reason = vmx::read(Field::VM_EXIT_REASON) as u32;
        if reason & ENTRY_FAILURE_BIT == 0 {
            self.vmcs.entered();
        }
        Ok(reason)
    }

    fn record_exit(&mut self, reason: u32, resume: bool) {
        let caps = self.caps().unwrap_or_default();
        // A failed VMREAD would leave its own VM-instruction error.
        let read = |field: Field| if field.exists(&caps) { vmx::read(field) } else { 0 };
        let rsp = read(Field::GUEST_RSP);
        let mut regs = *entry::registers();
        regs[4] = rsp;
        let exit = ExitRecord {
            reason,
            intr_info: read(Field::VM_EXIT_INTR_INFO) as u32,
            intr_error: read(Field::VM_EXIT_INTR_ERROR_CODE) as u32,
            idt_info: read(Field::IDT_VECTORING_INFO_FIELD) as u32,
            idt_error: read(Field::IDT_VECTORING_ERROR_CODE) as u32,
            insn_len: read(Field::VM_EXIT_INSTRUCTION_LEN) as u32,
            insn_info: read(Field::VMX_INSTRUCTION_INFO) as u32,
            entry_intr_info: read(Field::VM_ENTRY_INTR_INFO_FIELD) as u32,
            interruptibility: read(Field::GUEST_INTERRUPTIBILITY_INFO) as u32,
            activity: read(Field::GUEST_ACTIVITY_STATE) as u32,
            cs: read(Field::GUEST_CS_SELECTOR) as u32,
            launched: u32::from(!resume),
            qualification: read(Field::EXIT_QUALIFICATION),
            linear: read(Field::GUEST_LINEAR_ADDRESS),
            physical: read(Field::GUEST_PHYSICAL_ADDRESS),
            rip: read(Field::GUEST_RIP),
            cs_base: read(Field::GUEST_CS_BASE),
            rsp,
            rflags: read(Field::GUEST_RFLAGS),
            cr0: read(Field::GUEST_CR0),
            cr3: read(Field::GUEST_CR3),
            cr4: read(Field::GUEST_CR4),
            pending_dbg: read(Field::GUEST_PENDING_DBG_EXCEPTIONS),
            efer: read(Field::GUEST_IA32_EFER),
            regs,
        };
        record::append(Kind::EXIT, &exit);
    }

    /// Handles an exit; false if there is no handler, or it cannot.
    fn handle(&mut self, reason: Reason) -> bool {
        let Some(handler) = handlers::of(reason) else { return false };
        match handler(self) {
            Next::Advance => {
                let rip = vmx::read(Field::GUEST_RIP).wrapping_add(vmx::read(Field::VM_EXIT_INSTRUCTION_LEN));
                vmx::write(Field::GUEST_RIP, rip).ok()
            }
            Next::Again => true,
            Next::Stop => false,
        }
    }
}
