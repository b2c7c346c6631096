//! `nestrig list`.

use super::{Setting, print_json};
use crate::{
    ExitCode,
    cli::{Common, Format, Listing},
    scenario,
};
use serde_json::{Value, json};
use x86_spec::vmx::{caps, rules};

pub(crate) fn run(common: &Common, wanted: &[String], what: Listing) -> anyhow::Result<ExitCode> {
    let rows: Vec<(String, String, Value)> = match what {
        Listing::Scenarios => {
            let setting = Setting::new(common)?;
            let row = |(s, _): (scenario::Scenario, _)| {
                let value = json!({ "name": s.name, "title": s.title, "file": s.file, "rule": s.rule, "needs": s.needs });
                (s.name, s.title, value)
            };
            setting.select(wanted)?.into_iter().map(row).collect()
        }
        Listing::Words => {
            let row = |(word, form): &(&str, &str)| {
                ((*word).to_owned(), (*form).to_owned(), json!({ "word": word, "form": form }))
            };
            scenario::WORDS.iter().map(row).collect()
        }
        Listing::L2 => l2_guests::BEHAVIOURS.iter().map(behaviour).collect(),
        Listing::Rules => {
            let row = |r: &rules::Rule| {
                let fields: Vec<&str> = r.fields.iter().map(|f| f.name()).collect();
                let value = json!({ "id": r.id, "text": r.text, "title": r.title, "fields": fields });
                (r.id.to_owned(), format!("{} (\"{}\")", r.text, r.title), value)
            };
            rules::all().map(row).collect()
        }
        Listing::Abilities => {
            let row = |a: &&str| ((*a).to_owned(), String::new(), json!(a));
            caps::ABILITIES.iter().map(row).collect()
        }
    };
    match common.format {
        Format::Human => {
            let width = rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
            for (name, text, _) in &rows {
                anstream::println!("{}", format!("{name:<width$}  {text}").trim_end());
            }
        }
        Format::Json => print_json(&Value::Array(rows.into_iter().map(|r| r.2).collect()))?,
    }
    Ok(ExitCode::Expected)
}

fn behaviour(b: &l2_guests::Behaviour) -> (String, String, Value) {
    let bits: Vec<String> = b.bits.iter().map(u32::to_string).collect();
    let args: Vec<String> = b.args.iter().map(|(r, text)| format!("{r}: {text}")).collect();
    let points: Vec<&str> = b.points.iter().map(|p| p.name).collect();
    let text = format!(
        "{} [{}]{}{}",
        b.text.trim(),
        bits.join(" "),
        if points.is_empty() { String::new() } else { format!(" @{}", points.join(" @")) },
        if args.is_empty() { String::new() } else { format!(" ({})", args.join(", ")) },
    );
    let value = json!({ "name": b.name, "bits": b.bits, "text": b.text, "points": points, "args": args });
    (b.name.to_owned(), text, value)
}
