//! `weft-control-plane --config FILE` on a machine; `weft-control-plane --kubernetes` in a cluster.

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use weft_control_plane::{Config, InCluster, config, run, run_in_cluster};
use weft_runtime::{Shutdown, Tasks, logs};

/// How long what is in flight may take to finish after a first signal.
const GRACE: Duration = Duration::from_secs(10);

const USAGE: &str = "usage: weft-control-plane --config FILE
       weft-control-plane --kubernetes [--trust-domain NAME] [--certificate-lifetime DURATION]";

/// Where the process runs.
enum Place {
    Machine(PathBuf),
    Cluster(Vec<String>),
}

fn main() -> ExitCode {
    let Some(place) = place() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match start(place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn place() -> Option<Place> {
    let mut arguments = env::args_os().skip(1);
    let flag = arguments.next()?;
    if flag == "--kubernetes" {
        return arguments.map(|text| text.into_string().ok()).collect::<Option<_>>().map(Place::Cluster);
    }
    let path = arguments.next()?;
    (flag == "--config" && arguments.next().is_none()).then(|| Place::Machine(path.into()))
}

fn start(place: Place) -> Result<(), Box<dyn std::error::Error>> {
    logs::init("weft-control-plane", logs::Format::Json, &config::log_filter())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (shutdown, watcher) = Shutdown::from_signals();
        let tasks = Tasks::new();
        tasks.spawn("signals", watcher.abort_after(GRACE));
        match place {
            Place::Machine(path) => run(Config::load(&path)?, shutdown).await?,
            Place::Cluster(arguments) => {
                run_in_cluster(InCluster::load(arguments.into_iter())?, shutdown).await?;
            }
        }
        Ok(())
    })
}
