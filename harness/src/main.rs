//! The program `nestrig`.

use clap::Parser;
use harness::{ExitCode, cli::Cli};
use tracing_subscriber::EnvFilter;

fn main() -> std::process::ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().run() {
        Ok(code) => code.into(),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::BadInput.into()
        }
    }
}
