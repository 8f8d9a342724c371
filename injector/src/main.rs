//! `weft-injector --config FILE`

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use weft_injector::{Config, config, run};
use weft_runtime::{Shutdown, Tasks, logs};

/// How long what is in flight may take to finish after a first signal.
const GRACE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let Some(path) = config_path() else {
        eprintln!("usage: weft-injector --config FILE");
        return ExitCode::from(2);
    };
    match start(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-injector: {error}");
            ExitCode::FAILURE
        }
    }
}

fn config_path() -> Option<PathBuf> {
    let mut arguments = env::args_os().skip(1);
    let (flag, path) = (arguments.next()?, arguments.next()?);
    (flag == "--config" && arguments.next().is_none()).then(|| path.into())
}

fn start(path: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    logs::init("weft-injector", logs::Format::Json, &config::log_filter())?;
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (shutdown, watcher) = Shutdown::from_signals();
        let tasks = Tasks::new();
        tasks.spawn("signals", watcher.abort_after(GRACE));
        run::run(&config, shutdown).await?;
        Ok(())
    })
}
