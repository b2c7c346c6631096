//! The command line.

use crate::{ExitCode, commands, fixtures};
use clap::{Args, Parser, Subcommand, ValueEnum};
use l0_vmm::engine::EngineKind;
use std::path::PathBuf;

/// Nested-virtualization test rig: boots a tiny hypervisor (L1) that runs tiny guests (L2), records every VM exit as L1 saw
/// it, and holds the trace against a reviewed one.
#[derive(Debug, Parser)]
#[command(name = "nestrig", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  nestrig                                   run every scenario on every engine that can run here
  nestrig run 'entry/*' --engine ref        run some of them on one engine
  nestrig run my.toml                       run a scenario file of your own
  nestrig show exits/cpuid                  the trace in words
  nestrig diff exits/cpuid --engines ref,kvm
  nestrig boot vmlinuz --initrd initrd.img --append console=ttyS0
  nestrig doctor                            what this machine can run, and what to do about the rest

Exit codes: 0 all as expected, 1 a difference, 2 bad usage or input, 77 nothing could run.";

/// What all commands know.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder with scenarios, snapshots and profiles [default: that of the source tree]
    #[arg(long, global = true, env = fixtures::FIXTURES_ENV, value_name = "DIR")]
    pub fixtures: Option<PathBuf>,
    /// Processor model: a name in fixtures/profiles, or a .toml file [default: skylake_server, or the next
    /// newer one that has what a scenario needs]
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios and hold their traces against the reviewed ones
    Run {
        /// Names or patterns (entry/*, *rflags*), or .toml files [default: all]
        scenarios: Vec<String>,
        /// Engines [default: all that can run here]
        #[arg(long, value_delimiter = ',', value_name = "ENGINE,...")]
        engine: Vec<EngineKind>,
    },
    /// List scenarios, or what they can be made of
    List {
        /// Names or patterns [default: all]
        scenarios: Vec<String>,
        /// List something else
        #[arg(long, value_enum, default_value_t = Listing::Scenarios)]
        what: Listing,
    },
    /// Run one scenario and print its trace in words
    Show {
        /// Its name, or a .toml file
        scenario: String,
        /// The engine
        #[arg(long, default_value_t = EngineKind::Ref)]
        engine: EngineKind,
        /// Print what L0 saw too
        #[arg(long)]
        l0: bool,
    },
    /// Run one scenario on two engines and print the traces side by side
    Diff {
        /// Its name, or a .toml file
        scenario: String,
        /// The two engines
        #[arg(long, value_delimiter = ',', value_name = "A,B", default_value = "ref,kvm")]
        engines: Vec<EngineKind>,
    },
    /// Boot an image on a PC around the reference CPU: bzImage, multiboot, PVH
    Boot(Boot),
    /// Say what this machine can run, and what to do about the rest
    Doctor,
}

/// The PC that `nestrig boot` makes, in the words of `qemu -kernel`.
#[derive(Debug, Args)]
pub struct Boot {
    /// The image
    pub image: PathBuf,
    /// Command line of the image
    #[arg(long, value_name = "LINE", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Initial RAM disk; for multiboot, modules separated by commas
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<String>,
    /// Processors
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub smp: u32,
    /// Memory in MiB, or with K, M or G
    #[arg(long, value_name = "N", default_value = "512")]
    pub mem: String,
    /// Processor model [default: that of --profile]
    #[arg(long, value_name = "PROFILE")]
    pub cpu: Option<String>,
    /// Where COM1 writes to: - for standard output, none, or a file
    #[arg(long, value_name = "TO", default_value = "-")]
    pub serial: String,
    /// Where port 0xE9 writes to
    #[arg(long, value_name = "TO", default_value = "none")]
    pub debugcon: String,
    /// Most instructions to execute
    #[arg(long, value_name = "N", default_value_t = 100_000_000_000)]
    pub max_instructions: u64,
    /// Print instructions and time at the end
    #[arg(long)]
    pub stats: bool,
}

/// What `nestrig list` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// Scenarios with their titles.
    Scenarios,
    /// The words of scenario steps.
    Words,
    /// L2 behaviours with their points and arguments.
    L2,
    /// The manual's rules for VM entries.
    Rules,
    /// Abilities that a scenario can need.
    Abilities,
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let common = self.common;
        match self.command {
            None => commands::run::run(&common, &[], &[]),
            Some(Command::Run { scenarios, engine }) => commands::run::run(&common, &scenarios, &engine),
            Some(Command::List { scenarios, what }) => commands::list::run(&common, &scenarios, what),
            Some(Command::Show { scenario, engine, l0 }) => {
                commands::show::run(&common, &scenario, engine, l0)
            }
            Some(Command::Diff { scenario, engines }) => commands::diff::run(&common, &scenario, &engines),
            Some(Command::Boot(boot)) => commands::boot::run(&common, &boot),
            Some(Command::Doctor) => commands::doctor::run(&common),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
