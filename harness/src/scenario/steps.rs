//! The words of a scenario's steps, and the script steps that they become.

use super::{
    expr::{Names, number, value},
    toml::{At, Parse, Table, Value, unknown},
};
use l0_vmm::engine::Script;
use rig_abi::{
    layout,
    script::{self, KEEP, Mode, Op, QUIET, RAW, Step},
};
use std::mem::size_of;
use x86_spec::{
    msr,
    vmx::{exit::Reason, field::Field},
};

/// Every word that a step can be, with the form of its arguments: what `fixtures/scenarios/README.md` explains and
/// `nestrig list --words` prints.
pub const WORDS: &[(&str, &str)] = &[
    ("vmxon", "\"vmxon\" or { vmxon = ADDRESS | { at, revision, raw } }"),
    ("vmxoff", "\"vmxoff\""),
    ("vmclear", "{ vmclear = ADDRESS | { at, revision, raw } }"),
    ("vmptrld", "{ vmptrld = ADDRESS | { at, revision, raw } }"),
    ("vmptrst", "\"vmptrst\""),
    ("vmread", "{ vmread = FIELD | [FIELD, ...] }"),
    ("vmwrite", "{ vmwrite = { FIELD = VALUE, ... } }"),
    ("set_bits", "{ set_bits = { FIELD = VALUE, ... } }"),
    ("clear_bits", "{ clear_bits = { FIELD = VALUE, ... } }"),
    ("invept", "{ invept = { type, eptp, reserved } }"),
    ("invvpid", "{ invvpid = { type, vpid, address } }"),
    ("rdmsr", "{ rdmsr = MSR }"),
    ("wrmsr", "{ wrmsr = { MSR = VALUE, ... } }"),
    ("read_cr", "{ read_cr = 0 | 2 | 3 | 4 }"),
    ("write_cr", "{ write_cr = { cr0 | cr4 = VALUE } }"),
    ("peek", "{ peek = { at, size } }"),
    ("poke", "{ poke = { at, bytes = \"0f a2\" | value, size } }"),
    ("fill", "{ fill = { at, len, byte } }"),
    ("ept_map", "{ ept_map = { gpa, to, size = \"4k\" | \"2m\" | \"1g\", access = \"rwx\", type } }"),
    ("ept_unmap", "{ ept_unmap = ADDRESS }"),
    ("ept_protect", "{ ept_protect = { gpa, access = \"r--\" } }"),
    ("ept_entry", "{ ept_entry = { gpa, level, value } }"),
    ("ept_read", "{ ept_read = { gpa, level } }"),
    ("set", "{ set = { rax = VALUE, ... } }"),
    ("get", "\"get\""),
    ("setup", "{ setup = { mode, entry } }"),
    ("launch", "\"launch\""),
    ("resume", "\"resume\""),
    ("advance", "\"advance\""),
    ("inject", "{ inject = { vector, type, error, len } | { info, error, len } }"),
    ("run", "\"run\" or { run = { until = [REASON, ...], max, count_only } }"),
    ("repeat", "{ repeat = { times, steps = [...] } }"),
    ("cpuid", "{ cpuid = { leaf, subleaf } }"),
    ("with_operand_at", "{ with_operand_at = { op, at, type } }"),
    ("vmcall", "\"vmcall\""),
    ("vmfunc", "{ vmfunc = NUMBER }"),
    ("quiet", "{ quiet = [...] }"),
];

/// Names of the general-purpose registers in the order of their encodings.
pub const REGISTERS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// How many handled exits a run loop allows if the scenario does not say.
const RUN_MAX: u64 = 10_000;

/// Turns words into steps.
#[derive(Default)]
pub(super) struct Compiler {
    steps: Vec<Step>,
    bytes: Vec<u8>,
    flags: u16,
    in_repeat: bool,
}

impl Compiler {
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn push(&mut self, step: Step) {
        self.steps.push(Step { flags: step.flags | self.flags, ..step });
    }

