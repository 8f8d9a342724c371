//! Who watches: takes in events, looks around at each tick, and shows it.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    load::Load,
    picture::{Moment, Picture},
    progress::{Event, Progress},
    sighting::Scene,
    view::Shown,
};

/// Rates are told over this time.
const SPAN: Duration = Duration::from_secs(1);
/// Seconds of history that are kept: more than a wide terminal has columns.
const HISTORY: usize = 512;

/// Somebody who watches.
pub(crate) struct Audience {
    shown: Shown,
    inbox: mpsc::Receiver<Event>,
    scene: Scene,
    started: Instant,
    progress: Progress,
    /// From a span ago until now.
    moments: VecDeque<Moment>,
    history: VecDeque<u64>,
}

impl Audience {
    /// Begins to watch.
    pub(crate) fn new(shown: Shown, inbox: mpsc::Receiver<Event>, scene: Scene) -> Self {
        Self {
            shown,
            inbox,
            scene,
            started: Instant::now(),
            progress: Progress::default(),
            moments: VecDeque::new(),
            history: VecDeque::new(),
        }
    }

    /// Watches until the viewer asks to end it.
    pub(crate) async fn watch(&mut self, load: &Load) -> anyhow::Result<()> {
        let mut tick = interval(self.shown.tick());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = self.inbox.recv() => self.take(&event),
                _ = tick.tick() => {
                    self.look(load).await;
                    let picture = self.picture();
                    self.shown.picture(&picture)?;
                    if self.shown.wants_to_quit()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives the terminal back, and tells how far the story came.
    pub(crate) fn leave(mut self) -> Progress {
        while let Ok(event) = self.inbox.try_recv() {
            self.take(&event);
        }
        self.progress
    }

    fn take(&mut self, event: &Event) {
        self.progress.apply(event);
        self.shown.event(event);
    }

    async fn look(&mut self, load: &Load) {
        let sighting = self.scene.look().await;
        let elapsed = self.started.elapsed();
        let now = Moment { elapsed, tally: load.tally(), sighting };
        self.moments.push_back(now);
        while self.moments.get(1).is_some_and(|second| second.elapsed + SPAN <= elapsed) {
            self.moments.pop_front();
        }
        self.note_history();
    }

    /// One value for each second.
    fn note_history(&mut self) {
        let (Some(before), Some(now)) = (self.moments.front(), self.moments.back()) else { return };
        if now.elapsed.as_secs() <= self.history.len() as u64 {
            return;
        }
        let between = now.tally.since(&before.tally);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(between.failed * 1000 / between.ended.max(1));
    }

    fn picture(&self) -> Picture {
        let none = Moment::default();
        let before = self.moments.front().unwrap_or(&none);
        let now = self.moments.back().unwrap_or(&none);
        let certificates = now.sighting.certificates(SystemTime::now());
        Picture::new(&self.progress, before, now, certificates, self.history.iter().copied().collect())
    }
}
