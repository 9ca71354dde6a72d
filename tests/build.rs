//! Compiles the GPU's kernels for the CPU (`emulator/`), where there is a C++ compiler: into the tests, and as a library that goes
//! by the names of CUDA's.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=emulator");
    println!("cargo::rerun-if-changed=../native-train/src/engine/cuda/kernels");
    println!("cargo::rustc-check-cfg=cfg(emulator)");
    let mut build = cc::Build::new();
    // `#pragma unroll` is for the GPU's compiler.
    build.cpp(true).std("c++17").pic(true).warnings_into_errors(true).flag("-Wno-unknown-pragmas");
    let compiler = build.get_compiler();
    let is_there = Command::new(compiler.path()).arg("--version").output().is_ok();
    if !cfg!(target_os = "linux") || !is_there {
        println!(
            "cargo::warning=there is no C++ compiler (Debian: g++), or no Linux: the GPU's kernels are not tested"
        );
        return;
    }
    build.file("emulator/emulator.cpp").compile("emulator");
    println!("cargo::rustc-cfg=emulator");

    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("fake-cuda");
    fs::create_dir_all(&folder).expect("the build's folder can be written");
    let library = folder.join("libcuda.so");
    let mut link = compiler.to_command();
    link.arg("-shared").args(["emulator/emulator.cpp", "emulator/fake_cuda.cpp", "-o"]).arg(&library);
    let linked = link.status().is_ok_and(|status| status.success());
    assert!(linked, "the fake CUDA cannot be built: {link:?}");
    // Links, so that the program loads one library, which knows of launches and products alike.
    #[cfg(target_os = "linux")]
    for other in ["libnvrtc.so", "libcublas.so"] {
        let other = folder.join(other);
        let _ = fs::remove_file(&other);
        std::os::unix::fs::symlink("libcuda.so", other).expect("the build's folder can be written");
    }
    println!("cargo::rustc-env=FAKE_CUDA={}", folder.display());
}
