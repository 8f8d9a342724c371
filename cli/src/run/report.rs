//! What happens, in lines for people.

use tokio::sync::mpsc;
use weft_control_plane::watch::Problem;

use super::mesh::Event;
use crate::child;

/// Prints every event until there are no more.
pub(crate) async fn tell(mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        for line in lines(&event) {
            anstream::eprintln!("{line}");
        }
    }
}

/// Prints what is wrong with the files, and how much it is.
pub(crate) fn problems(problems: &[Problem]) {
    for problem in problems {
        anstream::eprintln!("{problem}");
    }
    let plural = if problems.len() == 1 { "" } else { "s" };
    anstream::eprintln!("weft: {} problem{plural}; nothing was started", problems.len());
}

/// The lines that tell of an event.
pub(crate) fn lines(event: &Event) -> Vec<String> {
    match event {
        Event::Process(name, child::Event::Started(pid)) => vec![format!("{name} started, pid {pid}")],
        Event::Process(_, child::Event::Ready) => Vec::new(),
        Event::Process(name, child::Event::Ended(how, pause)) => {
            vec![format!("{name} {how}; starting it again in {} ms", pause.as_millis())]
        }
        Event::Process(name, child::Event::Stopped) => vec![format!("{name} stopped")],
        Event::Ready(sidecar) => {
            let listens = sidecar.listeners().into_iter();
            let listens = listens.map(|one| format!("  {:<21} {}", one.address.to_string(), one.purpose));
            [format!("{} is ready:", sidecar.process())].into_iter().chain(listens).collect()
        }
        Event::Up => vec!["everything is ready; Ctrl-C ends it".to_owned()],
        Event::Appeared(problem) => vec![format!("{problem}; what was in force before stays")],
        Event::Mended(problem) => vec![format!("mended: {problem}")],
        Event::Failed(words) => vec![words.clone()],
    }
}

#[cfg(test)]
mod tests;
