//! What the freestanding images promise to L0, read from their machine code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use goblin::elf::{Elf, program_header::PT_LOAD, section_header::SHF_EXECINSTR};
use harness::images;
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use rig_abi::layout;
use std::collections::BTreeSet;

/// The bytes of a section.
fn section<'a>(file: &'a [u8], elf: &Elf<'_>, name: &str) -> Option<&'a [u8]> {
    let header = elf.section_headers.iter().find(|s| elf.shdr_strtab.get_at(s.sh_name) == Some(name))?;
    file.get(header.file_range()?)
}

/// Every instruction of the executable sections, which hold nothing but code.
fn instructions(file: &[u8], elf: &Elf<'_>) -> Vec<Instruction> {
    let mut all = Vec::new();
    for header in elf.section_headers.iter().filter(|s| s.sh_flags & u64::from(SHF_EXECINSTR) != 0) {
        let code = &file[header.file_range().unwrap()];
        let decoder = Decoder::with_ip(64, code, header.sh_addr, DecoderOptions::NONE);
        all.extend(decoder);
    }
    all
}

fn l1() -> (Elf<'static>, Vec<Instruction>) {
    let elf = Elf::parse(images::L1).unwrap();
    let all = instructions(images::L1, &elf);
    (elf, all)
}

/// Whether a KVM without nested VMX cannot run it, or not as L1 needs it.
fn sensitive(instruction: &Instruction) -> bool {
    use Mnemonic as M;
    let cr0_or_cr4 = (0..instruction.op_count())
        .any(|i| matches!(instruction.op_register(i), Register::CR0 | Register::CR4));
    match instruction.mnemonic() {
        M::Vmxon | M::Vmxoff | M::Vmclear | M::Vmptrld | M::Vmptrst | M::Vmread | M::Vmwrite => true,
        M::Vmlaunch | M::Vmresume | M::Vmcall | M::Vmfunc | M::Invept | M::Invvpid => true,
        M::Rdmsr | M::Wrmsr | M::Cpuid => true,
        M::Mov => cr0_or_cr4,
        _ => false,
    }
}

#[test]
fn l1_lies_where_the_layout_says() {
    let (elf, _) = l1();
    assert_eq!(elf.entry, layout::L1_IMAGE);
    let loads: Vec<_> = elf.program_headers.iter().filter(|h| h.p_type == PT_LOAD).collect();
    assert_eq!(loads.len(), 3);
    for load in loads {
        assert!(load.p_vaddr >= layout::L1_IMAGE);
        assert!(load.p_vaddr + load.p_memsz <= layout::L1_PAGING);
        assert!(!(load.is_write() && load.is_executable()));
    }
}

#[test]
fn l1_decodes_from_end_to_end_without_vector_or_fpu_registers() {
    let (_, all) = l1();
    assert!(all.len() > 1000);
    for instruction in &all {
        let (ip, code) = (instruction.ip(), instruction.code());
        assert_ne!(code, Code::INVALID, "at {ip:#x}");
        for operand in 0..instruction.op_count() {
            if instruction.op_kind(operand) != OpKind::Register {
                continue;
            }
            let register = instruction.op_register(operand);
            assert!(
                !register.is_vector_register() && !register.is_mm() && !register.is_st(),
                "{code:?} at {ip:#x}"
            );
        }
        let features = instruction.cpuid_features();
        assert!(!features.contains(&CpuidFeature::FPU), "{code:?} at {ip:#x}");
    }
}

#[test]
fn the_list_of_sensitive_instructions_is_exact() {
    let (elf, all) = l1();
    let list = section(images::L1, &elf, ".nestrig.sensitive").unwrap();
    let (addresses, rest) = list.as_chunks::<8>();
    assert!(rest.is_empty());
    let listed: BTreeSet<u64> = addresses.iter().map(|a| u64::from_le_bytes(*a)).collect();
    assert_eq!(listed.len(), addresses.len(), "an address is listed twice");
    let found: BTreeSet<u64> = all.iter().filter(|i| sensitive(i)).map(Instruction::ip).collect();
    let names = |set: BTreeSet<u64>| -> Vec<String> {
        let code = |ip| all.iter().find(|i| i.ip() == ip).map(Instruction::code);
        set.into_iter().map(|ip| format!("{ip:#x} {:?}", code(ip))).collect()
    };
    assert_eq!(names(&listed - &found), [""; 0], "listed, and no sensitive instruction");
    assert_eq!(names(&found - &listed), [""; 0], "sensitive, and not listed");
}

#[test]
fn the_exception_table_names_instructions() {
    let (elf, all) = l1();
    let table = section(images::L1, &elf, ".extable").unwrap();
    let starts: BTreeSet<u64> = all.iter().map(Instruction::ip).collect();
    let (pairs, rest) = table.as_chunks::<16>();
    assert!(rest.is_empty() && !pairs.is_empty());
    for pair in pairs {
        for address in pair.as_chunks::<8>().0 {
            let address = u64::from_le_bytes(*address);
            assert!(starts.contains(&address), "{address:#x}");
        }
    }
}

#[test]
fn l2_lies_where_the_layout_says() {
    let elf = Elf::parse(images::L2).unwrap();
    for load in elf.program_headers.iter().filter(|h| h.p_type == PT_LOAD && h.p_memsz > 0) {
        assert!(load.p_paddr >= layout::L2_IMAGE);
        assert!(load.p_paddr + load.p_memsz <= layout::L2_IMAGE + layout::L2_IMAGE_MAX);
    }
}
