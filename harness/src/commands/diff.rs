//! `nestrig diff`.

use super::{Setting, print_json, show};
use crate::{
    ExitCode,
    cli::{Common, Format},
    engines, verdict,
};
use anstyle::{AnsiColor, Style};
use anyhow::bail;
use l0_vmm::engine::{EngineKind, Limits};
use serde_json::json;
use similar::{DiffTag, TextDiff};

pub(crate) fn run(common: &Common, name: &str, kinds: &[EngineKind]) -> anyhow::Result<ExitCode> {
    let [a, b] = kinds else {
        bail!("diff compares two engines, such as --engines ref,kvm; {} are named", kinds.len())
    };
    let setting = Setting::new(common)?;
    let (scenario, profile) = setting.one(name)?;
    let mut traces = Vec::new();
    for kind in [a, b] {
        let Some(Ok(mut engine)) = engines::open(&[*kind], &profile).into_iter().map(|o| o.engine).next()
        else {
            return show::unavailable(&setting, *kind);
        };
        if let Some(need) = scenario.lacks(&engine.profile().caps) {
            anstream::eprintln!("{} needs {need}, which {} has not", scenario.name, engine.describe());
            return Ok(ExitCode::NothingRan);
        }
        let (program, run) = verdict::run(&scenario, engine.as_mut(), &setting.images, Limits::default())?;
        traces.push((engine.describe(), verdict::trace(&program, &run, &setting.images)));
    }
    let same = traces[0].1 == traces[1].1;
    match common.format {
        Format::Human => anstream::print!("{}", side_by_side(&scenario.name, &traces[0], &traces[1])),
        Format::Json => print_json(&json!({
            "scenario": scenario.name, "same": same,
            "traces": traces.iter().map(|(engine, t)| json!({ "engine": engine, "trace": t.lines().collect::<Vec<_>>() })).collect::<Vec<_>>(),
        }))?,
    }
    Ok(if same { ExitCode::Expected } else { ExitCode::Difference })
}

/// Two traces in two columns; lines that differ are marked, the first of them with words.
fn side_by_side(name: &str, a: &(String, String), b: &(String, String)) -> String {
    let mark = Style::new().fg_color(Some(AnsiColor::Red.into()));
    let diff = TextDiff::from_lines(&a.1, &b.1);
    let (left, right): (Vec<&str>, Vec<&str>) = (a.1.lines().collect(), b.1.lines().collect());
    let width = left.iter().map(|l| l.chars().count()).max().unwrap_or(0).clamp(20, 100);
    let mut out = format!("# {name}\n  {:<width$} | {}\n", a.0, b.0);
    let mut first = true;
    for op in diff.ops() {
        let (old, new) = (op.old_range(), op.new_range());
        for n in 0..old.len().max(new.len()) {
            let l = old.clone().nth(n).and_then(|i| left.get(i)).copied().unwrap_or("");
            let r = new.clone().nth(n).and_then(|i| right.get(i)).copied().unwrap_or("");
            if op.tag() == DiffTag::Equal {
                out.push_str(&format!("  {l:<width$} | {r}\n"));
            } else {
                let note = if first { "   <- first difference" } else { "" };
                out.push_str(&format!("{mark}! {l:<width$} | {r}{note}{mark:#}\n"));
                first = false;
            }
        }
    }
    out.push_str(if first { "no difference\n" } else { "the traces differ\n" });
    out
}
