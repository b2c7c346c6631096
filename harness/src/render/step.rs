//! Steps and their outcomes in words.

use super::Symbols;
use crate::scenario::{Program, REGISTERS};
use rig_abi::{
    record::{Outcome, StepRecord},
    script::{KEEP, Mode, Op, RAW, Step},
};
use x86_spec::{
    msr, vector,
    vmx::{controls::Word, error::InstructionError, exit::Reason, field::Field},
};

/// What a step does.
pub(super) fn words(step: &Step, program: &Program) -> String {
    let Some(name) = Op(step.op).name() else { return format!("step {}", step.op) };
    let place = |address: u64| match rig_abi::layout::name_of(address) {
        Some((place, 0)) => place.to_owned(),
        _ => format!("{address:#x}"),
    };
    let args = match Op(step.op) {
        Op::VMXON | Op::VMCLEAR | Op::VMPTRLD => {
            let revision = if step.b == KEEP { String::new() } else { format!(" revision {:#x}", step.b) };
            let raw = if step.flags & RAW != 0 { " raw" } else { "" };
            format!("{}{revision}{raw}", place(step.a))
        }
        Op::VMREAD => field(step.arg),
        Op::VMWRITE => format!("{} = {:#x}", field(step.arg), step.a),
        Op::VMMODIFY if step.b == 0 => format!("{} |= {}", field(step.arg), bits(step.arg, step.a)),
        Op::VMMODIFY => format!("{} &= ~{}", field(step.arg), bits(step.arg, step.b)),
        Op::INVEPT => format!("type {} eptp {:#x} reserved {:#x}", step.a, step.b, step.c),
        Op::INVVPID => format!("type {} vpid {:#x} address {:#x}", step.a, step.b, step.c),
        Op::RDMSR => msr_name(step.arg),
        Op::WRMSR => format!("{} = {:#x}", msr_name(step.arg), step.a),
        Op::READ_CR => format!("cr{}", step.arg),
        Op::WRITE_CR => format!("cr{} = {:#x}", step.arg, step.a),
        Op::PEEK => format!("{} size {}", place(step.a), step.arg),
        Op::POKE => format!("{} = {}", place(step.a), poked(step, program)),
        Op::FILL => format!("{} with {:#04x}, {:#x} bytes", place(step.a), step.arg, step.b),
        Op::EPT_MAP => {
            format!("{:#x} to {} size {:#x} entry bits {:#x}", step.a, place(step.b), step.arg, step.c)
        }
        Op::EPT_UNMAP => format!("{:#x}", step.a),
        Op::EPT_PROTECT => format!("{:#x} to {}", step.a, access(step.b)),
        Op::EPT_ENTRY => format!("{:#x} level {} = {:#x}", step.a, step.arg, step.b),
        Op::EPT_READ => format!("{:#x} level {}", step.a, step.arg),
        Op::SET_REG => format!("{} = {:#x}", REGISTERS[step.arg as usize & 15], step.a),
        Op::SETUP => format!("{} entry {:#x}", Mode(step.b as u16).name().unwrap_or("?"), step.a),
        Op::INJECT => {
            let info = x86_spec::vmx::intr_info::IntrInfo(step.a as u32);
            let error = if info.error_valid() { format!(" code {:#x}", step.b) } else { String::new() };
            let len = if step.c == 0 { String::new() } else { format!(" len {}", step.c) };
            format!("{info} ({:#x}){error}{len}", step.a)
        }
        Op::RUN => {
            let stops: Vec<&str> =
                (0..64).filter(|n| step.b >> n & 1 != 0).map(|n| Reason(n).name()).collect();
            format!("until {} or {} exits", stops.join(", "), step.a)
        }
        Op::REPEAT => format!("{} steps {} times", step.a, step.arg),
        Op::CPUID => format!("leaf {:#x} subleaf {:#x}", step.arg, step.a),
        Op::WITH_OPERAND_AT => format!("{} {:#x}", Op(step.arg as u16).name().unwrap_or("?"), step.a),
        Op::VMFUNC => format!("{:#x}", step.arg),
        _ => String::new(),
    };
    format!("{name:<8}{}{args}", if name.len() >= 8 { " " } else { "" }).trim_end().to_owned()
}