    pub fn finish(self) -> Result<Script, String> {
        let size = (self.steps.len() * size_of::<Step>() + self.bytes.len()) as u64;
        if size > layout::SCRIPT_MAX {
            return Err(format!(
                "the script has {size} bytes, more than {}; split the file",
                layout::SCRIPT_MAX
            ));
        }
        Ok(Script { steps: self.steps, bytes: self.bytes })
    }

    /// Appends steps that put these bytes into memory.
    pub fn code(&mut self, code: &Value<'_>, at: u64) -> Parse<()> {
        let bytes = hex_bytes(code)?;
        self.poke(at, &bytes, QUIET);
        Ok(())
    }

    fn poke(&mut self, at: u64, bytes: &[u8], flags: u16) {
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        self.push(Step {
            op: Op::POKE.0,
            flags,
            arg: bytes.len() as u32,
            a: at,
            b: offset,
            ..Step::default()
        });
    }

    /// Sets L2's registers.
    pub fn registers(&mut self, table: Table<'_>, names: &Names<'_>, quiet: bool) -> Parse<()> {
        for (span, key, v) in table.entries() {
            let n = REGISTERS
                .iter()
                .position(|r| *r == key)
                .ok_or_else(|| unknown(&span, "register", key, REGISTERS))?;
            let flags = if quiet { QUIET } else { 0 };
            self.push(Step {
                op: Op::SET_REG.0,
                flags,
                arg: n as u32,
                a: value(&v, 64, names)?,
                ..Step::default()
            });
        }
        Ok(())
    }

    /// One step: a word, or a table with one word as its key.
    pub fn step(&mut self, v: &Value<'_>, names: &Names<'_>) -> Parse<()> {
        if let Some(word) = v.value.as_str() {
            return self.plain(word, v);
        }
        let mut entries = v.table()?.entries();
        if entries.len() != 1 {
            return Err(At::new(&v.span, format!("a step has one word, this one has {}", entries.len())));
        }
        match entries.pop() {
            Some((span, word, args)) => self.with_arguments(word, &span, &args, names),
            None => Ok(()),
        }
    }

    /// A step without arguments.
    fn plain(&mut self, word: &str, v: &Value<'_>) -> Parse<()> {
        let op = match word {
            "vmxon" => {
                self.region(Op::VMXON, layout::VMXON_REGION, KEEP, 0);
                return Ok(());
            }
            "run" => {
                self.run_loop(1 << Reason::HLT.0, RUN_MAX, 0);
                return Ok(());
            }
            "get" => Op::GET_REGS,
            "vmxoff" | "vmptrst" | "launch" | "resume" | "advance" | "vmcall" => match Op::from_name(word) {
                Some(op) => op,
                None => return Err(unknown_word(v, word)),
            },
            _ if WORDS.iter().any(|w| w.0 == word) => {
                return Err(At::new(&v.span, format!("\"{word}\" needs arguments: {}", form_of(word))));
            }
            _ => return Err(unknown_word(v, word)),
        };
        self.push(Step { op: op.0, ..Step::default() });
        Ok(())
    }

    fn region(&mut self, op: Op, at: u64, revision: u64, flags: u16) {
        self.push(Step { op: op.0, flags, a: at, b: revision, ..Step::default() });
    }

    fn run_loop(&mut self, until: u64, max: u64, flags: u16) {
        self.push(Step { op: Op::RUN.0, flags, a: max, b: until, ..Step::default() });
    }

