//! Traces in words: every number decoded, none erased.
//!
//! One line for each record; the text of a run is what snapshots hold and what engines are compared by. It has what L1 saw
//! and nothing else: no host address, no time, no engine.

mod exit;
mod step;

use crate::scenario::Program;
use l0_vmm::{
    engine::{End, Run},
    image::Image,
    trace::Record,
};
use rig_abi::{
    layout,
    record::{Outcome, RunEnd},
    script::Op,
};
use std::fmt::Write;
use x86_spec::vmx::{
    error::InstructionError,
    exit::{ENTRY_FAILURE_BIT, Reason},
    rules::Rule,
};

/// What names in a trace come from.
#[derive(Clone, Copy)]
pub struct Symbols<'a> {
    /// L1's image.
    pub l1: &'a Image,
    /// L2's image.
    pub l2: &'a Image,
}

/// Width of the column that says what was done, before the one that says what came of it.
const COLUMN: usize = 52;

/// Distance of the first stub of L2's exception vectors from [`layout::L2_CODE`], and between two of them; L1 puts them there.
const VECTOR_STUBS: (u64, u64) = (0x800, 8);

impl Symbols<'_> {
    /// A linear address of L2 as `behaviour+point`, with the distance from there if it is not zero.
    pub fn l2_address(&self, address: u64) -> String {
        let stubs = layout::L2_CODE + VECTOR_STUBS.0;
        if (stubs..stubs + 256 * VECTOR_STUBS.1).contains(&address) {
            let (vector, rest) = ((address - stubs) / VECTOR_STUBS.1, (address - stubs) % VECTOR_STUBS.1);
            return format!("vector_{vector}{}", distance(rest));
        }
        if let Some((symbol, rest)) = self.l2.symbolize(address).filter(|(s, _)| s.starts_with("l2.")) {
            let mut parts = symbol.splitn(4, '.').skip(2);
            let behaviour = parts.next().unwrap_or(symbol);
            let point = parts.next().map(|p| format!("+{p}")).unwrap_or_default();
            return format!("{behaviour}{point}{}", distance(rest));
        }
        self.place(address)
    }

    /// A physical address by the place it lies in.
    pub fn place(&self, address: u64) -> String {
        match layout::name_of(address) {
            Some((name, rest)) if name != "FREE" => format!("{name}{}", distance(rest)),
            _ => format!("{address:#x}"),
        }
    }

    /// An address in L1's code.
    pub fn l1_address(&self, address: u64) -> String {
        match self.l1.symbolize(address) {
            Some((symbol, rest)) => format!("{symbol}{}", distance(rest)),
            None => format!("{address:#x}"),
        }
    }
}

fn distance(rest: u64) -> String {
    if rest == 0 { String::new() } else { format!("+{rest:#x}") }
}

/// The whole trace of a run: what snapshots hold and engines are compared by.
pub fn trace(program: &Program, run: &Run, symbols: &Symbols<'_>) -> String {
    write(program, run, symbols, &mut std::iter::empty())
}

/// The trace with the rule that each failing VM entry broke behind it, where the engine knows.
pub fn explained(program: &Program, run: &Run, symbols: &Symbols<'_>) -> String {
    write(program, run, symbols, &mut run.refusals.iter().copied())
}

/// For each case the rules that its failing VM entries broke, in order, where the engine knows.
pub fn refusals_by_case(run: &Run) -> Vec<(usize, &'static Rule)> {
    let mut case = 0;
    let mut rules = run.refusals.iter();
    let mut found = Vec::new();
    for record in &run.records {
        if let Record::Case { body, .. } = record {
            case = body.case as usize;
        }
        if is_refusal(record) {
            found.extend(rules.next().map(|rule| (case, *rule)));
        }
    }
    found
}

/// Whether a record is that of a VM entry that a rule refused: error 7 or 8, or the exit for invalid guest state.
fn is_refusal(record: &Record) -> bool {
    let errors =
        [InstructionError::ENTRY_INVALID_CONTROL_FIELD, InstructionError::ENTRY_INVALID_HOST_STATE_FIELD];
    match record {
        Record::Step { body, .. } => {
            matches!(Op(body.op as u16), Op::LAUNCH | Op::RESUME)
                && body.outcome == Outcome::VM_FAIL_VALID.0
                && errors.contains(&InstructionError(body.error))
        }
        Record::Exit { body, .. } => {
            Reason(body.reason as u16) == Reason::INVALID_STATE && body.reason & ENTRY_FAILURE_BIT != 0
        }
        Record::Run { body, .. } => {
            body.end == RunEnd::NO_ENTRY.0 && errors.contains(&InstructionError(body.error))
        }
        _ => false,
    }
}

