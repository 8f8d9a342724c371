//! Looks again each second, until a signal.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, stdout},
    time::Duration,
};

use tokio::time::{Interval, MissedTickBehavior, interval};
use weft_runtime::{Shutdown, Tasks};

use super::{Output, look::Look, screen::Screen, sidecars::Sidecars, table, transition::Known};

/// Time between two looks.
const TICK: Duration = Duration::from_secs(1);

/// Shows the breakers until Ctrl-C: on a screen, or what changes in lines.
pub(crate) async fn watch(sidecars: Sidecars, output: Output) -> anyhow::Result<()> {
    let (shutdown, signals) = Shutdown::from_signals();
    let tasks = Tasks::new();
    tasks.spawn("signals", signals);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let shown = async {
        if stdout().is_terminal() && output != Output::Json {
            repaint(sidecars, ticks, output == Output::Wide).await
        } else {
            tell(sidecars, ticks, output).await
        }
    };
    tokio::select! {
        ended = shown => ended,
        () = shutdown.draining() => Ok(()),
    }
}

/// Paints the table again and again; what does not answer stands below it.
async fn repaint(mut sidecars: Sidecars, mut ticks: Interval, wide: bool) -> anyhow::Result<()> {
    let screen = Screen::open()?;
    loop {
        ticks.tick().await;
        sidecars.refresh();
        let look = Look::at(sidecars.now()).await;
        let mut text = table::table(&look, wide);
        for missed in &look.unanswered {
            text += &(table::unanswered(missed) + "\n");
        }
        screen.draw(&text)?;
    }
}

/// Prints one line for each change: of breakers to stdout, of sidecars that fall silent or answer again to stderr.
async fn tell(mut sidecars: Sidecars, mut ticks: Interval, output: Output) -> anyhow::Result<()> {
    let mut look = Look::at(sidecars.now()).await;
    let mut known = Known::from(&look);
    let mut silent = tell_silence(&BTreeSet::new(), &look);
    let (breakers, asked) = (look.breakers.len(), look.asked);
    anstream::eprintln!("weft: watching; {breakers} breakers now, sidecars asked: {asked}; Ctrl-C ends it");
    loop {
        ticks.tick().await;
        sidecars.refresh();
        look = Look::at(sidecars.now()).await;
        silent = tell_silence(&silent, &look);
        for transition in known.update(&look) {
            let line = match output {
                Output::Json => serde_json::to_string(&transition)?,
                Output::Table | Output::Wide => transition.words(),
            };
            if !super::print(&(line + "\n"))? {
                return Ok(());
            }
        }
    }
}

/// Tells which sidecars fell silent, and which no longer are. Returns the names of those that are.
fn tell_silence(before: &BTreeSet<String>, look: &Look) -> BTreeSet<String> {
    for missed in look.unanswered.iter().filter(|missed| !before.contains(&missed.sidecar.workload)) {
        anstream::eprintln!("weft: {}", table::unanswered(missed));
    }
    let now = look.unanswered.iter().map(|missed| missed.sidecar.workload.clone()).collect();
    for name in before.difference(&now) {
        anstream::eprintln!("weft: the sidecar {} is silent no more", table::printable(name));
    }
    now
}
