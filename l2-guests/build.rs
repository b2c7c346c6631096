//! Passes the link script to the linker when the image is what is built.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    // Host builds (build, test, clippy of the workspace) see a plain stub with a `main`.
    if env::var_os("CARGO_CFG_NESTRIG_IMAGE").is_none() {
        return;
    }
    let var = |name: &str| env::var(name).unwrap_or_default();
    let arg = |a: &str| println!("cargo::rustc-link-arg-bins={a}");
    arg(&format!("-T{}/link.ld", var("CARGO_MANIFEST_DIR")));
    // On the bare-metal target the linker is rust-lld itself; elsewhere it is reached through cc.
    let args: &[&str] = if var("CARGO_CFG_TARGET_OS") == "none" {
        &["-static", "--no-pie", "--build-id=none"]
    } else {
        &["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"]
    };
    args.iter().for_each(|a| arg(a));
}
