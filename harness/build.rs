//! Builds the freestanding images of L1 and L2, for any host with a stable Rust toolchain.
//!
//! The images are ordinary crates of the workspace, built once more with `--cfg nestrig_image`, in a target folder of
//! their own. Nothing of the outer build may leak in: the images are the same under coverage, Clippy and wrappers.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Overrides the choice of [`image_target`].
const TARGET_VARIABLE: &str = "NESTRIG_IMAGE_TARGET";
const BARE: &str = "x86_64-unknown-none";
const HOSTED: &str = "x86_64-unknown-linux-gnu";

fn main() {
    let root = variable("CARGO_MANIFEST_DIR").parent().map(Path::to_path_buf).unwrap_or_default();
    println!("cargo::rerun-if-env-changed={TARGET_VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    for shared in ["Cargo.lock", "Cargo.toml", "l0-vmm/rig-abi", "l0-vmm/x86-spec", "fixtures"] {
        rerun_if_changed(&root.join(shared));
    }
    for (package, bin, variable) in [("l1-hypervisor", "l1", "NESTRIG_L1"), ("l2-guests", "l2", "NESTRIG_L2")]
    {
        let image = build_image(&root, package, bin);
        println!("cargo::rustc-env={variable}={}", image.display());
        for part in ["src", "Cargo.toml", "build.rs", "link.ld"] {
            rerun_if_changed(&root.join(package).join(part));
        }
    }
}

/// A path from the environment that Cargo sets for build scripts.
fn variable(name: &str) -> PathBuf {
    env::var_os(name).map(PathBuf::from).unwrap_or_default()
}

/// A path that is not there would make every build a rebuild.
fn rerun_if_changed(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// The bare-metal target where the toolchain has it, else the host's own: it is built freestanding all the same.
fn image_target(rustc: &Path) -> String {
    if let Ok(target) = env::var(TARGET_VARIABLE) {
        return target;
    }
    let library = Command::new(rustc).args(["--print", "target-libdir", "--target", BARE]).output();
    let there = library.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if there { BARE.into() } else { HOSTED.into() }
}

/// Whether a variable of the outer build must not reach the inner one.
fn leaks(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_BUILD_",
        "DEP_",
        "CLIPPY_",
    ];
    const NAMES: [&str; 17] = [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTDOCFLAGS",
        "LLVM_PROFILE_FILE",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Builds the program `bin` of `package` as an image; where it is.
fn build_image(root: &Path, package: &str, bin: &str) -> PathBuf {
    let rustc = variable("RUSTC");
    let target = image_target(&rustc);
    let folder = variable("OUT_DIR").join("images");
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .unwrap_or_default();

    let mut flags: Vec<String> = [
        "-Crelocation-model=static",
        "-Cforce-frame-pointers=yes",
        "-Cno-redzone=yes",
        // No vector registers behind our back: KVM's instruction emulator knows few of those instructions. The
        // bare-metal target has none anyway; on the host's, LLVM is told for every function, libcore's included.
        "-Cllvm-args=-force-attribute=noimplicitfloat",
        "--cfg=nestrig_image",
    ]
    .map(String::from)
    .to_vec();
    if target == HOSTED {
        flags.extend(["-Cno-vectorize-loops".into(), "-Cno-vectorize-slp".into()]);
    }
    flags.push(format!("--remap-path-prefix={}=/nestrig", root.display()));
    flags.push(format!("--remap-path-prefix={}=/cargo", cargo_home.display()));

    let mut cargo = Command::new(variable("CARGO"));
    for (name, _) in env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .env("CARGO_BUILD_BUILD_DIR", &folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "--profile", "image", "--locked", "--package", package, "--bin", bin])
        .args(["--target", &target])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder);
    match cargo.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                println!("cargo::warning={line}");
            }
            println!("cargo::error=the image {bin} of {package} does not build for {target}");
        }
        Err(error) => println!("cargo::error=cannot run cargo for the image {bin}: {error}"),
    }
    folder.join(target).join("image").join(bin)
}
