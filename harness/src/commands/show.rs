//! `nestrig show`.

use super::{Setting, print_json};
use crate::{
    ExitCode,
    cli::{Common, Format},
    engines, verdict,
};
use l0_vmm::engine::{EngineKind, Limits};
use serde_json::json;

pub(crate) fn run(common: &Common, name: &str, kind: EngineKind, l0: bool) -> anyhow::Result<ExitCode> {
    let setting = Setting::new(common)?;
    let (scenario, profile) = setting.one(name)?;
    let Some(Ok(mut engine)) = engines::open(&[kind], &profile).into_iter().map(|o| o.engine).next() else {
        return unavailable(&setting, kind);
    };
    if let Some(need) = scenario.lacks(&engine.profile().caps) {
        anstream::eprintln!("{} needs {need}, which {} has not", scenario.name, engine.describe());
        return Ok(ExitCode::NothingRan);
    }
    let (program, run) = verdict::run(&scenario, engine.as_mut(), &setting.images, Limits::default())?;
    let trace = verdict::explained(&program, &run, &setting.images);
    match common.format {
        Format::Human => {
            anstream::println!(
                "# {}: {}\n# {}, nested: {}\n",
                scenario.name,
                scenario.title,
                engine.describe(),
                engine.nested()
            );
            anstream::print!("{trace}");
            if !run.debug.is_empty() {
                anstream::println!("\n# debug port: {}", String::from_utf8_lossy(&run.debug).trim_end());
            }
            if l0 {
                anstream::println!("\n# L0: {:?}", run.stats);
                for event in &run.l0_track {
                    anstream::println!("# {event}");
                }
            }
        }
        Format::Json => print_json(&json!({
            "scenario": scenario.name, "title": scenario.title, "engine": engine.kind().name(),
            "nested": engine.nested().to_string(), "description": engine.describe(),
            "trace": trace.lines().collect::<Vec<_>>(),
            "l0": run.l0_track.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?,
    }
    Ok(ExitCode::Expected)
}

/// Says why an engine cannot be used.
pub(super) fn unavailable(setting: &Setting, kind: EngineKind) -> anyhow::Result<ExitCode> {
    for o in engines::open(&[kind], &setting.profile) {
        if let Err(why) = o.engine {
            anstream::eprintln!("{kind}: {why}");
        }
    }
    Ok(ExitCode::NothingRan)
}
