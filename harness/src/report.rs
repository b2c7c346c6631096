//! What came of a run, for people and for programs.

use crate::{
    engines::Opened,
    verdict::{Outcome, Verdict},
};
use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use l0_vmm::engine::EngineKind;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use std::{collections::BTreeMap, fmt::Write};

/// Counts of one engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Scenarios that ran.
    pub ran: usize,
    /// Those whose trace is as expected.
    pub passed: usize,
    /// Those whose trace is not.
    pub differed: usize,
    /// Those that were left out, by reason.
    pub skipped: BTreeMap<String, usize>,
}

impl Summary {
    /// The counts of an engine.
    pub fn of(kind: EngineKind, outcomes: &[Outcome]) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes.iter().filter(|o| o.engine == kind) {
            match &outcome.verdict {
                Verdict::Passed => summary.passed += 1,
                Verdict::Differed { .. } => summary.differed += 1,
                Verdict::Skipped(reason) => *summary.skipped.entry(reason.clone()).or_default() += 1,
            }
        }
        summary.ran = summary.passed + summary.differed;
        summary
    }

    fn line(&self) -> String {
        let mut line = format!("{} ran, {} passed, {} differed", self.ran, self.passed, self.differed);
        let skipped: usize = self.skipped.values().sum();
        let _ = write!(line, ", {skipped} skipped");
        if skipped > 0 {
            let reasons: Vec<String> = self.skipped.iter().map(|(why, n)| format!("{n}: {why}")).collect();
            let _ = write!(line, " ({})", reasons.join("; "));
        }
        line
    }
}

/// The table, the differences, and a line for each engine.
pub fn human(opened: &[Opened], outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    let kinds: Vec<EngineKind> = opened.iter().filter(|o| o.engine.is_ok()).map(|o| o.kind).collect();
    if !kinds.is_empty() {
        let _ = writeln!(out, "{}\n", table(&kinds, outcomes));
    }
    for outcome in outcomes {
        if let Verdict::Differed { expected, seen, why } = &outcome.verdict {
            let _ = writeln!(
                out,
                "{} on {}: {why}\n{}",
                outcome.scenario,
                outcome.engine,
                text_diff(expected, seen)
            );
        }
    }
    for o in opened {
        match &o.engine {
            Ok(engine) => {
                let _ = writeln!(out, "{}: {}", engine.describe(), Summary::of(o.kind, outcomes).line());
            }
            Err(why) => {
                let _ = writeln!(out, "{}: not run: {why}", o.kind);
            }
        }
    }
    out
}

fn table(kinds: &[EngineKind], outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let heads = kinds.iter().map(|k| k.to_string());
    table.set_header(["scenario".to_owned(), "exits".to_owned()].into_iter().chain(heads));
    let mut rows: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        rows.entry(&outcome.scenario).or_default().push(outcome);
    }
    for (scenario, outcomes) in rows {
        let exits = outcomes.iter().map(|o| o.exits).max().unwrap_or(0);
        let cells =
            kinds.iter().map(|kind| match outcomes.iter().find(|o| o.engine == *kind).map(|o| &o.verdict) {
                Some(Verdict::Passed) => "passed".to_owned(),
                Some(Verdict::Differed { .. }) => "DIFFERED".to_owned(),
                Some(Verdict::Skipped(_)) => "skipped".to_owned(),
                None => String::new(),
            });
        table.add_row([scenario.to_owned(), exits.to_string()].into_iter().chain(cells));
    }
    table
}

/// Lines that differ, with some around them; `-` is what was expected.
pub fn text_diff(expected: &str, seen: &str) -> String {
    let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
    let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let mut out = String::new();
    let diff = TextDiff::from_lines(expected, seen);
    for (n, group) in diff.grouped_ops(3).iter().enumerate() {
        if n > 0 {
            out.push_str("  ...\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().trim_end_matches('\n');
            let _ = match change.tag() {
                ChangeTag::Equal => writeln!(out, "    {text}"),
                ChangeTag::Delete => writeln!(out, "  {red}- {text}{red:#}"),
                ChangeTag::Insert => writeln!(out, "  {green}+ {text}{green:#}"),
            };
        }
    }
    out
}

/// The same for programs.
pub fn json(opened: &[Opened], outcomes: &[Outcome]) -> Value {
    let engines: Vec<Value> = opened
        .iter()
        .map(|o| match &o.engine {
            Ok(engine) => {
                let s = Summary::of(o.kind, outcomes);
                json!({
                    "engine": o.kind.name(), "available": true, "description": engine.describe(),
                    "nested": engine.nested().to_string(), "profile": engine.profile().name,
                    "ran": s.ran, "passed": s.passed, "differed": s.differed, "skipped": s.skipped,
                })
            }
            Err(why) => json!({ "engine": o.kind.name(), "available": false, "reason": why.to_string() }),
        })
        .collect();
    let results: Vec<Value> = outcomes
        .iter()
        .map(|o| {
            let mut row = json!({
                "scenario": o.scenario, "engine": o.engine.name(), "exits": o.exits, "instructions": o.instructions,
            });
            match &o.verdict {
                Verdict::Passed => row["verdict"] = json!("passed"),
                Verdict::Skipped(reason) => {
                    row["verdict"] = json!("skipped");
                    row["reason"] = json!(reason);
                }
                Verdict::Differed { expected, seen, why } => {
                    row["verdict"] = json!("differed");
                    row["reason"] = json!(why);
                    row["expected"] = json!(expected);
                    row["seen"] = json!(seen);
                }
            }
            row
        })
        .collect();
    json!({ "engines": engines, "results": results })
}
