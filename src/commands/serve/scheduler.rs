//! The loop of `kluis serve`. It alone decides what begins; signals, children and
//! the trigger only send it word. It sleeps until something is due or somebody
//! sends word, but never long: a clock that was set, or a machine that slept, is
//! noticed when it next looks.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;

use super::desk::Door;
use super::job::{Job, Said, shown};
use super::unbegun::{self, Unbegun};
use super::{agenda, api_key, planned};
use crate::commands::session::Session;
use crate::config::{self, Environment, Flags, Settings};
use crate::exit::{Exit, hint_of};
use crate::operations::Reporter;
use crate::process::{ChildRun, Ended, ProcessError, Tool, terminate_all};
use crate::render::counted;
use crate::schedule::Agenda;
use crate::signals::Heard;
use crate::systemd::Manager;
use crate::trigger::{Order, Outcome, Server, WrongKeys};

/// The longest sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long a run that is told to stop has to tidy up; a run's own children have
/// less. systemd kills after 90 s.
const GRACE: Duration = Duration::from_secs(60);

/// Word from elsewhere.
pub enum Told {
    Heard(Heard),
    Ordered(Order),
    Ended(Result<Ended, ProcessError>),
}

/// The run that is under way.
struct Running {
    job: Job,
    begun: Instant,
    started: Timestamp,
}

pub struct Scheduler<'a> {
    session: &'a Session<'a>,
    /// What a SIGHUP brought.
    reloaded: Option<Settings>,
    manager: Manager,
    agenda: Agenda,
    /// Due, but something else runs. Each schedule once.
    waiting: VecDeque<Job>,
    running: Option<Running>,
    door: Option<Door>,
    tell: Sender<Told>,
    inbox: Receiver<Told>,
    said_status: String,
}

impl<'a> Scheduler<'a> {
    pub fn new(
        session: &'a Session<'a>,
        agenda: Agenda,
        door: Option<Door>,
        tell: Sender<Told>,
        inbox: Receiver<Told>,
    ) -> Self {
        Self {
            session,
            reloaded: None,
            manager: session.settings.serve.manager.clone(),
            agenda,
            waiting: VecDeque::new(),
            running: None,
            door,
            tell,
            inbox,
            said_status: String::new(),
        }
    }

    /// Until it is told to stop.
    pub fn run(mut self) -> anyhow::Result<Exit> {
        self.manager.ready(&self.status());
        loop {
            self.begin_what_is_due();
            if let Some(door) = &mut self.door {
                door.try_again(self.session, &self.tell);
            }
            self.tell_wrong_keys();
            self.tell_status();
            self.manager.alive();
            // A pause that is over is no word.
            match self.inbox.recv_timeout(self.pause()) {
                Ok(Told::Heard(Heard::Reload)) => self.reload(),
                Ok(Told::Heard(Heard::Stop(signal))) => return Ok(self.stop(signal)),
                Ok(Told::Ordered(order)) => self.take(order),
                Ok(Told::Ended(ended)) => self.ended(ended),
                Err(_) => {}
            }
        }
    }

    fn settings(&self) -> &Settings {
        self.reloaded.as_ref().unwrap_or(&self.session.settings)
    }

    fn begin_what_is_due(&mut self) {
        for due in self.agenda.take_due(Timestamp::now()) {
            let same = |job: &Job| matches!(job, Job::Scheduled(other) if other.name == due.name);
            if !self.waiting.iter().any(same) {
                if let Some(running) = &self.running {
                    let name = running.job.name();
                    self.info(&format!("{}: due, and waits for {name}", due.name));
                }
                self.waiting.push_back(Job::Scheduled(due));
            }
        }
        while self.running.is_none() {
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            self.begin(job);
        }
    }

