//! Sizes that must not change unnoticed.
//!
//! If one of these lines stopped your build: you changed what L0, L1 and recorded files agree on. Change the number here
//! and raise [`crate::VERSION`] in the same commit.

use crate::{boot, record, script};
use core::mem::size_of;

const _: () = assert!(size_of::<boot::BootInfo>() == 72);
const _: () = assert!(size_of::<script::Step>() == 40);
const _: () = assert!(size_of::<record::Header>() == 16);
const _: () = assert!(size_of::<record::CaseRecord>() == 16);
const _: () = assert!(size_of::<record::StepRecord>() == 32);
const _: () = assert!(size_of::<record::ExitRecord>() == 272);
const _: () = assert!(size_of::<record::RegsRecord>() == 128);
const _: () = assert!(size_of::<record::RunRecord>() == 344);
const _: () = assert!(size_of::<record::TrapRecord>() == 48);
const _: () = assert!(size_of::<record::PanicRecord>() == 24);
const _: () = assert!(size_of::<record::EndRecord>() == 16);
