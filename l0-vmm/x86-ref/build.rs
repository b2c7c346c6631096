//! Tells the threaded code whether it may count on calls in tail position becoming jumps.

fn main() {
    println!("cargo:rerun-if-env-changed=OPT_LEVEL");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    if matches!(level.as_str(), "2" | "3") {
        println!("cargo:rustc-cfg=chain");
    }
}