fn write(
    program: &Program,
    run: &Run,
    symbols: &Symbols<'_>,
    rules: &mut dyn Iterator<Item = &'static Rule>,
) -> String {
    let mut out = String::new();
    let mut cs_base = 0;
    for record in &run.records {
        self::record(&mut out, program, record, symbols, cs_base);
        match record {
            Record::Case { .. } => cs_base = 0,
            Record::Exit { body, .. } => cs_base = body.cs_base,
            _ => {}
        }
        if is_refusal(record)
            && let Some(rule) = rules.next()
        {
            let _ = writeln!(out, "        broken: {}: {} (\"{}\")", rule.id, rule.text, rule.title);
        }
    }
    if let Some(damage) = &run.damage {
        line(&mut out, "damage", &damage.to_string());
    }
    line(&mut out, "end", &end(&run.end, symbols));
    out
}

/// How a run ended.
pub fn end(end: &End, symbols: &Symbols<'_>) -> String {
    match end {
        End::Finished { code } => format!("finished {code}"),
        End::Shutdown => "shutdown of L1 (triple fault)".into(),
        End::Halted { rip } => format!("L1 halted for good at {}", symbols.l1_address(*rip)),
        End::Budget { limit } => format!("ran too long ({limit})"),
        End::Unsupported { what, rip, bytes } => {
            let bytes: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("the engine cannot: {what} at {} (bytes {})", symbols.l1_address(*rip), bytes.join(" "))
        }
        End::Fault { details } => format!("the engine failed: {details}"),
    }
}

fn line(out: &mut String, what: &str, result: &str) {
    let _ =
        if result.is_empty() { writeln!(out, "{what}") } else { writeln!(out, "{what:<COLUMN$}{result}") };
}

fn record(out: &mut String, program: &Program, record: &Record, symbols: &Symbols<'_>, cs_base: u64) {
    let step = |index: u32| program.script.steps.get(index as usize);
    match record {
        Record::Case { body, .. } => case(out, program, body),
        Record::Step { header, body } => {
            let what = step(header.step)
                .map_or_else(|| "step outside the script".into(), |s| step::words(s, program));
            line(out, &what, &step::outcome(body, step(header.step), symbols, cs_base));
        }
        Record::Exit { header, body } => {
            let in_loop = step(header.step).is_some_and(|s| s.op == Op::RUN.0);
            let what = match (in_loop, body.launched) {
                (true, _) => "  exit",
                (_, 0) => "resume",
                _ => "launch",
            };
            let _ = writeln!(out, "{what:<8}{}", exit::words(body, symbols));
        }
        Record::Regs { body, .. } => {
            let all = crate::scenario::REGISTERS.iter().zip(body.regs);
            let shown: Vec<String> =
                all.filter(|(_, v)| *v != 0).map(|(r, v)| format!("{r}={v:#x}")).collect();
            line(out, &format!("get     {}", shown.join(" ")), "");
        }
        Record::Run { body, .. } => line(out, "run", &exit::run_end(body)),
        Record::Trap { body, .. } => {
            let vector = x86_spec::vector::name(body.vector as u8);
            let text = format!(
                "{vector} error {:#x} at {} rsp {:#x} rflags {:#x} cr2 {:#x}",
                body.error,
                symbols.l1_address(body.rip),
                body.rsp,
                body.rflags,
                body.cr2
            );
            line(out, "L1 trapped", &text);
        }
        Record::Panic { body, file, .. } => {
            let file = file.as_deref().unwrap_or("a file whose name could not be read");
            line(out, "L1 panicked", &format!("at {file}:{}", body.line));
        }
        Record::End { body, .. } => line(out, "done", &format!("{} steps", body.steps)),
        Record::Unknown { header, bytes } => {
            line(out, "record of unknown kind", &format!("{} with {} bytes", header.kind, bytes.len()));
        }
    }
}

fn case(out: &mut String, program: &Program, body: &rig_abi::record::CaseRecord) {
    let name = program.cases.get(body.case as usize).map_or("outside the script", |c| c.name.as_str());
    if !name.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "case {name}");
    }
    if body.outcome != Outcome::OK.0 {
        let op = Op(body.op as u16).name().unwrap_or("?");
        let outcome = Outcome(body.outcome).name().unwrap_or("?");
        line(
            out,
            &format!("prologue {op}"),
            &format!("{outcome} {:#x}: the steps of this case were left out", body.error),
        );
    }
}
