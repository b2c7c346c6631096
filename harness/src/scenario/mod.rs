//! Scenarios: TOML files that say what L1 does, compiled to the script that it interprets.
//!
//! The language is described in `fixtures/scenarios/README.md`; [`WORDS`] has one row for each word of it.

mod expr;
mod steps;
mod toml;

pub use self::toml::ScenarioError;
pub use steps::{REGISTERS, WORDS};

use self::toml::{At, Parse, Table, Value, unknown};
use ::toml::de::DeTable;
use expr::Names;
use l0_vmm::{engine::Script, image::Image};
use rig_abi::{
    layout,
    script::{Mode, Op, Start, Step},
};
use std::{fs, path::Path};
use steps::Compiler;
use x86_spec::vmx::{caps::Caps, rules};

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Area and file name without its ending: `entry/guest_rflags_reserved`.
    pub name: String,
    /// The file, as messages name it.
    pub file: String,
    /// One line that says what it shows.
    pub title: String,
    /// The row of the manual's table that it is about.
    pub rule: Option<String>,
    /// Abilities that the processor must have.
    pub needs: Vec<String>,
    text: String,
}

/// A scenario compiled for one processor.
#[derive(Clone, Debug)]
pub struct Program {
    /// What L1 interprets.
    pub script: Script,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// One case of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Name; empty in a scenario without a `[[case]]`.
    pub name: String,
    /// Title, where the case has its own.
    pub title: Option<String>,
    /// Rule, where the case has its own.
    pub rule: Option<String>,
    /// The L2 behaviour that runs in it; `None`: code given in bytes.
    pub l2: Option<String>,
    /// CPU mode of L2.
    pub mode: Mode,
    /// Index of its [`Op::CASE`] step.
    pub step: usize,
}

impl Scenario {
    /// Reads a scenario file and checks all of it, for a processor with those capabilities. `name`: see [`Scenario::name`].
    pub fn load(path: &Path, name: &str, caps: &Caps, l2: &Image) -> anyhow::Result<Self> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{file}: {e}"))?;
        Ok(Self::parse(name, &file, text, caps, l2)?)
    }

    /// A scenario from its text.
    pub fn parse(
        name: &str,
        file: &str,
        text: String,
        caps: &Caps,
        l2: &Image,
    ) -> Result<Self, ScenarioError> {
        let mut scenario = Self {
            name: name.to_owned(),
            file: file.to_owned(),
            title: String::new(),
            rule: None,
            needs: Vec::new(),
            text,
        };
        let parsed = parse(&scenario.text, caps, l2).map_err(|at| at.in_file(file, &scenario.text))?;
        (scenario.title, scenario.rule, scenario.needs) = (parsed.title, parsed.rule, parsed.needs);
        Ok(scenario)
    }

    /// Compiles it for a processor with those capabilities.
    pub fn program(&self, caps: &Caps, l2: &Image) -> Result<Program, ScenarioError> {
        parse(&self.text, caps, l2).map(|p| p.program).map_err(|at| at.in_file(&self.file, &self.text))
    }

    /// The first ability that it needs and the processor lacks.
    pub fn lacks(&self, caps: &Caps) -> Option<&str> {
        self.needs.iter().map(String::as_str).find(|need| caps.has(need) != Some(true))
    }
}

struct Parsed {
    title: String,
    rule: Option<String>,
    needs: Vec<String>,
    program: Program,
}

/// What a case may say itself and else takes from the top of the file.
#[derive(Clone)]
struct Defaults<'a> {
    l2: Option<Value<'a>>,
    code: Option<Value<'a>>,
    mode: Mode,
    start: Start,
    regs: Option<Value<'a>>,
    rule: Option<String>,
}

impl<'a> Defaults<'a> {
    fn take(table: &mut Table<'a>, from: &Self) -> Parse<Self> {
        let (l2, code) = (table.take("l2"), table.take("code"));
        let own = l2.is_some() || code.is_some();
        if let (Some(_), Some(code)) = (&l2, &code) {
            return Err(At::new(&code.span, "\"l2\" and \"code\" exclude each other"));
        }
        Ok(Self {
            l2: if own { l2 } else { from.l2.clone() },
            code: if own { code } else { from.code.clone() },
            mode: name(table.take("mode"), "mode", from.mode, Mode::from_name, Mode::ALL, Mode::name)?,
            start: name(table.take("start"), "start", from.start, Start::from_name, Start::ALL, Start::name)?,
            regs: table.take("regs").or_else(|| from.regs.clone()),
            rule: rule(table.take("rule"))?.or_else(|| from.rule.clone()),
        })
    }
}

/// A word of an open enum.
fn name<T: Copy + 'static>(
    value: Option<Value<'_>>,
    what: &str,
    default: T,
    from: fn(&str) -> Option<T>,
    all: &'static [T],
    to: fn(T) -> Option<&'static str>,
) -> Parse<T> {
    let Some(value) = value else { return Ok(default) };
    let word = value.str()?;
    from(word).ok_or_else(|| unknown(&value.span, what, word, all.iter().filter_map(|v| to(*v))))
}