    fn begin(&mut self, job: Job) {
        let Some(tool) = job.tool(self.settings(), &self.session.given) else {
            self.info(&format!("{}: is no schedule any more", job.name()));
            return;
        };
        let (begun, started) = (Instant::now(), Timestamp::now());
        match self.spawn(&tool) {
            Ok(()) => {
                self.info(&format!("{}: {}", job.name(), job.reason(self.settings())));
                self.running = Some(Running {
                    job,
                    begun,
                    started,
                });
            }
            Err(error) => self.finish(job, Err(error), begun.elapsed(), started),
        }
    }

    /// Who waits for the child is there before it: what runs is told of.
    fn spawn(&self, tool: &Tool) -> Result<(), ProcessError> {
        let tell = self.tell.clone();
        let (give, child) = bounded::<ChildRun>(1);
        let wait = move || {
            if let Ok(child) = child.recv() {
                // The loop outlives its runs.
                let _ = tell.send(Told::Ended(child.wait()));
            }
        };
        let thread = thread::Builder::new().name("run".to_owned());
        thread.spawn(wait).map_err(|source| ProcessError::Start {
            program: tool.name(),
            source,
        })?;
        // Its one place is free, and the thread waits for nothing else.
        let _ = give.send(ChildRun::spawn(tool)?);
        Ok(())
    }

    fn take(&mut self, order: Order) {
        let waits = self.waiting.front();
        match self.running.as_ref().map(|it| &it.job).or(waits) {
            Some(other) => {
                let message = format!("{} runs already; ask again when it is done", other.name());
                order.answer(Outcome::Busy { message });
            }
            None => self.begin(Job::Ordered(order)),
        }
    }

    fn ended(&mut self, ended: Result<Ended, ProcessError>) {
        if let Some(Running {
            job,
            begun,
            started,
        }) = self.running.take()
        {
            self.finish(job, ended, begun.elapsed(), started);
        }
    }

    fn finish(
        &self,
        job: Job,
        ended: Result<Ended, ProcessError>,
        took: Duration,
        started: Timestamp,
    ) {
        let name = job.name();
        let ended = ended.unwrap_or_else(|error| {
            let text = format!("{name}: {error}");
            self.session.console.warn(&text);
            Ended {
                exit_code: i32::from(Exit::Failed.code()),
                stdout: Vec::new(),
                stderr: String::new(),
            }
        });
        let said = Said::of(&ended, took);
        let line = format!("{name}: {}", said.line());
        match said.is_well() {
            true => self.info(&line),
            // The run has said why on the same stderr.
            false => self.session.console.warn(&line),
        }
        match job {
            Job::Ordered(order) => {
                let kind = order.kind;
                order.answer(said.outcome(kind));
                if said.is_refused() {
                    self.tell_unbegun(&Unbegun::ordered(kind), started, &said);
                }
            }
            Job::Scheduled(due) if said.is_refused() && self.is_broken_for(&due.name) => {
                let mut schedules = self.settings().schedules.iter();
                if let Some(schedule) = schedules.find(|it| it.name.value == due.name) {
                    self.tell_unbegun(&Unbegun::scheduled(schedule), started, &said);
                }
            }
            Job::Scheduled(_) => {}
        }
    }

    fn tell_unbegun(&self, run: &Unbegun<'_>, started: Timestamp, said: &Said) {
        unbegun::tell(self.session, self.settings(), run, started, &said.error());
    }

    /// Whether the configuration, as runs find it now, cannot be read, or does not
    /// know the schedule: then a run has no way to tell of itself.
    fn is_broken_for(&self, schedule: &str) -> bool {
        let knows = |found: Settings| {
            let mut schedules = found.schedules.iter();
            schedules.any(|it| it.name.value == schedule)
        };
        !self.load().is_ok_and(knows)
    }

    fn load(&self) -> anyhow::Result<Settings> {
        let given = &self.session.given;
        let flags = Flags {
            config: given.config.clone(),
            env_file: given.env_file.clone(),
            storage: given.storage.clone(),
            lock_wait: given.lock_wait,
            ..Flags::default()
        };
        Ok(config::load(flags, Environment::of_process())?)
    }

