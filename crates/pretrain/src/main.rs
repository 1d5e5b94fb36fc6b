//! Binary of the stage.

fn main() -> std::process::ExitCode {
    stage::main_stage::<pretrain::Pretrain>()
}
