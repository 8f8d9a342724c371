//! How far the story has come: events, folded into what there is to show of them.

use std::{collections::VecDeque, net::SocketAddr};

use super::{
    story::{PHASES, Phase},
    verdict::Check,
};

/// Lines of the past that are kept.
const KEPT: usize = 64;

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A process was started.
    Started {
        /// What it is.
        name: String,
        /// Its id.
        pid: u32,
        /// Where it can be reached, and what for.
        addresses: Vec<(&'static str, SocketAddr)>,
    },
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
    /// What the mesh said last, oldest first.
    pub(crate) said: VecDeque<String>,
}

impl Progress {
    /// Takes in one event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { name, pid, .. } => self.say(format!("{name} started, pid {pid}")),
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

    fn say(&mut self, words: String) {
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(words);
    }
}

#[cfg(test)]
mod tests;