    fn with_arguments(
        &mut self,
        word: &str,
        span: &std::ops::Range<usize>,
        args: &Value<'_>,
        names: &Names<'_>,
    ) -> Parse<()> {
        let int = |v: &Value<'_>, bits| value(v, bits, names);
        match word {
            "vmxon" | "vmclear" | "vmptrld" => {
                let op = if word == "vmxon" {
                    Op::VMXON
                } else if word == "vmclear" {
                    Op::VMCLEAR
                } else {
                    Op::VMPTRLD
                };
                if args.value.is_table() {
                    let mut t = args.table()?;
                    let at = int(&t.need("at")?, 64)?;
                    let revision = t.take("revision").map(|r| int(&r, 32)).transpose()?.unwrap_or(KEEP);
                    let raw = t.take("raw").map(|r| r.bool()).transpose()?.unwrap_or(false);
                    t.finish(word)?;
                    self.region(op, at, revision, if raw { RAW } else { 0 });
                } else {
                    self.region(op, int(args, 64)?, KEEP, 0);
                }
            }
            "vmread" => {
                for v in args.one_or_many() {
                    let arg = field(&v, names)?;
                    self.push(Step { op: Op::VMREAD.0, arg, ..Step::default() });
                }
            }
            "vmwrite" | "set_bits" | "clear_bits" => {
                for (span, name, v) in args.table()?.entries() {
                    let (arg, bits) = field_of(name, &span)?;
                    let n = int(&v, bits)?;
                    self.push(match word {
                        "vmwrite" => Step { op: Op::VMWRITE.0, arg, a: n, ..Step::default() },
                        "set_bits" => Step { op: Op::VMMODIFY.0, arg, a: n, ..Step::default() },
                        _ => Step { op: Op::VMMODIFY.0, arg, b: n, ..Step::default() },
                    });
                }
            }
            "invept" | "invvpid" => {
                let mut t = args.table()?;
                let kind = int(&t.need("type")?, 64)?;
                let (op, first, second) = if word == "invept" {
                    (Op::INVEPT, "eptp", "reserved")
                } else {
                    (Op::INVVPID, "vpid", "address")
                };
                let mut take = |key| t.take(key).map(|v| int(&v, 64)).transpose();
                let (b, c) = (take(first)?.unwrap_or(0), take(second)?.unwrap_or(0));
                t.finish(word)?;
                self.push(Step { op: op.0, a: kind, b, c, ..Step::default() });
            }
            "rdmsr" => {
                for v in args.one_or_many() {
                    let arg = match v.value.as_str() {
                        Some(name) => msr_of(name, &v.span)?,
                        None => int(&v, 32)? as u32,
                    };
                    self.push(Step { op: Op::RDMSR.0, arg, ..Step::default() });
                }
            }
            "wrmsr" => {
                for (span, name, v) in args.table()?.entries() {
                    let arg = msr_of(name, &span)?;
                    self.push(Step { op: Op::WRMSR.0, arg, a: int(&v, 64)?, ..Step::default() });
                }
            }
            "read_cr" => {
                let n = int(args, 8)?;
                if ![0, 2, 3, 4].contains(&n) {
                    return Err(At::new(
                        &args.span,
                        format!("there is no step that reads CR{n}; valid: 0, 2, 3, 4"),
                    ));
                }
                self.push(Step { op: Op::READ_CR.0, arg: n as u32, ..Step::default() });
            }
            "write_cr" => {
                for (span, name, v) in args.table()?.entries() {
                    let arg = match name {
                        "cr0" => 0,
                        "cr4" => 4,
                        _ => return Err(unknown(&span, "control register", name, ["cr0", "cr4"])),
                    };
                    self.push(Step { op: Op::WRITE_CR.0, arg, a: int(&v, 64)?, ..Step::default() });
                }
            }
            "peek" => {
                let mut t = args.table()?;
                let at = int(&t.need("at")?, 64)?;
                let size = size(t.take("size"), names)?;
                t.finish(word)?;
                self.push(Step { op: Op::PEEK.0, arg: size, a: at, ..Step::default() });
            }
            "poke" => {
                let mut t = args.table()?;
                let at = int(&t.need("at")?, 64)?;
                let (bytes, v, len) = (t.take("bytes"), t.take("value"), t.take("size"));
                t.finish(word)?;
                match (bytes, v) {
                    (Some(bytes), None) if len.is_none() => {
                        let bytes = hex_bytes(&bytes)?;
                        self.poke(at, &bytes, 0);
                    }
                    (None, Some(v)) => {
                        let size = size(len, names)?;
                        let bytes = int(&v, 8 * size)?.to_le_bytes();
                        self.poke(at, &bytes[..size as usize], 0);
                    }
                    _ => {
                        return Err(At::new(
                            &args.span,
                            "poke needs \"bytes\", or \"value\" with a \"size\"",
                        ));
                    }
                }
            }
            "fill" => {
                let mut t = args.table()?;
                let (a, b) = (int(&t.need("at")?, 64)?, int(&t.need("len")?, 32)?);
                let byte = t.take("byte").map(|v| int(&v, 8)).transpose()?.unwrap_or(0);
                t.finish(word)?;
                self.push(Step { op: Op::FILL.0, arg: byte as u32, a, b, ..Step::default() });
            }
            "ept_map" | "ept_unmap" | "ept_protect" | "ept_entry" | "ept_read" => {
                self.ept(word, args, names)?
            }
            "set" => self.registers(args.table()?, names, false)?,
            "setup" => {
                let mut t = args.table()?;
                let mode = t.need("mode")?;
                let word = mode.str()?;
                let b = Mode::from_name(word).ok_or_else(|| {
                    unknown(&mode.span, "mode", word, Mode::ALL.iter().filter_map(|m| m.name()))
                })?;
                let a = int(&t.need("entry")?, 64)?;
                t.finish("setup")?;
                self.push(Step { op: Op::SETUP.0, a, b: u64::from(b.0), ..Step::default() });
            }
            "inject" => self.inject(args, names)?,
            "run" => {
                let mut t = args.table()?;
                let mut until = 0;
                for v in t.take("until").map(|u| u.one_or_many()).unwrap_or_default() {
                    until |= 1u64 << reason(&v)?;
                }
                let max = t.take("max").map(|v| int(&v, 32)).transpose()?.unwrap_or(RUN_MAX);
                let count = t.take("count_only").map(|v| v.bool()).transpose()?.unwrap_or(false);
                t.finish(word)?;
                let until = if until == 0 { 1 << Reason::HLT.0 } else { until };
                self.run_loop(until, max, if count { script::COUNT_ONLY } else { 0 });
            }
            "repeat" => {
                if self.in_repeat {
                    return Err(At::new(span, "\"repeat\" cannot be nested"));
                }
                let mut t = args.table()?;
                let times = int(&t.need("times")?, 32)?;
                let body = t.need("steps")?.array()?;
                t.finish(word)?;
                let at = self.steps.len();
                self.push(Step { op: Op::REPEAT.0, arg: times as u32, ..Step::default() });
                self.in_repeat = true;
                for v in &body {
                    self.step(v, names)?;
                }
                self.in_repeat = false;
                self.steps[at].a = (self.steps.len() - at - 1) as u64;
            }
            "cpuid" => {
                let mut t = args.table()?;
                let leaf = int(&t.need("leaf")?, 32)?;
                let a = t.take("subleaf").map(|v| int(&v, 32)).transpose()?.unwrap_or(0);
                t.finish(word)?;
                self.push(Step { op: Op::CPUID.0, arg: leaf as u32, a, ..Step::default() });
            }
            "with_operand_at" => {
                let mut t = args.table()?;
                let op = t.need("op")?;
                const VALID: [&str; 6] = ["vmxon", "vmclear", "vmptrld", "vmptrst", "invept", "invvpid"];
                let name = op.str()?;
                let arg = match Op::from_name(name) {
                    Some(op) if VALID.contains(&name) => u32::from(op.0),
                    _ => return Err(unknown(&op.span, "instruction with a memory operand", name, VALID)),
                };
                let a = int(&t.need("at")?, 64)?;
                let b = t.take("type").map(|v| int(&v, 64)).transpose()?.unwrap_or(0);
                t.finish(word)?;
                self.push(Step { op: Op::WITH_OPERAND_AT.0, arg, a, b, ..Step::default() });
            }
            "vmfunc" => {
                let arg = int(args, 32)? as u32;
                self.push(Step { op: Op::VMFUNC.0, arg, ..Step::default() });
            }
            "quiet" => {
                let outer = self.flags;
                self.flags |= QUIET;
                for v in args.array()? {
                    self.step(&v, names)?;
                }
                self.flags = outer;
            }
            _ if WORDS.iter().any(|w| w.0 == word) => {
                return Err(At::new(span, format!("\"{word}\" has no arguments: {}", form_of(word))));
            }
            _ => return Err(unknown(span, "step", word, WORDS.iter().map(|w| w.0))),
        }
        Ok(())
    }

