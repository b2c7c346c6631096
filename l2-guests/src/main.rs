//! The L2 image. Its code is the assembly of the library; this is the shell that makes a program of it.
#![cfg_attr(nestrig_image, no_std, no_main)]

#[cfg(nestrig_image)]
use l2_guests as _;

/// Never called: there is no Rust code in the image. The link script drops it.
#[cfg(nestrig_image)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(nestrig_image))]
fn main() -> std::process::ExitCode {
    // The image is built by the build script of `harness`.
    std::process::ExitCode::from(2)
}
