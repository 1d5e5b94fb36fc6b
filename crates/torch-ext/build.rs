//! Compiles the C++ shim with the flags that torch-sys uses, so that both see the same `torch::Tensor`.

#[path = "rpath.rs"]
mod rpath;

fn main() {
    for file in [
        "cpp/shim.cpp",
        "cpp/shim.h",
        "cpp/fused.cpp",
        "cpp/fused.h",
        "cpp/kernels.cpp",
        "cpp/kernels.h",
    ] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    rpath::emit();
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let Some(root) = std::env::var_os("LIBTORCH_INCLUDE").or_else(|| std::env::var_os("LIBTORCH"))
    else {
        println!("cargo:warning=LIBTORCH is not set");
        println!(
            "cargo:warning=hint: run scripts/libtorch.sh (or make build), which installs libtorch and tells cargo where"
        );
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
        .compile("jielong_torch_ext");
    // No torch headers here, so the loops can have flags of their own. None of them reorders sums except where
    // `-fassociative-math` lets a reduction run in vector lanes, which is the same on every run of one CPU kind.
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .opt_level(3)
        .flag("-std=c++17")
        .flag("-fno-math-errno")
        .flag("-fno-trapping-math")
        .flag("-fno-signed-zeros")
        .flag("-fassociative-math")
        .file("cpp/kernels.cpp")
        .compile("jielong_kernels");
    println!("cargo:rustc-link-lib=dl");
}