    fn ept(&mut self, word: &str, args: &Value<'_>, names: &Names<'_>) -> Parse<()> {
        let int = |v: &Value<'_>, bits| value(v, bits, names);
        if word == "ept_unmap" {
            let a = int(args, 64)?;
            self.push(Step { op: Op::EPT_UNMAP.0, a, ..Step::default() });
            return Ok(());
        }
        let mut t = args.table()?;
        let a = int(&t.need("gpa")?, 64)?;
        let step = match word {
            "ept_map" => {
                let to = t.take("to").map(|v| int(&v, 64)).transpose()?.unwrap_or(a);
                let arg = match t.take("size") {
                    None => layout::PAGE as u32,
                    Some(v) => match v.str()? {
                        "4k" => 4 << 10,
                        "2m" => 2 << 20,
                        "1g" => 1 << 30,
                        other => return Err(unknown(&v.span, "page size", other, ["4k", "2m", "1g"])),
                    },
                };
                let access = t.take("access").map(|v| access(&v)).transpose()?.unwrap_or(7);
                let kind = t.take("type").map(|v| int(&v, 3)).transpose()?.unwrap_or(6);
                Step { op: Op::EPT_MAP.0, arg, a, b: to, c: access | kind << 3, ..Step::default() }
            }
            "ept_protect" => {
                Step { op: Op::EPT_PROTECT.0, a, b: access(&t.need("access")?)?, ..Step::default() }
            }
            _ => {
                let level = t.need("level")?;
                let arg = int(&level, 8)?;
                if !(1..=4).contains(&arg) {
                    return Err(At::new(
                        &level.span,
                        format!("EPT has levels 1 (4 KiB) to 4 (PML4), not {arg}"),
                    ));
                }
                let arg = arg as u32;
                if word == "ept_read" {
                    Step { op: Op::EPT_READ.0, arg, a, ..Step::default() }
                } else {
                    Step { op: Op::EPT_ENTRY.0, arg, a, b: int(&t.need("value")?, 64)?, ..Step::default() }
                }
            }
        };
        t.finish(word)?;
        self.push(step);
        Ok(())
    }

