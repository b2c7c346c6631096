//! The interpreter of the script.

use crate::{
    case::HostMsrs,
    entry,
    handlers::Answers,
    phys::{self, Phys},
    record,
    vmx::{self, Report},
};
use l1_hypervisor::{
    ept::Ept,
    state::{Launched, Pages, Saved},
    step::{self, Repeat},
};
use rig_abi::{
    boot::BootInfo,
    layout,
    record::{EndRecord, Kind, Outcome, RegsRecord},
    script::{Mode, Op, QUIET, Step},
};
use x86_64::registers::control::Cr2;
use x86_spec::vmx::{
    caps::Caps,
    controls::{Proc, Proc2},
    field::Field,
};

/// Everything that L1 remembers.
pub struct L1 {
    pub boot: BootInfo,
    /// The bytes behind the steps.
    bytes: &'static [u8],
    /// Control registers as L1 began.
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    caps: Option<Option<Caps>>,
    pub host_msrs: Option<HostMsrs>,
    /// VMXON succeeded.
    pub vmx_on: bool,
    pub vmcs: Launched,
    /// Pages that steps have written to in this case.
    pub dirty: Pages,
    /// L2 has run in this case, and may have written anywhere in its own memory.
    pub l2_ran: bool,
    pub ept: Ept,
    pub ept_built: bool,
    /// The mode whose tables are in L2's memory.
    pub tables: Option<Mode>,
    pub saved: Saved,
    pub answers: Answers,
    /// The prologue failed: skip to the next case.
    pub skip: bool,
}

static mut L1: L1 = L1 {
    boot: BootInfo {
        magic: 0,
        version: 0,
        steps: 0,
        script: 0,
        script_len: 0,
        ring: 0,
        ring_len: 0,
        l2: 0,
        l2_len: 0,
        ram: 0,
    },
    bytes: &[],
    cr0: 0,
    cr3: 0,
    cr4: 0,
    caps: None,
    host_msrs: None,
    vmx_on: false,
    vmcs: Launched::new(),
    dirty: Pages::new(),
    l2_ran: true,
    ept: Ept::new(),
    ept_built: false,
    tables: None,
    saved: Saved::new(),
    answers: Answers::new(),
    skip: false,
};

/// Does all steps of the script.
pub fn interpret(boot: &BootInfo) {
    const STEP: usize = size_of::<Step>();
    let l1 = &raw mut L1;
    // SAFETY: L1 is single-threaded, and this is the only user of the static.
    let l1 = unsafe { &mut *l1 };
    l1.boot = *boot;
    (l1.cr0, l1.cr3, l1.cr4) = (vmx::cr0(), vmx::cr3(), vmx::cr4());
    let count = (boot.steps as usize).min(boot.script_len as usize / STEP);
    // SAFETY: L0 put the script there; nothing writes to it while L1 runs.
    let (steps, bytes) = unsafe {
        let behind = boot.script as usize + count * STEP;
        (
            core::slice::from_raw_parts(boot.script as *const Step, count),
            core::slice::from_raw_parts(behind as *const u8, boot.script_len as usize - count * STEP),
        )
    };
    l1.bytes = bytes;

    let mut done = 0;
    let mut next = 0;
    let mut repeat: Option<Repeat> = None;
    while let Some(step) = steps.get(next as usize) {
        record::at_step(next);
        let at = next;
        next += 1;
        if step.op == Op::REPEAT.0 && !l1.skip {
            match Repeat::new(at, steps) {
                Some(Repeat { end, left: 0, .. }) => next = end,
                Some(found) => repeat = Some(found),
                None => l1.report(step, Report::new(Outcome::BAD_STEP)),
            }
        } else if step.op == Op::CASE.0 {
            l1.case(step);
        } else if !l1.skip {
            l1.step(step);
        }
        done += 1;
        if let Some(body) = &mut repeat
            && next == body.end
        {
            body.left -= 1;
            if body.left == 0 {
                repeat = None;
            } else {
                next = body.first;
            }
        }
    }
    record::append(Kind::END, &EndRecord { steps: done, records: u64::from(record::count()) });
}

