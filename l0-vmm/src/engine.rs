//! Engines: what runs an L1 image.

mod error;
mod kvm;
mod reference;

use crate::{
    image::Image,
    trace::{Record, TraceError},
};
use rig_abi::script::Step;
use std::{fmt, str::FromStr, sync::Arc, time::Duration};
use x86_ref::Profile;
use x86_spec::vmx::rules::Rule;

pub use self::error::{EngineError, Unavailable, UnknownEngine};
pub use crate::{
    boot::BootError,
    kvm::probe::{KvmProbe, NestedKvm, probe_kvm},
    ram::RamError,
};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// The reference CPU, in process.
    Ref,
    /// `/dev/kvm`.
    Kvm,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: &'static [Self] = &[Self::Ref, Self::Kvm];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ref => "ref",
            Self::Kvm => "kvm",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|k| k.name() == name).ok_or_else(|| UnknownEngine(name.into()))
    }
}

/// Who does L1's VMX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nested {
    /// The reference CPU runs everything.
    Reference,
    /// The kernel's own nested VMX, which is then under test.
    Kernel,
    /// L1 runs on KVM; its VMX instructions and all of L2 run on the reference CPU.
    Assisted,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reference => "reference",
            Self::Kernel => "kernel",
            Self::Assisted => "assisted",
        })
    }
}

/// How long a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most instructions that the reference CPU retires, in the run as a whole.
    pub instructions: u64,
    /// Most wall-clock time, on engines whose time is not virtual.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { instructions: 200_000_000, wall: Duration::from_secs(60) }
    }
}

/// What L1 is told to do: see [`rig_abi::script`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
    /// The bytes behind the steps, which steps refer to by offset.
    pub bytes: Vec<u8>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The hypervisor.
    pub l1: Arc<Image>,
    /// The guests.
    pub l2: Arc<Image>,
    /// What L1 does.
    pub script: Script,
    /// When to give up.
    pub limits: Limits,
}

/// What came of a [`Job`].
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// What L1 recorded, up to the end or up to `damage`.
    pub records: Vec<Record>,
    /// What was wrong with the records, where something was.
    pub damage: Option<TraceError>,
    /// What L1 wrote to the debug port.
    pub debug: Vec<u8>,
    /// The last things that L0 saw. Engine-specific: shown to explain, never compared.
    pub l0_track: Vec<L0Event>,
    /// The rules of the manual that failing VM entries broke, in order, where the reference CPU did the VM entries.
    pub refusals: Vec<&'static Rule>,
    /// Counts.
    pub stats: Stats,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// L1 wrote to the exit port.
    Finished {
        /// What it wrote.
        code: u32,
    },
    /// L1 shut down: a triple fault in VMX root operation.
    Shutdown,
    /// L1 halted, and nothing can wake it.
    Halted {
        /// The instruction behind HLT.
        rip: u64,
    },
    /// It took too long.
    Budget {
        /// What ran out.
        limit: Limit,
    },
    /// The engine cannot do something that the guest asked for. Says nothing about the guest.
    Unsupported {
        /// What it cannot do.
        what: String,
        /// Where.
        rip: u64,
        /// The instruction's bytes, as far as they are known.
        bytes: Vec<u8>,
    },
    /// The engine itself failed, with all that it said.
    Fault {
        /// What it said.
        details: String,
    },
}

/// What ran out in [`End::Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::instructions`].
    Instructions(u64),
    /// [`Limits::wall`].
    Wall(Duration),
    /// Bytes of records that a run may leave.
    Records(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instructions(n) => write!(f, "{n} instructions"),
            Self::Wall(t) => write!(f, "{t:?}"),
            Self::Records(n) => write!(f, "{n} bytes of records"),
        }
    }
}

/// Something that L0 saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L0Event {
    /// Number of exits to L0 before it.
    pub exit: u64,
    /// RIP of L1, where it is known.
    pub rip: Option<u64>,
    /// What it was.
    pub what: L0What,
}

/// What an [`L0Event`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum L0What {
    /// L1 rang the doorbell for that many bytes of records.
    Doorbell(u32),
    /// L1 wrote its exit code.
    Exit(u32),
    /// The reference CPU executed an instruction for KVM.
    Assist,
    /// Something that is told in words only.
    Note(String),
}

impl fmt::Display for L0Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} ", self.exit)?;
        match &self.what {
            L0What::Doorbell(n) => write!(f, "doorbell, {n} bytes")?,
            L0What::Exit(code) => write!(f, "exit code {code:#x}")?,
            L0What::Assist => write!(f, "assist")?,
            L0What::Note(text) => write!(f, "{text}")?,
        }
        match self.rip {
            Some(rip) => write!(f, " at {rip:#x}"),
            None => Ok(()),
        }
    }
}

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions retired by L1 and L2, where the engine counts all of them.
    pub instructions: Option<u64>,
    /// Exits from the engine to L0.
    pub exits: u64,
    /// Instructions that the reference CPU executed for KVM; after VM entries, with all of L2 up to the next VM exit.
    pub assists: u64,
    /// Wall-clock time of the run.
    pub wall: Duration,
    /// Wall-clock time of that in assists.
    pub assist_wall: Duration,
}

/// Runs jobs.
pub trait Engine {
    /// Which engine it is.
    fn kind(&self) -> EngineKind;
    /// Who does L1's VMX.
    fn nested(&self) -> Nested;
    /// The processor that L1 sees: what was asked for, less what the engine has not.
    fn profile(&self) -> &Profile;
    /// The engine in a few words, for headers of traces.
    fn describe(&self) -> String;
    /// Runs a job on a fresh machine.
    fn run(&mut self, job: &Job) -> Result<Run, EngineError>;
}

/// Opens an engine with that processor model.
pub fn open(kind: EngineKind, profile: Arc<Profile>) -> Result<Box<dyn Engine>, Unavailable> {
    Ok(match kind {
        EngineKind::Ref => Box::new(reference::Reference::new(profile)),
        EngineKind::Kvm => Box::new(kvm::Kvm::open(profile)?),
    })
}
