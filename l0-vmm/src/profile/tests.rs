use super::*;
use std::path::PathBuf;
use x86_spec::{
    cr::cr4,
    vmx::{
        caps::Features,
        controls::{Proc, Proc2, Word},
    },
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/profiles")
}

fn all() -> Vec<Profile> {
    let files = fs::read_dir(fixtures()).unwrap().map(|f| f.unwrap().path());
    let profiles: Vec<Profile> = files.map(|f| load(&f).unwrap_or_else(|e| panic!("{e}"))).collect();
    assert!(profiles.len() >= 2);
    profiles
}

#[test]
fn fixtures_survive_being_written_and_read() {
    for profile in all() {
        assert_eq!(parse(&to_toml(&profile)).unwrap(), profile, "{}", profile.name);
        assert!(fixtures().join(format!("{}.toml", profile.name)).exists(), "{}", profile.name);
    }
}

#[test]
fn cr4_in_vmx_operation_is_what_cpuid_reports() {
    for p in all() {
        let has = |f| p.caps.features.contains(f);
        let mut expected = (2 * cr4::OSXMMEXCPT - 1) | cr4::VMXE;
        for (feature, bit) in [
            (Features::UMIP, cr4::UMIP),
            (Features::LA57, cr4::LA57),
            (Features::CET_SS, cr4::CET),
            (Features::PKS, cr4::PKS),
            (Features::FSGSBASE, cr4::FSGSBASE),
            (Features::PCID, cr4::PCIDE),
            (Features::XSAVE, cr4::OSXSAVE),
            (Features::SMEP, cr4::SMEP),
            (Features::SMAP, cr4::SMAP),
        ] {
            expected |= if has(feature) { bit } else { 0 };
        }
        assert_eq!(p.caps.cr4_fixed1, expected, "{}: {:#x}", p.name, p.caps.cr4_fixed1);
    }
}

#[test]
fn controls_for_instructions_go_with_the_instructions() {
    for p in all() {
        for (control, feature) in [
            (Proc2::ENABLE_RDTSCP, Features::RDTSCP),
            (Proc2::ENABLE_INVPCID, Features::INVPCID),
            (Proc2::ENABLE_XSAVES, Features::XSAVES),
        ] {
            assert_eq!(p.caps.allows(Word::Proc2, control), p.caps.features.contains(feature), "{}", p.name);
        }
    }
}

#[test]
fn the_generations_differ_as_they_did() {
    let caps = |name: &str| load(&fixtures().join(format!("{name}.toml"))).unwrap().caps;
    let rows: &[(&str, &[&str], &[&str])] = &[
        (
            "nehalem",
            &["ept", "vpid", "apic-access"],
            &["unrestricted-guest", "ept-ad", "ept-1g", "shadow-vmcs"],
        ),
        (
            "haswell",
            &["unrestricted-guest", "ept-ad", "shadow-vmcs"],
            &["pml", "tsc-scaling", "mode-based-execute"],
        ),
        ("sapphire_rapids_server", &["ipi-virtualization", "load-cet", "load-pkrs"], &["hlat"]),
        ("icelake_server", &["spp", "ept-walk-5", "ept-advanced-info"], &["tertiary-controls", "load-cet"]),
    ];
    for (name, has, lacks) in rows {
        let caps = caps(name);
        assert!(has.iter().all(|a| caps.has(a).unwrap()), "{name} {has:?}");
        assert!(!lacks.iter().any(|a| caps.has(a).unwrap()), "{name} {lacks:?}");
    }
}

#[test]
fn the_default_and_the_minimal_profile_are_what_their_names_say() {
    let default = load(&fixtures().join("skylake_server.toml")).unwrap();
    let has = |ability| default.caps.has(ability).unwrap();
    for ability in [
        "ept",
        "ept-execute-only",
        "ept-1g",
        "ept-ad",
        "vpid",
        "unrestricted-guest",
        "mtf",
        "true-controls",
        "pml",
        "eptp-switching",
        "posted-interrupts",
        "virtual-interrupt-delivery",
        "mode-based-execute",
    ] {
        assert!(has(ability), "{ability}");
    }
    assert!(!has("spp") && !has("tertiary-controls"));
    assert_eq!((default.caps.maxphyaddr, default.caps.preemption_timer_rate()), (46, 5));
    let minimal = load(&fixtures().join("minimal.toml")).unwrap();
    assert!(!minimal.caps.allows(Word::Proc, Proc::ACTIVATE_SECONDARY_CONTROLS));
    assert!(!minimal.caps.true_controls());
    assert_eq!(minimal.caps.maxphyaddr, 36);
}

/// Without VMX; 36 address bits.
const PLAIN: &str = "name = \"plain\"\n[[cpuid]]\nleaf = 1\necx = 0\n";

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn what_contradicts_itself_is_refused() {
    assert!(parse(PLAIN).is_ok());
    assert_eq!(
        error(&PLAIN.replace("ecx = 0", "ecx = 0x20")),
        "CPUID leaf 1 says VMX is there, but [vmx] is not there"
    );
    let vmx = "name = \"v\"\nvmx = { IA32_VMX_BASIC = 4 }\n[[cpuid]]\nleaf = 1\necx = 0x20\n";
    assert_eq!(error(vmx), "[vmx] lacks IA32_VMX_PINBASED_CTLS, which the ones before it promise");
    let full = fs::read_to_string(fixtures().join("minimal.toml")).unwrap();
    let extra = full.replace("[vmx]", "[vmx]\nIA32_VMX_VMFUNC = 1");
    assert_eq!(error(&extra), "[vmx] has IA32_VMX_VMFUNC, which the ones before it say does not exist");
    let twice = format!("{PLAIN}[[cpuid]]\nleaf = 1\nsubleaf = 0\n");
    assert_eq!(error(&twice), "CPUID leaf 0x1 subleaf 0 is there twice");
    let wide = format!("{PLAIN}[[cpuid]]\nleaf = 0x80000008\neax = 0x3050\n");
    assert_eq!(error(&wide), "CPUID leaf 0x80000008 says 80 physical-address bits: 32 to 52 make sense");
}

#[test]
fn what_is_misspelt_is_refused() {
    assert!(error(&PLAIN.replace("ecx", "exx")).contains("exx"));
    assert!(error("nane = 1").contains("nane"));
    let msr = format!("{PLAIN}[msrs]\nIA32_PATT = 0\n");
    assert!(error(&msr).starts_with("no MSR is called \"IA32_PATT\""));
    let number = format!("{PLAIN}[msrs]\nIA32_PAT = \"0xg\"\n");
    assert!(error(&number).contains("\"0xg\" is no 64-bit number"));
}

#[test]
fn msrs_have_names_or_numbers_and_all_64_bits() {
    let p = parse(&format!("{PLAIN}[msrs]\nIA32_PAT = \"0xffff_0000_0000_0001\"\n\"0x1a0\" = 7\n")).unwrap();
    assert_eq!(p.msrs, [(0x1a0, 7), (0x277, 0xffff_0000_0000_0001)]);
}

#[test]
fn an_error_names_the_file() {
    let error = load(Path::new("/nonexistent/p.toml")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/p.toml"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