impl L1 {
    /// The processor's VMX capabilities, if it has any.
    pub fn caps(&mut self) -> Option<Caps> {
        *self.caps.get_or_insert_with(|| {
            Caps::from_msrs(|index| {
                let (raw, value) = vmx::rdmsr(index);
                raw.plain().ok().then_some(value)
            })
        })
    }

    /// Leaves the record of a step, unless it is a quiet one and succeeded.
    pub fn report(&mut self, step: &Step, report: Report) {
        if step.flags & QUIET == 0 || !report.ok() {
            record::append(Kind::STEP, &report.record(step.op));
        }
    }

    fn step(&mut self, step: &Step) {
        let report = match Op(step.op) {
            Op::LAUNCH => return self.launch(step, false),
            Op::RESUME => return self.launch(step, true),
            Op::RUN => return self.run(step),
            Op::GET_REGS => {
                let mut regs = *entry::registers();
                let (raw, rsp) = vmx::vmread(u64::from(Field::GUEST_RSP.encoding()));
                let report = raw.vmx();
                if report.ok() {
                    regs[4] = rsp;
                    return record::append(Kind::REGS, &RegsRecord { regs });
                }
                report
            }
            op => self.instruction(op, step),
        };
        self.report(step, report);
    }

    /// The steps that are one instruction, or few.
    fn instruction(&mut self, op: Op, step: &Step) -> Report {
        let bad = Report::new(Outcome::BAD_STEP);
        match op {
            Op::VMXON | Op::VMCLEAR | Op::VMPTRLD => self.region(op, step),
            Op::VMXOFF => {
                let report = vmx::vmxoff().vmx();
                self.vmx_on &= !report.ok();
                report
            }
            Op::VMPTRST => self.store_pointer(),
            Op::INVEPT | Op::INVVPID => self.invalidate(op, step),
            Op::WITH_OPERAND_AT => self.with_operand_at(step),
            Op::VMREAD => {
                let (raw, value) = vmx::vmread(u64::from(step.arg));
                raw.vmx().with(value)
            }
            Op::VMWRITE => self.vmwrite(step.arg, step.a),
            Op::VMMODIFY => {
                let (raw, old) = vmx::vmread(u64::from(step.arg));
                let report = raw.vmx();
                let value = old & !step.b | step.a;
                if report.ok() { self.vmwrite(step.arg, value).with(value) } else { report }
            }
            Op::RDMSR => {
                let (raw, value) = vmx::rdmsr(step.arg);
                raw.plain().with(value)
            }
            Op::WRMSR => self.wrmsr(step.arg, step.a),
            Op::READ_CR => match step.arg {
                0 => Report::value(vmx::cr0()),
                2 => Report::value(Cr2::read_raw()),
                3 => Report::value(vmx::cr3()),
                4 => Report::value(vmx::cr4()),
                _ => bad,
            },
            Op::WRITE_CR => match step.arg {
                0 => vmx::set_cr0(step.a).plain(),
                4 => vmx::set_cr4(step.a).plain(),
                _ => bad,
            },
            Op::CPUID => {
                let (raw, [eax, ebx, ecx, edx]) = vmx::cpuid(step.arg, step.a as u32);
                let pair = |high, low| u64::from(high) << 32 | u64::from(low);
                Report { values: [pair(ebx, eax), pair(edx, ecx)], ..raw.plain() }
            }
            Op::VMCALL => vmx::vmcall().vmx(),
            Op::VMFUNC => vmx::vmfunc(step.arg).plain(),
            Op::SET_REG => match entry::registers().get_mut(step.arg as usize) {
                Some(_) if step.arg == 4 => vmx::write(Field::GUEST_RSP, step.a),
                Some(register) => {
                    *register = step.a;
                    Report::new(Outcome::OK)
                }
                None => bad,
            },
            Op::SETUP => step::mode(step.b).map_or(bad, |mode| self.setup(mode, step.a)),
            Op::ADVANCE => {
                let (raw, rip) = vmx::vmread(u64::from(Field::GUEST_RIP.encoding()));
                let report = raw.vmx();
                let next = rip.wrapping_add(vmx::read(Field::VM_EXIT_INSTRUCTION_LEN));
                if report.ok() { vmx::write(Field::GUEST_RIP, next).with(next) } else { report }
            }
            Op::INJECT => [
                (Field::VM_ENTRY_INTR_INFO_FIELD, step.a),
                (Field::VM_ENTRY_EXCEPTION_ERROR_CODE, step.b),
                (Field::VM_ENTRY_INSTRUCTION_LEN, step.c),
            ]
            .into_iter()
            .map(|(field, value)| vmx::write(field, value))
            .find(|report| !report.ok())
            .unwrap_or(Report::new(Outcome::VM_SUCCEED)),
            Op::PEEK => phys::peek(step.a, u64::from(step.arg)).map_or(bad, Report::value),
            Op::POKE => self.poke(step),
            Op::FILL => {
                if step.arg > 0xff || !step::writable(step.a, step.b, phys::size()) {
                    return bad;
                }
                self.dirty.add(step.a, step.b);
                phys::fill(step.a, step.arg as u8, step.b);
                Report::new(Outcome::OK)
            }
            Op::EPT_MAP | Op::EPT_UNMAP | Op::EPT_PROTECT | Op::EPT_ENTRY | Op::EPT_READ => {
                self.ept_step(op, step)
            }
            _ => Report::new(Outcome::UNKNOWN_STEP),
        }
    }

