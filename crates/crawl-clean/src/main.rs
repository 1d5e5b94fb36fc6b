//! The `crawl-clean` binary.

fn main() -> std::process::ExitCode {
    stage::main_stage::<crawl_clean::CrawlClean>()
}
