//! Debian's own Linux on the reference CPU: to a static init on one and on two processors, and to `/dev/kvm` with nested=1.
//!
//! `.ci/linux` fetches the packages and runs this; the folder that they are unpacked in is `NESTRIG_LINUX`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "what a test cannot set up is a failure; the times are the point"
)]

use l0_vmm::pc::{Config, Module, Payload, Pc, PcEnd};
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const LINE: &str = "console=ttyS0,115200 nokaslr mitigations=off tsc=reliable tsc_early_khz=1000000 \
    random.trust_cpu=on i8042.noaux i8042.nokbd nomodeset panic=-1 cryptomgr.notests quiet";
const MOST: u64 = 5_000_000_000;

const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
echo \"init: processors $(/bin/busybox nproc)\"
for m in irqbypass kvm; do [ -e /$m.ko ] && /bin/busybox insmod /$m.ko; done
[ -e /kvm-intel.ko ] && /bin/busybox insmod /kvm-intel.ko nested=1 &&
    echo \"init: nested $(/bin/busybox cat /sys/module/kvm_intel/parameters/nested) $(/bin/busybox ls /dev/kvm)\"
/bin/busybox poweroff -f
";

/// An archive in the format of initramfs. Linux: Documentation/driver-api/early-userspace/buffer-format.rst.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) {
        let name = [name.as_bytes(), &[0]].concat();
        let number = self.0.len() as u32;
        let length = bytes.len() as u32;
        let fields = [number, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name.len() as u32, 0];
        self.0.extend(b"070701");
        for field in fields {
            self.0.extend(format!("{field:08x}").bytes());
        }
        for part in [name.as_slice(), bytes] {
            self.0.extend(part);
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
    }

    fn folder(&mut self, name: &str) {
        self.add(name, 0o40755, (0, 0), &[]);
    }

    fn program(&mut self, name: &str, bytes: &[u8]) {
        self.add(name, 0o100_755, (0, 0), bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.0
    }
}

/// What COM1 writes.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn folder() -> PathBuf {
    env::var_os("NESTRIG_LINUX").expect("NESTRIG_LINUX names the folder that .ci/linux made").into()
}

/// The one entry of a folder that begins like that.
fn only(folder: &Path, start: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
        .collect();
    assert_eq!(found.len(), 1, "{start} in {}", folder.display());
    found.remove(0)
}

fn initrd(modules: bool) -> Vec<u8> {
    let folder = folder();
    let mut archive = Archive::default();
    for name in ["bin", "dev", "proc", "sys"] {
        archive.folder(name);
    }
    archive.add("dev/console", 0o20600, (5, 1), &[]);
    archive.program("init", INIT.as_bytes());
    archive.program("bin/busybox", &fs::read(folder.join("bin/busybox")).unwrap());
    if modules {
        let kernel = only(&folder.join("lib/modules"), "6.").join("kernel");
        for module in ["virt/lib/irqbypass", "arch/x86/kvm/kvm", "arch/x86/kvm/kvm-intel"] {
            let path = kernel.join(module).with_extension("ko");
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            archive.program(&name, &fs::read(&path).unwrap());
        }
    }
    archive.finish()
}

fn boot(cpus: u32, modules: bool) -> (PcEnd, String, u64, Duration) {
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/profiles/skylake_server.toml");
    let output = Output::default();
    let payload = Payload {
        name: "vmlinuz".into(),
        image: fs::read(only(&folder().join("boot"), "vmlinuz-")).unwrap(),
        command_line: LINE.into(),
        modules: vec![Module { bytes: initrd(modules), line: "initrd".into() }],
    };
    let mut pc = Pc::new(Config {
        memory: 512 << 20,
        cpus,
        profile: Arc::new(l0_vmm::profile::load(Path::new(profile)).unwrap()),
        payload,
        serial: Box::new(output.clone()),
        debug: Box::new(io::sink()),
    })
    .unwrap();
    let start = Instant::now();
    let end = pc.run(MOST);
    let text = String::from_utf8_lossy(&output.0.lock().unwrap()).into_owned();
    (end, text, pc.executed(), start.elapsed())
}

fn check(cpus: u32, modules: bool, expected: &[&str]) {
    let (end, text, executed, wall) = boot(cpus, modules);
    let seconds = wall.as_secs_f64();
    println!(
        "{cpus} processors, modules {modules}: {executed} instructions, {seconds:.2} s, {:.0} million a second",
        executed as f64 / 1e6 / seconds
    );
    for words in expected {
        assert!(text.contains(words), "{words:?} is not in the output; {end:?}\n{text}");
    }
    assert_eq!(end, PcEnd::PowerOff, "{text}");
}

#[test]
#[ignore = "needs Debian's kernel: run .ci/linux"]
fn to_init_on_one_processor() {
    check(1, false, &["init: processors 1"]);
}

#[test]
#[ignore = "needs Debian's kernel: run .ci/linux"]
fn to_init_on_two_processors() {
    check(2, false, &["init: processors 2"]);
}

#[test]
#[ignore = "needs Debian's kernel: run .ci/linux"]
fn to_nested_kvm() {
    check(1, true, &["init: nested Y /dev/kvm"]);
}
