//! L0: the machine. It loads an L1 image, runs it on an engine and keeps what L1 recorded.
//!
//! - [`engine`] is the way in: [`engine::open`] an engine, give it a [`engine::Job`], get a [`engine::Run`].
//! - [`image`] reads the images of L1 and L2, [`profile`] the processor models, [`trace`] the records.
//! - [`pc`] is a whole PC around the reference CPU, for images of other people.
//! - `machine` is the loop that both engines share: a `Vcpu` over the same memory and devices.
//!
//! Three ends are never mixed up: the guest did something architectural, the engine cannot do something, and the run took
//! too long. See [`engine::End`].
#![deny(unsafe_code)]

mod boot;
mod devices;
pub mod engine;
pub mod image;
mod kvm;
mod machine;
pub mod pc;
pub mod profile;
mod ram;
pub mod trace;
mod vcpu;