    fn inject(&mut self, args: &Value<'_>, names: &Names<'_>) -> Parse<()> {
        let int = |v: &Value<'_>, bits| value(v, bits, names);
        let mut t = args.table()?;
        let error = t.take("error").map(|v| int(&v, 32)).transpose()?;
        let len = t.take("len").map(|v| int(&v, 32)).transpose()?.unwrap_or(0);
        let info = match t.take("info") {
            Some(v) => int(&v, 32)?,
            None => {
                const TYPES: [(&str, u64); 7] = [
                    ("external interrupt", 0),
                    ("NMI", 2),
                    ("hardware exception", 3),
                    ("software interrupt", 4),
                    ("privileged software exception", 5),
                    ("software exception", 6),
                    ("other event", 7),
                ];
                let vector = int(&t.need("vector")?, 8)?;
                let kind = t.need("type")?;
                let word = kind.str()?;
                let Some((_, number)) = TYPES.iter().find(|(name, _)| *name == word) else {
                    return Err(unknown(&kind.span, "interruption type", word, TYPES.iter().map(|t| t.0)));
                };
                vector | number << 8 | u64::from(error.is_some()) << 11 | 1 << 31
            }
        };
        t.finish("inject")?;
        self.push(Step { op: Op::INJECT.0, a: info, b: error.unwrap_or(0), c: len, ..Step::default() });
        Ok(())
    }
}

fn form_of(word: &str) -> &'static str {
    WORDS.iter().find(|w| w.0 == word).map_or("", |w| w.1)
}

fn unknown_word(v: &Value<'_>, word: &str) -> At {
    unknown(&v.span, "step", word, WORDS.iter().map(|w| w.0))
}

