//! The command line `yolox-nano`.
fn main() {}
