//! How far the story has come: events, folded into what there is to show of them.

use std::{collections::VecDeque, net::SocketAddr};

use super::{
    story::{PHASES, Phase},
    verdict::Check,
};

/// Lines of the past that are kept.
const KEPT: usize = 64;

/// A process that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// What it is.
    pub(crate) name: String,
    /// Its id.
    pub(crate) pid: u32,
    /// Where it can be reached, and what for.
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A process was started, for the first time or again.
    Started(Process),
    /// The mesh said something.
    Said(String),
    /// A phase begins: index into [`PHASES`].
    Begins(usize),
    /// What is done now, in words.
    Doing(String),
    /// A phase is over.
    Judged(usize, Vec<Check>),
}

/// How far the story has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The phase that is played.
    pub(crate) current: Option<usize>,
    /// What came out of each phase so far.
    pub(crate) judged: [Option<Vec<Check>>; PHASES.len()],
    /// What is done now.
    pub(crate) doing: String,
    /// Every process that was started, as it is now.
    pub(crate) processes: Vec<Process>,
    /// What the mesh said last, oldest first.
    pub(crate) said: VecDeque<String>,
}

impl Progress {
    /// Takes in one event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Started(process) => self.start(process),
            Event::Said(words) => self.say(words.clone()),
            Event::Begins(phase) => self.current = Some(*phase),
            Event::Doing(words) => self.doing.clone_from(words),
            Event::Judged(phase, checks) => {
                if let Some(judged) = self.judged.get_mut(*phase) {
                    *judged = Some(checks.clone());
                }
            }
        }
    }

    /// Every phase with its checks.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&'static Phase, &[Check])> {
        PHASES.iter().zip(&self.judged).map(|(phase, checks)| (phase, checks.as_deref().unwrap_or_default()))
    }

    /// Whether every phase was played and everything held.
    pub(crate) fn holds(&self) -> bool {
        let held = |checks: &Option<Vec<Check>>| {
            checks.as_ref().is_some_and(|checks| checks.iter().all(|check| check.holds))
        };
        self.judged.iter().all(held)
    }

    fn start(&mut self, process: &Process) {
        self.say(format!("{} started, pid {}", process.name, process.pid));
        match self.processes.iter_mut().find(|known| known.name == process.name) {
            Some(known) => known.clone_from(process),
            None => self.processes.push(process.clone()),
        }
    }

    fn say(&mut self, words: String) {
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(words);
    }
}

impl Process {
    /// Its addresses as people read them.
    pub(crate) fn places(&self) -> String {
        let places: Vec<_> =
            self.addresses.iter().map(|(what, address)| format!("{what} {address}")).collect();
        places.join(", ")
    }
}

#[cfg(test)]
mod tests;
