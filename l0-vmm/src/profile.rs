//! Processor models as files: `fixtures/profiles/NAME.toml`.
//!
//! A profile says what CPUID and the VMX capability MSRs report; what the checks of VMX need to know besides (the width
//! of physical addresses, features that decide which bits are reserved) follows from CPUID, so that a file cannot
//! contradict itself.

mod features;

use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeMap, fmt::Write, fs, io, path::Path, path::PathBuf};
use x86_ref::{CpuidLeaf, Profile};
use x86_spec::{
    msr,
    vmx::caps::{self, Caps},
};

pub use features::features;

#[cfg(test)]
mod tests;

/// A profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("{}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in a file is wrong.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What.
        source: Box<Self>,
    },
    /// It is not TOML of this shape.
    #[error("{0}")]
    Toml(String),
    /// No MSR has this name or number.
    #[error("no MSR is called {0:?}: give the name that the SDM gives it, or a number like \"0x1a0\"")]
    UnknownMsr(String),
    /// A VMX capability MSR is missing.
    #[error("[vmx] lacks {0}, which the ones before it promise")]
    MissingCapability(&'static str),
    /// A VMX capability MSR is too many.
    #[error("[vmx] has {0}, which the ones before it say does not exist")]
    ExtraCapability(&'static str),
    /// CPUID and the table of capabilities disagree.
    #[error("CPUID leaf 1 says VMX is {cpuid}, but [vmx] is {table}")]
    Vmx {
        /// "there" or "not there".
        cpuid: &'static str,
        /// "there" or "not there".
        table: &'static str,
    },
    /// A CPUID leaf is there twice.
    #[error("CPUID leaf {leaf:#x} subleaf {subleaf} is there twice")]
    DoubleLeaf {
        /// The leaf.
        leaf: u32,
        /// The subleaf, or "none".
        subleaf: String,
    },
    /// The width of physical addresses makes no sense.
    #[error("CPUID leaf 0x80000008 says {0} physical-address bits: 32 to 52 make sense")]
    PhysicalWidth(u8),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    vmx: BTreeMap<String, Number>,
    #[serde(default)]
    cpuid: Vec<Leaf>,
    #[serde(default)]
    msrs: BTreeMap<String, Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf {
    leaf: u32,
    subleaf: Option<u32>,
    #[serde(default)]
    eax: u32,
    #[serde(default)]
    ebx: u32,
    #[serde(default)]
    ecx: u32,
    #[serde(default)]
    edx: u32,
}

/// A 64-bit number: TOML's own integers are signed, so it may also be a string.
#[derive(Clone, Copy)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number, or a string with one (\"0x00da_0400_0000_0004\")")]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(n) => Ok(Self(n)),
            Either::Text(text) => {
                let number = number(&text);
                number.map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is no 64-bit number")))
            }
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

/// Reads a file.
pub fn load(path: &Path) -> Result<Profile, ProfileError> {
    let text = fs::read_to_string(path).map_err(|source| ProfileError::Read { path: path.into(), source })?;
    parse(&text).map_err(|e| ProfileError::File { path: path.into(), source: Box::new(e) })
}

/// Reads the text of a file.
pub fn parse(text: &str) -> Result<Profile, ProfileError> {
    let file: File = toml::from_str(text).map_err(|e| ProfileError::Toml(e.to_string()))?;
    let cpuid = leaves(&file.cpuid)?;
    let msrs = file
        .msrs
        .iter()
        .map(|(name, value)| {
            let index = msr::by_name(name).or_else(|| number(name).and_then(|n| u32::try_from(n).ok()));
            Ok((index.ok_or_else(|| ProfileError::UnknownMsr(name.clone()))?, value.0))
        })
        .collect::<Result<Vec<_>, ProfileError>>()?;
    let mut profile = Profile { name: file.name, caps: Caps::NONE, cpuid, msrs };
    profile.msrs.sort_unstable();
    profile.caps = capabilities(&file.vmx, features::has_vmx(&profile))?;
    complete(&mut profile)?;
    Ok(profile)
}

/// Fills in what follows from CPUID and MSRs: the width of physical addresses and the features.
pub(crate) fn complete(profile: &mut Profile) -> Result<(), ProfileError> {
    let width = features::physical_width(profile);
    if !(32..=52).contains(&width) {
        return Err(ProfileError::PhysicalWidth(width));
    }
    profile.caps = profile.caps.with_cpu(width, features(profile));
    Ok(())
}

fn leaves(leaves: &[Leaf]) -> Result<Vec<CpuidLeaf>, ProfileError> {
    let mut all: Vec<CpuidLeaf> = leaves
        .iter()
        .map(|l| CpuidLeaf { leaf: l.leaf, subleaf: l.subleaf, regs: [l.eax, l.ebx, l.ecx, l.edx] })
        .collect();
    all.sort_by_key(|l| (l.leaf, l.subleaf));
    for pair in all.windows(2) {
        let [a, b] = [&pair[0], &pair[1]];
        if a.leaf == b.leaf && (a.subleaf == b.subleaf || a.subleaf.is_none()) {
            let subleaf = b.subleaf.map_or_else(|| "none".into(), |s| s.to_string());
            return Err(ProfileError::DoubleLeaf { leaf: a.leaf, subleaf });
        }
    }
    Ok(all)
}

fn capabilities(table: &BTreeMap<String, Number>, vmx: bool) -> Result<Caps, ProfileError> {
    let words = |there| if there { "there" } else { "not there" };
    if vmx == table.is_empty() {
        return Err(ProfileError::Vmx { cpuid: words(vmx), table: words(!table.is_empty()) });
    }
    if let Some(name) = table.keys().find(|n| !caps::MSRS.iter().any(|m| m.1 == **n)) {
        return Err(ProfileError::UnknownMsr(name.clone()));
    }
    let mut all = Caps::NONE;
    if !vmx {
        return Ok(all);
    }
    for &(index, name) in caps::MSRS {
        match (all.has_msr(index), table.get(name)) {
            (true, Some(value)) => {
                all.set_msr(index, value.0);
            }
            (true, None) => return Err(ProfileError::MissingCapability(name)),
            (false, Some(_)) => return Err(ProfileError::ExtraCapability(name)),
            (false, None) => {}
        }
    }
    Ok(all)
}

/// The text of a file that gives this profile.
pub fn to_toml(profile: &Profile) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_toml(&mut out, profile);
    out
}

fn write_toml(out: &mut String, profile: &Profile) -> std::fmt::Result {
    writeln!(out, "name = {}", toml::Value::from(profile.name.as_str()))?;
    if features::has_vmx(profile) {
        writeln!(out, "\n[vmx]")?;
        for &(index, name) in caps::MSRS {
            if let Some(value) = profile.caps.msr(index) {
                writeln!(out, "{name} = \"{value:#018x}\"")?;
            }
        }
    }
    if !profile.msrs.is_empty() {
        writeln!(out, "\n[msrs]")?;
    }
    for &(index, value) in &profile.msrs {
        match msr::name(index) {
            Some(name) => writeln!(out, "{name} = \"{value:#x}\"")?,
            None => writeln!(out, "\"{index:#x}\" = \"{value:#x}\"")?,
        }
    }
    for l in &profile.cpuid {
        let [eax, ebx, ecx, edx] = l.regs;
        writeln!(out, "\n[[cpuid]]\nleaf = {:#x}", l.leaf)?;
        if let Some(subleaf) = l.subleaf {
            writeln!(out, "subleaf = {subleaf}")?;
        }
        writeln!(out, "eax = {eax:#010x}\nebx = {ebx:#010x}\necx = {ecx:#010x}\nedx = {edx:#010x}")?;
    }
    Ok(())
}
