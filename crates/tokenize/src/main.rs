//! The `tokenize` binary.

fn main() -> std::process::ExitCode {
    stage::main_stage::<tokenize::Tokenize>()
}
