//! The `reverse-distill` binary.

fn main() -> std::process::ExitCode {
    stage::main_stage::<reverse_distill::ReverseDistill>()
}
