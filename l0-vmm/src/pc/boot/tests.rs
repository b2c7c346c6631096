use super::*;
use crate::pc::tests::multiboot;

fn memory(size: usize) -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size)]).unwrap()
}

fn payload(image: Vec<u8>) -> Payload {
    Payload { name: "k".into(), image, command_line: "x=1".into(), modules: Vec::new() }
}

fn error(image: Vec<u8>) -> String {
    load(&memory(4 << 20), &payload(image)).unwrap_err().to_string()
}

fn word(memory: &GuestMemoryMmap, at: u64) -> u32 {
    memory.read_obj(GuestAddress(at)).unwrap()
}

fn text(memory: &GuestMemoryMmap, at: u32) -> String {
    (u64::from(at)..)
        .map(|at| memory.read_obj::<u8>(GuestAddress(at)).unwrap())
        .take_while(|byte| *byte != 0)
        .map(char::from)
        .collect()
}

#[test]
fn multiboot_information() {
    let memory = memory(8 << 20);
    let module = Module { bytes: vec![1, 2, 3], line: "mod a".into() };
    let payload = Payload { modules: vec![module], ..payload(multiboot(b"\xf4")) };
    let state = load(&memory, &payload).unwrap();
    assert_eq!((state.gpr[0], state.rip), (0x2bad_b002, 0x10_0020));
    let info = state.gpr[3];
    let field = |at: u64| word(&memory, info + at);
    assert_eq!(text(&memory, field(16)), "k x=1");
    assert_eq!((field(4), field(8), field(20)), (639, 7 << 10, 1));
    let module = u64::from(field(24));
    assert_eq!(text(&memory, word(&memory, module + 8)), "mod a");
    let (start, end) = (word(&memory, module), word(&memory, module + 4));
    assert_eq!((end - start, start % 4096), (3, 0));
    assert_eq!(word(&memory, u64::from(start)) & 0xff_ffff, 0x03_0201);
    assert_eq!((field(44), word(&memory, u64::from(field(48)))), (6 * 24, 20));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert!(error(vec![0; 10]).starts_with("not a bzImage"));
    let mut image = multiboot(b"");
    image[28..32].copy_from_slice(&[0; 4]);
    image[16..20].copy_from_slice(&0x20_0000u32.to_le_bytes());
    assert_eq!(
        error(image),
        "multiboot header at offset 0x0: header address 0x100000 and load address 0x200000 do not fit it"
    );
    let mut image = multiboot(b"");
    image[20..24].copy_from_slice(&0x10_1000u32.to_le_bytes());
    assert_eq!(
        error(image),
        "multiboot header at offset 0x0: 0x1000 bytes are to be loaded, the file has 0x20"
    );
    let mut image = multiboot(b"");
    image[24..28].copy_from_slice(&0x4000_0000u32.to_le_bytes());
    assert!(error(image).contains("does not fit into 0x400000 bytes of memory"));
    let mut image = vec![0; 0x300];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    assert_eq!(error(image), "bzImage: boot protocol 0.00, older than the 2.12 that has a 64-bit entry");
}

/// A 64-bit ELF file with one segment and one note.
fn pvh() -> Vec<u8> {
    let mut file = vec![0u8; 0x200];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(0x12, &[62]);
    put(0x20, &[0x40]);
    put(0x36, &[56, 0, 2]);
    put(0x40, &[1]);
    put(0x48, &0x100u64.to_le_bytes());
    put(0x58, &0x10_0000u64.to_le_bytes());
    put(0x60, &16u64.to_le_bytes());
    put(0x68, &32u64.to_le_bytes());
    put(0x78, &[4]);
    put(0x80, &0x180u64.to_le_bytes());
    put(0x98, &20u64.to_le_bytes());
    put(0xa0, &20u64.to_le_bytes());
    put(0x180, b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x08\0\x10\0");
    file
}

#[test]
fn pvh_by_its_note() {
    let memory = memory(4 << 20);
    let state = load(&memory, &payload(pvh())).unwrap();
    assert_eq!(state.rip, 0x10_0008);
    assert_eq!(word(&memory, state.gpr[3]), 0x336e_c578);
    assert_eq!(text(&memory, word(&memory, state.gpr[3] + 24)), "x=1");
}

#[test]
fn damaged_elf_files_end_as_errors() {
    let whole = pvh();
    for cut in 0..whole.len() {
        let _ = load(&memory(4 << 20), &payload(whole[..cut].to_vec()));
    }
    for at in 0..0xc0 {
        for value in [0xff, 0x7f, 0x80, 1] {
            let mut image = whole.clone();
            image[at] = value;
            let _ = load(&memory(4 << 20), &payload(image));
        }
    }
    let mut image = whole;
    image[0x60..0x68].fill(0xff);
    let result = elf::parse(&image);
    assert!(matches!(result, Err(ElfError::Sizes { number: 0, .. })), "{result:?}");
}