/// Bytes written as hexadecimal pairs.
fn hex_bytes(v: &Value<'_>) -> Parse<Vec<u8>> {
    let digits: String = v.str()?.chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match std::str::from_utf8(pair) {
        Ok(text) if text.len() == 2 => u8::from_str_radix(text, 16).ok(),
        _ => None,
    };
    pairs.map(byte).collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
        At::new(&v.span, "expected bytes in hexadecimal, two digits each, such as \"0f a2 f4\"")
    })
}

/// A size of 1, 2, 4 or 8 bytes; 8 if it is not given.
fn size(v: Option<Value<'_>>, names: &Names<'_>) -> Parse<u32> {
    let Some(v) = v else { return Ok(8) };
    match value(&v, 8, names)? {
        n @ (1 | 2 | 4 | 8) => Ok(n as u32),
        n => Err(At::new(&v.span, format!("a size is 1, 2, 4 or 8 bytes, not {n}"))),
    }
}

/// `rwx` with dashes for what is not allowed: bits 0, 1, 2 of an EPT entry.
fn access(v: &Value<'_>) -> Parse<u64> {
    let text = v.str()?;
    let valid = text.len() == 3 && text.chars().zip("rwx".chars()).all(|(c, letter)| c == letter || c == '-');
    if !valid {
        return Err(At::new(
            &v.span,
            format!("\"{text}\" is no access; expected three of \"rwx\" or \"-\", such as \"r-x\""),
        ));
    }
    Ok(text.chars().enumerate().filter(|(_, c)| *c != '-').map(|(n, _)| 1 << n).sum())
}

/// Encoding of a field, by name or number.
fn field(v: &Value<'_>, names: &Names<'_>) -> Parse<u32> {
    match v.value.as_str() {
        Some(name) => field_of(name, &v.span).map(|(encoding, _)| encoding),
        None => Ok(value(v, 32, names)? as u32),
    }
}

/// Encoding and width in bits of a field by its name; a number stands for an encoding that no field has.
fn field_of(name: &str, span: &std::ops::Range<usize>) -> Parse<(u32, u32)> {
    if name.starts_with("0x") {
        return match number(name).map(u32::try_from) {
            Some(Ok(encoding)) => Ok((encoding, 64)),
            _ => Err(At::new(span, format!("\"{name}\" is not a 32-bit encoding of a field"))),
        };
    }
    let (name, high) = match name.strip_suffix("_HIGH") {
        Some(low) => (low, 1),
        None => (name, 0),
    };
    match Field::from_name(name) {
        Some(f) => {
            let bits = if high == 1 { 32 } else { 64 - f.mask().leading_zeros() };
            Ok((f.encoding() | high, bits))
        }
        None => Err(unknown(span, "VMCS field", name, Field::ALL.iter().map(|f| f.name()))),
    }
}

fn msr_of(name: &str, span: &std::ops::Range<usize>) -> Parse<u32> {
    if let Some(index) = number(name).filter(|_| name.starts_with(|c: char| c.is_ascii_digit())) {
        return u32::try_from(index)
            .map_err(|_| At::new(span, format!("{index:#x} is not a 32-bit MSR index")));
    }
    msr::by_name(name).ok_or_else(|| unknown(span, "MSR", name, msr::all().map(|m| m.1)))
}

/// A basic exit reason by its identifier or number.
fn reason(v: &Value<'_>) -> Parse<u16> {
    if let Some(n) = v.integer()? {
        return match u16::try_from(n) {
            Ok(n) if n < 64 => Ok(n),
            _ => Err(At::new(&v.span, format!("a run loop can stop at exit reasons 0 to 63, not {n}"))),
        };
    }
    let word = v.str()?;
    let known = Reason::ALL.iter().filter(|r| r.0 < 64);
    match known.clone().find(|r| r.ident() == Some(word)) {
        Some(r) => Ok(r.0),
        None => Err(unknown(&v.span, "exit reason", word, known.filter_map(|r| r.ident()))),
    }
}
