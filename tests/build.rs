//! Compiles the GPU's kernels for the CPU (`emulator/`), where there is a C++ compiler.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=emulator");
    println!("cargo::rerun-if-changed=../native-train/src/gpu/kernels");
    println!("cargo::rustc-check-cfg=cfg(emulator)");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").file("emulator/emulator.cpp").warnings_into_errors(true);
    // `#pragma unroll` is for the GPU's compiler.
    build.flag("-Wno-unknown-pragmas");
    let compiler = build.get_compiler();
    if !compiler.is_like_msvc() && Command::new(compiler.path()).arg("--version").output().is_ok() {
        build.compile("emulator");
        println!("cargo::rustc-cfg=emulator");
    } else {
        println!("cargo::warning=there is no C++ compiler (Debian: g++): the GPU's kernels are not tested");
    }
}
