//! Passes the link script and the linker's flags, for the freestanding build only.
//!
//! Host builds (`cargo build`, `test`, `clippy`) see a plain program with a stub `main`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_NESTRIG_IMAGE").is_none() {
        return;
    }
    let dir = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // A bare-metal target calls rust-lld itself; the host's target goes through the C compiler.
    let bare = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    let flags: &[&str] = if bare {
        &["-static", "--no-pie", "--build-id=none"]
    } else {
        &["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"]
    };
    println!("cargo::rustc-link-arg-bins=-T{dir}/link.ld");
    for flag in flags {
        println!("cargo::rustc-link-arg-bins={flag}");
    }
}