    /// The configuration anew; a wrong one is told, and changes nothing.
    fn reload(&mut self) {
        self.manager.reloading();
        match self.read_again() {
            Ok(()) => self.info("the configuration was read again"),
            Err(error) => {
                let hint = hint_of(&error)
                    .map(|hint| format!("; {hint}"))
                    .unwrap_or_default();
                self.session.console.warn(&format!(
                    "the configuration is as before, because the new one is wrong: {error}{hint}"
                ));
            }
        }
        self.manager.ready(&self.status());
    }

    fn read_again(&mut self) -> anyhow::Result<()> {
        let new = self.load()?;
        let now = Timestamp::now();
        let next = agenda(self.session, &new, now)?;
        let key = api_key(self.session, &new, &next)?;
        let (old, serve) = (&self.session.settings.serve, &new.serve);
        if old.mode.value != serve.mode.value || old.listen.value != serve.listen.value {
            let text = "another mode or address counts when kluis serve is started again";
            self.session.console.warn(text);
        }
        if let (Some(door), Some(key)) = (&mut self.door, key) {
            door.change_key(key);
        }
        if old.mode.value.runs_schedules() {
            let planned = planned(self.session, &new, now);
            self.agenda.replace(planned, now);
        }
        self.reloaded = Some(new);
        Ok(())
    }

    /// Ends the run that is under way, and waits for that.
    fn stop(mut self, signal: i32) -> Exit {
        self.manager.stopping("ends");
        self.tell_wrong_keys();
        if let Some(running) = &self.running {
            let name = running.job.name();
            self.info(&format!("{name}: is told to stop"));
        }
        // Whatever else we have started, too: a report for one.
        let thread = thread::Builder::new().name("end_children".to_owned());
        if thread.spawn(|| terminate_all(GRACE)).is_err() {
            terminate_all(GRACE);
        }
        while self.running.is_some() {
            match self.inbox.recv() {
                Ok(Told::Ended(ended)) => self.ended(ended),
                Ok(Told::Ordered(order)) => order.answer(Outcome::Stopping),
                Ok(Told::Heard(_)) => {}
                Err(_) => break,
            }
        }
        for job in self.waiting.drain(..) {
            let text = format!("{}: was due, and is left to the next start", job.name());
            self.session.console.info(&text);
        }
        Exit::Signal(signal)
    }

    /// How long until somebody has to look.
    fn pause(&self) -> Duration {
        let until = self
            .agenda
            .next()
            .map(|(_, at)| at.duration_since(Timestamp::now()));
        // What is due already is due now.
        let until = until.map(|until| Duration::try_from(until).unwrap_or_default());
        let closed = self.door.as_ref().and_then(Door::pause);
        let pauses = [until, closed, self.manager.pause_max()]
            .into_iter()
            .flatten();
        pauses.fold(LOOK_EVERY, Duration::min)
    }

    fn status(&self) -> String {
        if let Some(running) = &self.running {
            return format!("{} runs", running.job.name());
        }
        let next = match self.agenda.next() {
            Some((name, at)) => format!("next is {name} at {}", shown(at, self.settings())),
            None => "waits for a trigger".to_owned(),
        };
        match self.door.as_ref().is_none_or(Door::is_open) {
            true => next,
            false => format!("{next}; does not listen"),
        }
    }

    /// To the manager whenever it changes; to the log what comes next.
    fn tell_status(&mut self) {
        let status = self.status();
        if status == self.said_status {
            return;
        }
        self.manager.status(&status);
        if self.running.is_none() {
            self.info(&status);
        }
        self.said_status = status;
    }

    /// Somebody guesses, or has an old key.
    fn tell_wrong_keys(&self) {
        let server = self.door.as_ref().and_then(Door::server);
        let wrong = server.and_then(Server::take_wrong_keys);
        if let Some(WrongKeys { count, last_from }) = wrong {
            let requests = counted(count, "request", "requests");
            self.session.console.warn(&format!(
                "the trigger refused {requests} with a wrong key, the last from {last_from}"
            ));
        }
    }

    fn info(&self, text: &str) {
        self.session.console.info(text);
    }
}
