//! The program `l1`: a freestanding image, or a stub that says so.
fn main() {}
