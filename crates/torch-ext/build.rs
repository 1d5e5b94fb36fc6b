//! Compiles the C++ shim with the flags that torch-sys uses, so that both see the same `torch::Tensor`.

#![allow(clippy::print_stdout, clippy::exit, reason = "a build script speaks to cargo on stdout")]

#[path = "rpath.rs"]
mod rpath;

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed=build.rs");
    rpath::emit();
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let Some(root) = std::env::var_os("LIBTORCH_INCLUDE").or_else(|| std::env::var_os("LIBTORCH")) else {
        println!("cargo:warning=LIBTORCH is not set");
        println!("cargo:warning=hint: run scripts/libtorch.sh (or make build), which installs libtorch and tells cargo where");
        std::process::exit(1);
    };
    let include = std::path::PathBuf::from(root).join("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .opt_level(2)
        .flag("-fopenmp") // at::parallel_for is a template with OpenMP pragmas; libtorch brings the runtime
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .flag("-std=c++17")
        .flag(format!("-D_GLIBCXX_USE_CXX11_ABI={abi}"))
        .flag("-DGLOG_USE_GLOG_EXPORT")
        .flag("-DAT_PER_OPERATOR_HEADERS")
        .file("cpp/shim.cpp")
        .file("cpp/fused.cpp")
        .file("cpp/attention.cpp")
        .file("cpp/optim.cpp")
        .compile("jielong_torch_ext");
    // One copy of the loops for each kind of CPU; the shim chooses when it runs. A flag lets reductions run in vector
    // lanes, which orders sums differently on different kinds of CPU and always the same on one.
    let avx2 = ["-mavx2", "-mfma", "-mf16c"].as_slice();
    let avx512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"].as_slice();
    let is_x86 = std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64");
    let variants = [("kernels_base", [].as_slice()), ("kernels_avx2", avx2), ("kernels_avx512", avx512)];
    for (name, flags) in variants.into_iter().take(if is_x86 { 3 } else { 1 }) {
        let mut build = cc::Build::new();
        build.cpp(true).pic(true).warnings(false).opt_level(3).flag("-std=c++17").define("KERNELS", name);
        for flag in ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"].iter().chain(flags) {
            build.flag(flag);
        }
        build.file("cpp/kernels.cpp").compile(&format!("jielong_{name}"));
    }
    println!("cargo:rustc-link-lib=dl");
}
