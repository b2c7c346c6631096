//! Small images on the whole machine.

use super::*;
use std::sync::Mutex;

/// Output that a test can look at.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn profile() -> Arc<Profile> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/profiles/skylake_server.toml");
    Arc::new(crate::profile::load(std::path::Path::new(path)).unwrap())
}

/// A flat multiboot image at 1 MiB with that code behind its header.
pub(super) fn multiboot(code: &[u8]) -> Vec<u8> {
    const FLAGS: u32 = 1 << 16 | 3;
    const AT: u32 = 0x10_0000;
    let header = [0x1bad_b002, FLAGS, 0u32.wrapping_sub(0x1bad_b002 + FLAGS), AT, AT, 0, 0, AT + 0x20];
    let mut image = header.map(u32::to_le_bytes).concat();
    image.extend(code);
    image
}

fn run(code: &[u8], cpus: u32, most: u64) -> (PcEnd, String, u64) {
    let output = Output::default();
    let payload = Payload { name: "t".into(), image: multiboot(code), ..Payload::default() };
    let mut pc = Pc::new(Config {
        memory: 4 << 20,
        cpus,
        profile: profile(),
        payload,
        serial: Box::new(output.clone()),
        debug: Box::new(std::io::sink()),
    })
    .unwrap();
    let end = pc.run(most);
    (end, output.text(), pc.now())
}

#[test]
fn writes_to_com1_and_exits() {
    // mov dx, 0x3f8; mov al, 'H'; out dx, al; mov al, 'i'; out dx, al; mov al, 7; out 0xf4, al
    let code = b"\x66\xba\xf8\x03\xb0H\xee\xb0i\xee\xb0\x07\xe6\xf4\xf4";
    let (end, text, _) = run(code, 1, 1000);
    assert_eq!((end, text.as_str()), (PcEnd::Exit(7), "Hi"));
}

#[test]
fn a_halt_that_nothing_ends_and_a_loop_without_end() {
    let (end, ..) = run(b"\xfa\xf4", 2, 1000);
    assert_eq!(end, PcEnd::Halted { rip: 0x10_0022 });
    let (end, _, now) = run(b"\xeb\xfe", 1, 5_000_000);
    assert_eq!((end, now), (PcEnd::Budget(5_000_000), 5_000_000));
}

#[test]
fn the_ways_off() {
    for (code, expected) in [
        (&b"\xb0\xfe\xe6\x64\xf4"[..], PcEnd::Reset),
        (b"\xb0\x01\xe6\x92\xf4", PcEnd::Reset),
        (b"\x66\xba\xf9\x0c\xb0\x06\xee\xf4", PcEnd::Reset),
        (b"\x66\xba\x04\x06\x66\xb8\x00\x34\x66\xef\xf4", PcEnd::PowerOff),
    ] {
        assert_eq!(run(code, 1, 1000).0, expected, "{code:02x?}");
    }
    // lidt of nothing, then int3: triple fault
    let (end, ..) = run(b"\x6a\x00\x6a\x00\x0f\x01\x1c\x24\xcc", 1, 1000);
    assert!(matches!(end, PcEnd::Shutdown { cpu: 0, .. }), "{end:?}");
}

#[test]
fn another_processor_starts_by_init_and_sipi() {
    // The code for the second processor goes to 0x8000: mov al, 5; out 0xf4, al; hlt
    let mut code = b"\xc7\x05\x00\x80\x00\x00\xb0\x05\xe6\xf4".to_vec();
    for icr in [0x000c_4500u32, 0x000c_4608] {
        // mov dword [0xfee00300], icr
        code.extend(b"\xc7\x05\x00\x03\xe0\xfe");
        code.extend(icr.to_le_bytes());
    }
    code.extend(b"\xf4");
    assert_eq!(run(&code, 2, 100_000).0, PcEnd::Exit(5));
    assert!(matches!(run(&code, 1, 100_000).0, PcEnd::Halted { .. }), "there is no second one");
}

#[test]
fn the_same_image_gives_the_same_run() {
    // Count the time with the PM timer for a while.
    let code = b"\xb9\x00\x10\x00\x00\x66\xba\x08\x06\xed\xe2\xfd\xe6\xf4";
    let first = run(code, 2, 1_000_000);
    assert_eq!(first, run(code, 2, 1_000_000));
    assert!(matches!(first.0, PcEnd::Exit(_)));
}
