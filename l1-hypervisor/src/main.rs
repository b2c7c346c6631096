//! The program `l1`: the freestanding image when it is built with `--cfg nestrig_image`, else a stub that says so.
#![cfg_attr(nestrig_image, no_std, no_main)]
#![cfg_attr(
    nestrig_image,
    allow(unsafe_code, reason = "a hypervisor is made of instructions that Rust cannot know to be safe")
)]

#[cfg(nestrig_image)]
#[macro_use]
mod sensitive;
#[cfg(nestrig_image)]
mod case;
#[cfg(nestrig_image)]
mod entry;
#[cfg(nestrig_image)]
mod handlers;
#[cfg(nestrig_image)]
mod operand;
#[cfg(nestrig_image)]
mod phys;
#[cfg(nestrig_image)]
mod record;
#[cfg(nestrig_image)]
mod run;
#[cfg(nestrig_image)]
mod script;
#[cfg(nestrig_image)]
mod start;
#[cfg(nestrig_image)]
mod trap;
#[cfg(nestrig_image)]
mod vmx;

#[cfg(not(nestrig_image))]
fn main() -> std::process::ExitCode {
    const USAGE: u8 = 64;
    std::process::ExitCode::from(USAGE)
}
