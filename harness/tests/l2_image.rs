//! The built image of L2 holds what the list of behaviours says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test, and its helpers")]

use goblin::elf::{
    Elf,
    program_header::PT_LOAD,
    sym::{STT_FILE, STT_FUNC},
};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind};
use l2_guests::{BEHAVIOURS, Behaviour};
use rig_abi::layout::{L2_IMAGE, L2_IMAGE_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// The image: its bytes at [`L2_IMAGE`], and its symbols by name with address and size.
struct Image {
    bytes: Vec<u8>,
    symbols: BTreeMap<String, (u64, u64)>,
}

impl Image {
    fn load() -> Self {
        let file = harness::images::L2;
        let elf = Elf::parse(file).unwrap();
        let loads: Vec<_> = elf.program_headers.iter().filter(|p| p.p_type == PT_LOAD).collect();
        assert_eq!(loads.len(), 1, "one segment");
        assert_eq!(loads[0].p_vaddr, L2_IMAGE);
        assert_eq!(loads[0].p_memsz, loads[0].p_filesz);
        let symbols = elf
            .syms
            .iter()
            .filter_map(|s| Some((elf.strtab.get_at(s.st_name)?.to_owned(), s)))
            // The name of the object file, too, starts with that of the program.
            .filter(|(name, s)| name.starts_with("l2.") && s.st_type() != STT_FILE)
            .map(|(name, s)| {
                assert_eq!(s.st_type(), STT_FUNC, "{name}");
                (name, (s.st_value, s.st_size))
            })
            .collect();
        Self { bytes: file[loads[0].file_range()].to_vec(), symbols }
    }

    fn code(&self, at: u64, len: u64) -> &[u8] {
        &self.bytes[(at - L2_IMAGE) as usize..][..len as usize]
    }

    /// Decodes a behaviour from its start to its end, in the widths that its points say.
    fn decode(&self, b: &Behaviour, bits: u32) -> Vec<Instruction> {
        let (start, len) = self.symbols[&format!("l2.{bits}.{}", b.name)];
        let mut widths = vec![(start, bits)];
        for p in b.points {
            if let Some(to) = p.bits {
                widths.push((self.symbols[&format!("l2.{bits}.{}.{}", b.name, p.name)].0, to));
            }
        }
        widths.push((start + len, 0));
        let mut code = Vec::new();
        for pair in widths.windows(2) {
            let (from, width) = pair[0];
            let bytes = self.code(from, pair[1].0 - from);
            let mut decoder = Decoder::with_ip(width, bytes, from, DecoderOptions::NONE);
            while decoder.can_decode() {
                code.push(decoder.decode());
            }
        }
        code
    }
}

fn each() -> impl Iterator<Item = (&'static Behaviour, u32)> {
    BEHAVIOURS.iter().flat_map(|b| b.bits.iter().map(move |&bits| (b, bits)))
}

#[test]
fn image_holds_what_the_list_says() {
    let image = Image::load();
    assert!(image.bytes.len() as u64 <= L2_IMAGE_MAX);

    // Every name of the list has a symbol, and every symbol is in the list.
    let listed: BTreeSet<String> = each()
        .flat_map(|(b, bits)| {
            let entry = format!("l2.{bits}.{}", b.name);
            let points: Vec<_> = b.points.iter().map(|p| format!("{entry}.{}", p.name)).collect();
            points.into_iter().chain([entry])
        })
        .collect();
    let there: BTreeSet<String> = image.symbols.keys().cloned().collect();
    assert_eq!(listed.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the image");
    assert_eq!(there.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the list");

    // No two names are at one address, so that an address has one name.
    let mut names = BTreeMap::new();
    for (name, (at, _)) in &image.symbols {
        assert_eq!(names.insert(at, name), None, "{name}");
    }
}

#[test]
fn code_decodes_and_ends_in_a_halt() {
    let image = Image::load();
    for (b, bits) in each() {
        let name = format!("l2.{bits}.{}", b.name);
        let code = image.decode(b, bits);
        for i in &code {
            // One behaviour each is about an instruction that is none.
            let meant = (b.name == "lock_nop" || b.name == "too_long") && i.code() == Code::INVALID;
            assert!(i.code() != Code::INVALID || meant, "{name}: no instruction at {:#x}", i.ip());
            let vector = (0..i.op_count())
                .any(|n| i.op_kind(n) == OpKind::Register && i.op_register(n).is_vector_register());
            assert!(!vector, "{name}: a vector operand at {:#x}", i.ip());
        }
        let [.., halt, jump] = code.as_slice() else { panic!("{name}: {} instructions", code.len()) };
        assert_eq!(halt.code(), Code::Hlt, "{name}");
        assert!(jump.is_jmp_short(), "{name}");
        // A 16-bit jump's target is an offset into the segment.
        let target = jump.near_branch_target();
        let base = if jump.code() == Code::Jmp_rel8_16 { L2_IMAGE } else { 0 };
        assert_eq!(target + base, halt.ip(), "{name}");

        // Points lie at instructions, ascend, and reach to the end.
        let starts: BTreeSet<u64> = code.iter().map(Instruction::ip).collect();
        let (start, len) = image.symbols[&name];
        let mut last = start;
        for p in b.points {
            let (at, size) = image.symbols[&format!("{name}.{}", p.name)];
            assert!(starts.contains(&at) || b.name == "too_long", "{name}.{}", p.name);
            assert!(at > last, "{name}.{} is out of order", p.name);
            assert_eq!(at + size, start + len, "{name}.{}", p.name);
            last = at;
        }
        assert!(image.symbols.values().any(|s| s.0 == halt.ip()), "{name}: its halt has no name");
    }
}