fn rule(value: Option<Value<'_>>) -> Parse<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    let id = value.str()?;
    match rules::by_id(id) {
        Some(_) => Ok(Some(id.to_owned())),
        None => Err(unknown(&value.span, "rule", id, rules::all().map(|r| r.id))),
    }
}

fn parse(text: &str, caps: &Caps, l2: &Image) -> Parse<Parsed> {
    let document = DeTable::parse(text).map_err(|e| At::new(&e.span().unwrap_or(0..0), e.message()))?;
    let mut top = Table::new(document.get_ref(), 0..0);
    let title = top.need("title")?.str()?.to_owned();
    let mut needs = Vec::new();
    for need in top.take("needs").map(|n| n.array()).transpose()?.unwrap_or_default() {
        let word = need.str()?;
        if caps.has(word).is_none() {
            return Err(unknown(&need.span, "ability", word, x86_spec::vmx::caps::ABILITIES.iter().copied()));
        }
        needs.push(word.to_owned());
    }
    let nothing =
        Defaults { l2: None, code: None, mode: Mode::LONG64, start: Start::L2, regs: None, rule: None };
    let defaults = Defaults::take(&mut top, &nothing)?;
    let before = top.take("before").map(|b| b.array()).transpose()?.unwrap_or_default();
    let steps = top.take("steps");
    let cases = top.take("case");
    top.finish("a scenario")?;

    let mut compiler = Compiler::default();
    let mut program = Program { script: Script::default(), cases: Vec::new() };
    match (steps, cases) {
        (Some(steps), None) => {
            let parts = [before, steps.array()?];
            program.cases.push(case(&mut compiler, (String::new(), None), &defaults, &parts, 0, caps, l2)?);
        }
        (None, Some(cases)) => {
            for (n, value) in cases.array()?.into_iter().enumerate() {
                let mut table = value.table()?;
                let name = table.need("name")?;
                let (name, span) = (name.str()?.to_owned(), name.span);
                if program.cases.iter().any(|c| c.name == name) {
                    return Err(At::new(&span, format!("there is a case \"{name}\" already")));
                }
                let title = table.take("title").map(|t| t.str().map(str::to_owned)).transpose()?;
                let own = Defaults::take(&mut table, &defaults)?;
                let steps = table.need("steps")?.array()?;
                table.finish("a case")?;
                let parts = [before.clone(), steps];
                program.cases.push(case(&mut compiler, (name, title), &own, &parts, n, caps, l2)?);
            }
        }
        (Some(steps), Some(_)) => {
            return Err(At::new(
                &steps.span,
                "\"steps\" and \"[[case]]\" exclude each other; use \"before\"",
            ));
        }
        (None, None) => return Err(At::new(&(0..0), "a scenario needs \"steps\" or a \"[[case]]\"")),
    }
    program.script = compiler.finish().map_err(|message| At::new(&(0..0), message))?;
    Ok(Parsed { title, rule: defaults.rule, needs, program })
}

/// Compiles one case: its CASE step, its code and registers, its steps.
fn case(
    compiler: &mut Compiler,
    (name, title): (String, Option<String>),
    own: &Defaults<'_>,
    parts: &[Vec<Value<'_>>],
    number: usize,
    caps: &Caps,
    l2: &Image,
) -> Parse<Case> {
    let behaviour = own.l2.as_ref().map(|v| v.str()).transpose()?;
    let bits = own.mode.bits();
    let point = |point: &str| match behaviour {
        None if point.is_empty() => Ok(layout::L2_CODE),
        None => Err(format!("\"@{point}\": code given in bytes has no points")),
        Some(l2_name) => {
            let suffix = if point.is_empty() { String::new() } else { format!(".{point}") };
            l2.symbol(&format!("l2.{bits}.{l2_name}{suffix}"))
                .ok_or_else(|| format!("the {bits}-bit L2 behaviour \"{l2_name}\" has no point \"{point}\""))
        }
    };
    let entry = match (&own.l2, behaviour) {
        (Some(value), Some(l2_name)) => l2.symbol(&format!("l2.{bits}.{l2_name}")).ok_or_else(|| {
            unknown(&value.span, &format!("{bits}-bit L2 behaviour"), l2_name, behaviours(l2, bits))
        })?,
        _ => layout::L2_CODE,
    };
    let names = Names { caps, point: &point };
    let step = compiler.len();
    compiler.push(Step {
        op: Op::CASE.0,
        arg: number as u32,
        a: entry,
        b: u64::from(own.mode.0),
        c: u64::from(own.start.0),
        ..Step::default()
    });
    if let Some(code) = &own.code {
        compiler.code(code, layout::L2_CODE)?;
    }
    if let Some(regs) = &own.regs {
        compiler.registers(regs.table()?, &names, true)?;
    }
    for value in parts.iter().flatten() {
        compiler.step(value, &names)?;
    }
    Ok(Case { name, title, rule: own.rule.clone(), l2: behaviour.map(str::to_owned), mode: own.mode, step })
}

/// Names of the L2 behaviours of that width.
pub fn behaviours(l2: &Image, bits: u32) -> impl Iterator<Item = &str> {
    let prefix = format!("l2.{bits}.");
    l2.symbols.iter().filter_map(move |s| s.name.strip_prefix(&prefix)).filter(|name| !name.contains('.'))
}
