use super::*;
use proptest::prelude::*;

const ALLOWED: Range<u64> = 0x10_0000..0x20_0000;
const HEADER: usize = 64;
const PHDR: usize = 56;
const SHDR: usize = 64;

/// What the test's ELF file has.
#[derive(Clone)]
struct Spec {
    /// Type, flags, offset, address, size in file, size in memory.
    loads: Vec<(u32, u32, u64, u64, u64, u64)>,
    entry: u64,
    sensitive: Vec<u8>,
    machine: u16,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            loads: vec![(1, 5, 0, 0x10_0000, 0x400, 0x400), (1, 6, 0x100, 0x10_1000, 0x10, 0x2000)],
            entry: 0x10_0010,
            sensitive: 0x10_0020_u64.to_le_bytes().to_vec(),
            machine: 62,
        }
    }
}

/// An ELF file: header, program headers, code, then sections: sensitive, symbols, strings, section names.
fn elf(spec: &Spec) -> Vec<u8> {
    let mut f = vec![0; 0x400];
    let names = b"\0.nestrig.sensitive\0.symtab\0.strtab\0.shstrtab\0";
    let strings = b"\0_start\0data\0.Lhidden\0";
    let mut symbols = vec![0; 24];
    for (name, info, section, value, size) in [
        (1_u32, 2_u8, 1_u16, 0x10_0010_u64, 0x20_u64),
        (8, 1, 1, 0x10_1000, 8),
        (13, 0, 1, 0x10_0018, 0),
        (1, 2, 0, 0, 0),
    ] {
        symbols.extend(name.to_le_bytes());
        symbols.extend([info, 0]);
        symbols.extend(section.to_le_bytes());
        symbols.extend(value.to_le_bytes());
        symbols.extend(size.to_le_bytes());
    }
    let mut place = |bytes: &[u8]| {
        let at = f.len() as u64;
        f.extend_from_slice(bytes);
        f.resize(f.len().next_multiple_of(8), 0);
        (at, bytes.len() as u64)
    };
    // Name, type, place, link, entry size.
    let sections = [
        (0_u32, 0_u32, (0, 0), 0_u32, 0_u64),
        (1, 1, place(&spec.sensitive), 0, 0),
        (20, 2, place(&symbols), 3, 24),
        (28, 3, place(strings), 0, 0),
        (36, 3, place(names), 0, 0),
    ];
    let table = f.len() as u64;
    for (name, kind, (offset, size), link, entry) in sections {
        f.extend(name.to_le_bytes());
        f.extend(kind.to_le_bytes());
        f.extend([0; 16]);
        f.extend(offset.to_le_bytes());
        f.extend(size.to_le_bytes());
        f.extend(link.to_le_bytes());
        f.extend([0; 4]);
        f.extend(8_u64.to_le_bytes());
        f.extend(entry.to_le_bytes());
    }
    assert_eq!(f.len() as u64, table + 5 * SHDR as u64);
    let mut put = |at: usize, bytes: &[u8]| f[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2_u16.to_le_bytes());
    put(18, &spec.machine.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    put(24, &spec.entry.to_le_bytes());
    put(32, &(HEADER as u64).to_le_bytes());
    put(40, &table.to_le_bytes());
    for (n, value) in [HEADER, PHDR, spec.loads.len(), SHDR, 5, 4].into_iter().enumerate() {
        put(52 + 2 * n, &(value as u16).to_le_bytes());
    }
    for (n, &(kind, flags, offset, address, filesz, memsz)) in spec.loads.iter().enumerate() {
        let at = HEADER + n * PHDR;
        put(at, &kind.to_le_bytes());
        put(at + 4, &flags.to_le_bytes());
        for (n, value) in [offset, address, address, filesz, memsz, 0x1000].into_iter().enumerate() {
            put(at + 8 + 8 * n, &value.to_le_bytes());
        }
    }
    f
}

fn parse(change: impl FnOnce(&mut Spec)) -> Result<Image, ImageError> {
    let mut spec = Spec::default();
    change(&mut spec);
    Image::parse(&elf(&spec), ALLOWED)
}

fn error(change: impl FnOnce(&mut Spec)) -> String {
    parse(change).unwrap_err().to_string()
}

#[test]
fn reads_segments_symbols_and_sensitive_instructions() {
    let image = parse(|_| ()).unwrap();
    assert_eq!((image.entry, image.sensitive.as_slice()), (0x10_0010, [0x10_0020].as_slice()));
    let sizes: Vec<_> = image.segments.iter().map(|s| (s.address, s.bytes.len(), s.size)).collect();
    assert_eq!(sizes, [(0x10_0000, 0x400, 0x400), (0x10_1000, 0x10, 0x2000)]);
    assert_eq!(image.symbol("_start"), Some(0x10_0010));
    assert_eq!(image.symbol(".Lhidden"), None);
    assert_eq!(image.symbols.len(), 2);
    assert_eq!(image.range(), 0x10_0000..0x10_3000);
    assert_eq!(image.flatten(0x10_0000).len(), 0x3000);
}

#[test]
fn addresses_have_names() {
    let image = parse(|_| ()).unwrap();
    assert_eq!(image.symbolize(0x10_0010), Some(("_start", 0)));
    assert_eq!(image.symbolize(0x10_0025), Some(("_start", 0x15)));
    assert_eq!(image.symbolize(0x10_1004), Some(("data", 4)));
    assert_eq!(image.symbolize(0x10_0000), None, "before the first symbol");
    assert_eq!(image.symbolize(0x10_0800), None, "between segments");
    assert_eq!(image.symbolize(0x20_0000), None);
}

#[test]
fn what_cannot_be_loaded_is_refused_with_its_values() {
    assert_eq!(
        error(|s| s.loads[1].2 = 0xffff_0000),
        format!(
            "segment 1: bytes 0xffff0000+0x10 lie beyond the end of the file ({:#x})",
            elf(&Spec::default()).len()
        )
    );
    assert_eq!(error(|s| s.loads[1].5 = 8), "segment 1: 0x10 bytes in the file, but only 0x8 in memory");
    assert_eq!(error(|s| s.loads[1].3 = 0x10_03ff), "segments at 0x100000 (size 0x400) and 0x1003ff overlap");
    assert_eq!(
        error(|s| s.loads[1].3 = 0x1f_f000),
        "segment 1: 0x1ff000+0x2000 is outside of 0x100000..0x200000"
    );
    assert!(error(|s| s.loads[1].3 = u64::MAX - 5).contains("outside"));
    assert!(error(|s| s.loads[0].3 = 0xf_f000).starts_with("segment 0: 0xff000"));
    assert_eq!(error(|s| s.entry = 0x10_1000), "the entry point 0x101000 lies in no executable segment");
    assert_eq!(error(|s| s.loads.clear()), "no segment to load (PT_LOAD)");
    assert_eq!(error(|s| s.machine = 183), "the machine is 183, expected 62 (x86-64)");
    assert_eq!(
        error(|s| s.sensitive = vec![0; 12]),
        "section .nestrig.sensitive: 12 bytes are no whole number of addresses"
    );
    assert_eq!(
        error(|s| s.sensitive = 0x10_1000_u64.to_le_bytes().to_vec()),
        "section .nestrig.sensitive: 0x101000 lies in no executable segment"
    );
}

#[test]
fn what_is_no_elf_file_is_refused() {
    for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 200]] {
        assert!(matches!(Image::parse(bytes, ALLOWED), Err(ImageError::Elf(_))));
    }
    let mut other = elf(&Spec::default());
    other[16] = 3;
    assert_eq!(
        Image::parse(&other, ALLOWED).unwrap_err().to_string(),
        "the type is 3, expected 2 (executable, linked to its addresses)"
    );
}

proptest! {
    #[test]
    fn mutated_files_are_refused_or_obey_the_rules(
        changes in proptest::collection::vec((0_usize..1400, any::<u8>()), 1..8),
        words in proptest::collection::vec((0_usize..170, any::<u64>()), 0..3),
        cut in 0_usize..1500,
    ) {
        let mut file = elf(&Spec::default());
        for (at, byte) in changes {
            let len = file.len();
            file[at % len] = byte;
        }
        for (at, word) in words {
            let at = at * 8 % (file.len() - 8);
            file[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        if cut < file.len() && cut % 3 == 0 {
            file.truncate(cut);
        }
        if let Ok(image) = Image::parse(&file, ALLOWED) {
            for s in &image.segments {
                prop_assert!(ALLOWED.contains(&s.address) && s.address + s.size <= ALLOWED.end);
                prop_assert!(s.bytes.len() as u64 <= s.size);
            }
            prop_assert!(image.segments.windows(2).all(|w| w[0].address + w[0].size <= w[1].address));
            let _ = (image.symbolize(image.entry), image.flatten(ALLOWED.start));
        }
    }
}