    fn vmwrite(&mut self, encoding: u32, value: u64) -> Report {
        // What the processor may write to: accessed and dirty flags, the virtual-APIC page, the page-modification log.
        let page = match Field::from_encoding(encoding) {
            Some((Field::EPT_POINTER, _)) => Some(layout::EPT),
            Some((Field::CPU_BASED_VM_EXEC_CONTROL, _)) if value & Proc::TPR_SHADOW != 0 => {
                Some(layout::VAPIC_PAGE)
            }
            Some((Field::SECONDARY_VM_EXEC_CONTROL, _)) if value & Proc2::ENABLE_PML != 0 => {
                Some(layout::PML_PAGE)
            }
            _ => None,
        };
        if let Some(page) = page {
            self.dirty.add(page, layout::PAGE);
        }
        vmx::vmwrite(u64::from(encoding), value).vmx()
    }

    fn wrmsr(&mut self, index: u32, value: u64) -> Report {
        self.host_msrs = None;
        if !self.saved.has(index) {
            let (raw, old) = vmx::rdmsr(index);
            if raw.plain().ok() && !self.saved.keep(index, old) {
                return Report::new(Outcome::NO_ROOM);
            }
        }
        vmx::wrmsr(index, value).plain()
    }

    fn poke(&mut self, step: &Step) -> Report {
        let len = u64::from(step.arg);
        let bytes =
            usize::try_from(step.b).ok().and_then(|at| self.bytes.get(at..)?.get(..step.arg as usize));
        let Some(bytes) = bytes.filter(|_| step::writable(step.a, len, phys::size())) else {
            return Report::new(Outcome::BAD_STEP);
        };
        self.dirty.add(step.a, len);
        phys::copy(step.a, bytes.as_ptr() as u64, len);
        Report::new(Outcome::OK)
    }

    fn ept_step(&mut self, op: Op, step: &Step) -> Report {
        let Step { arg, a, b, c, .. } = *step;
        let done = self.build_ept().and_then(|()| {
            let memory = &mut Phys;
            match op {
                Op::EPT_MAP => self.ept.map(memory, u64::from(arg), a, b, c),
                Op::EPT_UNMAP => self.ept.unmap(memory, a),
                Op::EPT_PROTECT => self.ept.protect(memory, a, b),
                Op::EPT_ENTRY => self.ept.set_entry(memory, arg, a, b),
                _ => return self.ept.entry(memory, arg, a),
            }
            .map(|()| 0)
        });
        if op != Op::EPT_READ {
            self.dirty.add(layout::EPT, layout::PAGE);
        }
        done.map_or_else(Report::new, Report::value)
    }
}