/// What came of it. `cs_base`: base of L2's CS at the last exit, which RIP is an offset from.
pub(super) fn outcome(
    record: &StepRecord,
    step: Option<&Step>,
    symbols: &Symbols<'_>,
    cs_base: u64,
) -> String {
    let value = value(record, step, symbols, cs_base);
    match Outcome(record.outcome) {
        Outcome::OK => {
            if value.is_empty() {
                "ok".into()
            } else {
                value
            }
        }
        Outcome::VM_SUCCEED => {
            if value.is_empty() {
                "VMsucceed".into()
            } else {
                format!("VMsucceed {value}")
            }
        }
        Outcome::VM_FAIL_VALID => {
            let text =
                InstructionError(record.error).text().unwrap_or("a number that the manual does not have");
            format!("VMfailValid {} ({text})", record.error)
        }
        Outcome::EXCEPTION => {
            let vector = record.vector as u8;
            let code =
                if vector::has_error_code(vector) { format!("({:#x})", record.error) } else { String::new() };
            let cr2 = if vector == vector::PF { format!(" cr2 {:#x}", record.value) } else { String::new() };
            format!("{}{code}{cr2}", vector::name(vector))
        }
        Outcome::BAD_FLAGS => format!("flags that no VMX instruction leaves: rflags {:#x}", record.value),
        other => other.name().map_or_else(|| format!("outcome {}", record.outcome), str::to_owned),
    }
}

/// The value that a step gives, decoded where the manual gives its bits names.
fn value(record: &StepRecord, step: Option<&Step>, symbols: &Symbols<'_>, cs_base: u64) -> String {
    let v = record.value;
    let Some(step) = step else { return format!("{v:#x}") };
    match Op(step.op) {
        Op::VMREAD | Op::VMMODIFY => match Field::from_encoding(step.arg) {
            Some((Field::GUEST_RIP, _)) => {
                format!("{v:#x} ({})", symbols.l2_address(cs_base.wrapping_add(v)))
            }
            Some((Field::VM_INSTRUCTION_ERROR, _)) if v != 0 => {
                format!("{v:#x} ({})", InstructionError(v as u32).text().unwrap_or("not in the manual"))
            }
            _ => format!("{v:#x}"),
        },
        Op::VMPTRST | Op::RDMSR | Op::READ_CR | Op::PEEK | Op::EPT_READ => format!("{v:#x}"),
        Op::ADVANCE => format!("rip {v:#x} ({})", symbols.l2_address(cs_base.wrapping_add(v))),
        Op::CPUID => format!(
            "eax {:#x} ebx {:#x} ecx {:#x} edx {:#x}",
            v as u32,
            v >> 32,
            record.value2 as u32,
            record.value2 >> 32
        ),
        _ => String::new(),
    }
}

/// A field by name, or by its encoding if it has none.
fn field(encoding: u32) -> String {
    match Field::from_encoding(encoding) {
        Some((f, false)) => f.name().to_owned(),
        Some((f, true)) => format!("{}_HIGH", f.name()),
        None => format!("{encoding:#x}"),
    }
}

/// Bits of a control word by name; those without a name, and of other fields, as a number.
fn bits(encoding: u32, mask: u64) -> String {
    let word = Field::from_encoding(encoding).and_then(|(f, _)| Word::of_field(f));
    let Some(word) = word else { return format!("{mask:#x}") };
    let names: Vec<&str> =
        (0..64).filter(|n| mask >> n & 1 != 0).map(|n| word.bit(n).map_or("?", |b| b.ident)).collect();
    format!("{} ({mask:#x})", names.join("|"))
}

fn msr_name(index: u32) -> String {
    msr::name(index).map_or_else(|| format!("{index:#x}"), str::to_owned)
}

fn access(bits: u64) -> String {
    "rwx".chars().enumerate().map(|(n, c)| if bits >> n & 1 != 0 { c } else { '-' }).collect()
}

/// The bytes of a POKE.
fn poked(step: &Step, program: &Program) -> String {
    let range = (step.b as usize)..(step.b as usize).saturating_add(step.arg as usize);
    let bytes = program.script.bytes.get(range).unwrap_or_default();
    let shown: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
    let more = if bytes.len() > 16 { format!(" ... ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", shown.join(" "))
}
