//! The stage's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    stage::main_stage::<eval::Eval>()
}
