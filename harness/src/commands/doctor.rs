//! `nestrig doctor`.

use super::{Setting, print_json};
use crate::{
    ExitCode,
    cli::{Common, Format},
    engines,
};
use l0_vmm::engine::{EngineKind, Nested, NestedKvm, probe_kvm};
use serde_json::{Value, json};

pub(crate) fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let setting = Setting::new(common)?;
    let mut rows = Vec::new();
    for o in engines::open(&[], &setting.profile) {
        let mut notes = Vec::new();
        let (able, state) = match &o.engine {
            Ok(engine) => {
                notes.push(match engine.nested() {
                    Nested::Reference => "L1 and L2 run on the reference CPU, in process".to_owned(),
                    Nested::Kernel => "the kernel's own nested VMX is under test".to_owned(),
                    Nested::Assisted => {
                        "L1 runs on KVM; its VMX instructions and L2 run on the reference CPU".to_owned()
                    }
                });
                (true, engine.describe())
            }
            Err(why) => (false, why.to_string()),
        };
        if o.kind == EngineKind::Kvm {
            notes.extend(kvm_notes());
        }
        rows.push((o.kind, able, state, notes));
    }
    match common.format {
        Format::Human => {
            for (kind, able, state, notes) in &rows {
                anstream::println!("{kind:<4} {} {state}", if *able { "yes" } else { "no: " });
                for note in notes {
                    anstream::println!("         {note}");
                }
            }
            anstream::println!("fixtures {}", setting.fixtures.display());
        }
        Format::Json => {
            let row = |(kind, able, state, notes): &(EngineKind, bool, String, Vec<String>)| -> Value {
                json!({ "engine": kind.name(), "available": able, "state": state, "notes": notes })
            };
            print_json(&json!({ "engines": rows.iter().map(row).collect::<Vec<_>>() }))?;
        }
    }
    Ok(if rows.iter().any(|r| r.1) { ExitCode::Expected } else { ExitCode::NothingRan })
}

/// What was found out about `/dev/kvm`, line by line.
fn kvm_notes() -> Vec<String> {
    let probe = probe_kvm();
    let mut notes = Vec::new();
    if probe.unavailable.is_none() {
        notes.push(match &probe.nested {
            NestedKvm::Kernel(state) => {
                format!("nested VMX by the kernel: yes (KVM_CAP_NESTED_STATE {state})")
            }
            NestedKvm::Assisted(why) => format!("nested VMX by the kernel: no: {why}"),
        });
        let capabilities: Vec<String> =
            probe.capabilities.iter().map(|(name, v)| format!("{name} {v}")).collect();
        notes.push(capabilities.join(", "));
    }
    notes.extend(probe.parameters.iter().map(|(path, value)| format!("{path} = {value}")));
    notes
}
