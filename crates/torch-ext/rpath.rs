//! Build script of every crate that links libtorch: `build = "../torch-ext/rpath.rs"` in its Cargo.toml.
//!
//! It gives binaries, tests and benches a RUNPATH to libtorch, so that nothing needs `LD_LIBRARY_PATH`.
//! A RUNPATH and not an RPATH: on a GPU machine with its own torch, `LD_LIBRARY_PATH` must be able to win.

// In torch-ext this file is a module of the real build script, which uses more of it.
#![allow(dead_code, clippy::print_stdout, reason = "a build script, and a module of one; it speaks to cargo on stdout")]

use std::path::PathBuf;

fn main() {
    emit();
}

/// The directory with libtorch's libraries, from `LIBTORCH_LIB` or `LIBTORCH` (see `scripts/libtorch.sh`).
pub(crate) fn lib_dir() -> Option<PathBuf> {
    for name in ["LIBTORCH_LIB", "LIBTORCH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    ["LIBTORCH_LIB", "LIBTORCH"].iter().find_map(std::env::var_os).map(|dir| PathBuf::from(dir).join("lib"))
}

/// Prints the linker arguments for this crate's binaries, tests, benches and examples.
pub(crate) fn emit() {
    println!("cargo:rerun-if-changed=../torch-ext/rpath.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    match lib_dir() {
        Some(dir) => {
            println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags");
            println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir.display());
        }
        None => println!("cargo:warning=LIBTORCH is not set: run scripts/libtorch.sh, or binaries will need LD_LIBRARY_PATH"),
    }
}
