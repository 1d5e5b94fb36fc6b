//! The `shard` binary.

fn main() -> std::process::ExitCode {
    stage::main_stage::<shard::Shard>()
}
