//! `nestrig boot`: other people's images on the PC around the reference CPU.

use crate::{
    ExitCode,
    cli::{Boot, Common},
    fixtures,
};
use anyhow::{Context as _, bail};
use l0_vmm::pc::{self, Config, Module, Payload, Pc, PcEnd};
use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
    time::Instant,
};

pub(crate) fn run(common: &Common, boot: &Boot) -> anyhow::Result<ExitCode> {
    let folder = fixtures::folder(common.fixtures.as_deref())?;
    let name = boot.cpu.as_deref().or(common.profile.as_deref()).unwrap_or(fixtures::DEFAULT_PROFILE);
    let profile = fixtures::profile(&folder, name)?;
    let image = read(&boot.image)?;
    let modules = modules(boot, &image)?;
    let payload = Payload {
        name: boot.image.display().to_string(),
        image,
        command_line: boot.append.clone().unwrap_or_default(),
        modules,
    };
    let config = Config {
        memory: memory(&boot.mem)?,
        cpus: boot.smp,
        profile,
        payload,
        serial: output(&boot.serial)?,
        debug: output(&boot.debugcon)?,
    };
    let mut pc = Pc::new(config).with_context(|| boot.image.display().to_string())?;
    let start = Instant::now();
    let end = pc.run(boot.max_instructions);
    let seconds = start.elapsed().as_secs_f64();
    let executed = pc.executed();
    tracing::info!(
        "{executed} instructions in {seconds:.2} s ({:.0} million a second), {:.3} s of virtual time",
        executed as f64 / 1e6 / seconds.max(1e-9),
        pc.now() as f64 / 1e9
    );
    if boot.stats {
        anstream::eprintln!(
            "{executed} instructions, {seconds:.2} s, {:.1} million instructions per second, {:.3} s of virtual time",
            executed as f64 / 1e6 / seconds.max(1e-9),
            pc.now() as f64 / 1e9
        );
    }
    verdict(&end)
}

/// The program's exit code: as `qemu-system-x86_64 -device isa-debug-exit -no-reboot`.
fn verdict(end: &PcEnd) -> anyhow::Result<ExitCode> {
    Ok(match end {
        PcEnd::Exit(value) => ExitCode::Guest((value << 1 | 1) as u8),
        PcEnd::PowerOff | PcEnd::Reset => ExitCode::Expected,
        PcEnd::Halted { rip } => {
            bail!("every processor is halted with interrupts off, the first at {rip:#x}")
        }
        PcEnd::Shutdown { cpu, rip } => bail!("triple fault on processor {cpu} at {rip:#x}"),
        PcEnd::Budget(most) => bail!("not done after {most} instructions (--max-instructions)"),
        PcEnd::Unsupported { cpu, what } => bail!("processor {cpu}: {what}"),
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// The initrd; or, as for `qemu -initrd`, multiboot modules separated by commas, each a file and behind a space its command
/// line.
fn modules(boot: &Boot, image: &[u8]) -> anyhow::Result<Vec<Module>> {
    let Some(list) = &boot.initrd else { return Ok(Vec::new()) };
    let several = pc::boot::format(image) == Some(pc::Format::Multiboot);
    let words: Vec<&str> = if several { list.split(',').collect() } else { vec![list] };
    words
        .into_iter()
        .map(|line| {
            let path = if several { line.split(' ').next().unwrap_or(line) } else { line };
            Ok(Module { bytes: read(Path::new(path))?, line: line.to_owned() })
        })
        .collect()
}

/// Megabytes, or a number with K, M or G behind it.
fn memory(text: &str) -> anyhow::Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "m" | "M" => 20,
        "k" | "K" => 10,
        "g" | "G" => 30,
        _ => bail!("--mem {text}: a number of megabytes, or one with K, M or G"),
    };
    let number: u64 = digits.parse().with_context(|| format!("--mem {text}"))?;
    number.checked_mul(1 << unit).with_context(|| format!("--mem {text}: too much"))
}

/// `-`: standard output; `none`; a file.
fn output(to: &str) -> anyhow::Result<Box<dyn Write>> {
    Ok(match to {
        "-" | "stdio" => Box::new(Terminal),
        "none" | "null" => Box::new(io::sink()),
        path => {
            let path = path.strip_prefix("file:").unwrap_or(path);
            Box::new(BufWriter::new(fs::File::create(path).with_context(|| path.to_owned())?))
        }
    })
}

/// Standard output, a line at a time; prompts without an end of line come out when the run ends.
struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory() {
        assert_eq!(memory("64").unwrap(), 64 << 20);
        assert_eq!(memory("1G").unwrap(), 1 << 30);
        assert_eq!(memory("4096K").unwrap(), 4 << 20);
        assert!(memory("1T").is_err());
        assert!(memory("").is_err());
    }

    #[test]
    fn exit_codes_are_those_of_isa_debug_exit() {
        assert_eq!(verdict(&PcEnd::Exit(0x10)).unwrap(), ExitCode::Guest(0x21));
        assert_eq!(verdict(&PcEnd::PowerOff).unwrap(), ExitCode::Expected);
        assert!(verdict(&PcEnd::Halted { rip: 5 }).is_err());
    }
}
