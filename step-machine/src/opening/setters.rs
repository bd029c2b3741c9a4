//! What both builders ask for in the same words.

macro_rules! setters {
    () => {
        /// Sets the id of the run, and goes on with it where the journal has one under this id. Without an id a new one
        /// is generated, and the run is a new one.
        pub fn id(mut self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.opening.id = Some(id.into());
            self
        }

        /// Begins a run of this id; fails with [`JournalError::Exists`](crate::JournalError::Exists) where the journal
        /// has it already.
        pub fn start(mut self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.opening.start = $crate::opening::Start::New;
            self.id(id)
        }

        /// Goes on with the run of this id; fails with [`JournalError::NotFound`](crate::JournalError::NotFound) where
        /// the journal does not have it.
        pub fn resume(mut self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.opening.start = $crate::opening::Start::Kept;
            self.id(id)
        }

        /// Goes on with the run of this id where the journal has it, and begins it otherwise: [`id`](Self::id) in other
        /// words.
        pub fn start_or_resume(self, id: impl Into<$crate::run_id::RunId>) -> Self {
            self.id(id)
        }

        /// Keeps everybody else from a thing of this name while the run is driven; may be called several times.
        ///
        /// A run that needs it fails with [`JournalError::Exclusive`](crate::JournalError::Exclusive) while another one
        /// of the same journal has it, and can have it as soon as that one ends or its process dies. Needs a
        /// [`journal`](Self::journal).
        pub fn exclusive(mut self, name: impl Into<String>) -> Self {
            self.opening.more().exclusive.push(name.into());
            self
        }

        /// Takes the run, and what it needs for itself, from whoever drives it and lives: what that process writes
        /// next is refused, and it stops. For one that hangs or was stopped; what its step is doing, it may still do.
        /// From a process that died a run is taken over in any case.
        pub fn take_over(mut self) -> Self {
            self.opening.more().take_over = true;
            self
        }

        /// Runs `step` and all that comes after it or needs it again, where the run that goes on has come to them: with
        /// their recorded outputs gone, and their attempts counted on. What such a step nests runs again too, from its
        /// own first step on.
        ///
        /// Also a completed run can go on so, and a rollback that comes later takes back what was done before too. Fails
        /// with [`JournalError::NotFound`](crate::JournalError::NotFound) where the journal does not have the run, and
        /// with [`JournalError::Over`](crate::JournalError::Over) where it is being rolled back.
        pub fn retry_from(mut self, step: W) -> Self {
            self.opening.more().again = Some($crate::opening::Again::From($crate::workflow::Workflow::index(&step)));
            self
        }

        /// Begins the run as a copy of another one of the same journal: what that one settled before `step` counts as
        /// done, with its outputs, and the run begins with `step` and all that comes after it or needs it.
        ///
        /// The other run stays as it is, and a rollback takes back nothing of what it did. Where the journal has the
        /// new run already, that one goes on. Labels and input are those that are set here.
        pub fn fork(mut self, run: impl Into<$crate::run_id::RunId>, step: W) -> Self {
            self.opening.more().fork = Some((run.into(), $crate::workflow::Workflow::index(&step)));
            self
        }

        /// Adds a label: who started the run, for which ticket, and the like.
        pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.opening.more().labels.push((key.into(), value.into()));
            self
        }

        /// Records what the run works on. A value that cannot be JSON is recorded as the error that says why.
        pub fn input(mut self, input: impl serde::Serialize) -> Self {
            self.opening.set_input(input);
            self
        }

        /// Keeps the run in `journal`: under an id that it has, the run goes on where it was.
        pub fn journal(mut self, journal: impl $crate::journal::Journal + 'static) -> Self {
            self.opening.watch.journal = Some(std::sync::Arc::new(journal));
            self
        }

        /// Estimates the time that remains by what the steps took in earlier runs: by the medians of the newest 20 runs
        /// of the workflow that completed, with the same steps, in the [`journal`](Self::journal) of the run; corrected by
        /// how long this run has taken for what it has done so far. Steps that none of them ran count by their weight,
        /// and steps beside each other as the longest way through them.
        ///
        /// Without it, without a journal, and where that has no such run, the weights alone tell. The journal is read while
        /// the run goes on, which waits for nothing: until the answer is there, the estimate is that by weights. What
        /// goes wrong with it is no fault of the run.
        ///
        /// The estimate is `progress.eta` of the events.
        pub fn estimate_from_history(mut self) -> Self {
            self.opening.wants_forecast = true;
            self
        }

        /// Seals what steps marked `secret` hand on with `codec`, before the journal has it, and opens it when the run
        /// goes on. A run that has such a step and a journal needs one, or fails with
        /// [`JournalError::NoCodec`](crate::JournalError::NoCodec) before it begins. Runs that are nested in this one
        /// have it too.
        pub fn codec(mut self, codec: impl $crate::journal::Codec + 'static) -> Self {
            self.opening.watch.secrecy.set_codec(codec);
            self
        }

        /// Records `[redacted]` in place of what stands under `key`, whatever its case, in labels, and at any depth in
        /// the input and in what steps tell machines by `metadata`; may be called several times. Runs that are nested
        /// in this one do the same.
        ///
        /// Neither journal, nor observers, nor the state of the run have the value then, and no run is found by such a
        /// label. Texts are not searched: messages, lines of output and errors are recorded as they are.
        pub fn redact(mut self, key: impl AsRef<str>) -> Self {
            self.opening.watch.secrecy.redact(key.as_ref());
            self
        }

        /// Shows the run's events to `observer`; may be called several times.
        pub fn observe(mut self, observer: impl $crate::observe::Observer + 'static) -> Self {
            self.opening.watch.observers.add(observer);
            self
        }

        /// Sets how often fractions that a step, or a task, tells become events: `burst` in a row, then `per_second`, which
        /// is at least one. Without it they are 100 and 20; with [`u32::MAX`] each becomes one.
        ///
        /// Of those that come faster the newest one is told with the next that may, and in any case before the next other
        /// event of that step or task. How many are never told stands in
        /// [`StepUpdate::thinned`](crate::event::StepUpdate::thinned) and [`Report::thinned`](crate::Report::thinned).
        /// Messages, metadata and lines of output are never thinned. Runs that are nested in this one do the same unless
        /// they say otherwise.
        pub fn thin_progress(mut self, burst: u32, per_second: u32) -> Self {
            self.opening.watch.pace = Some($crate::recorder::Pace::new(burst, per_second));
            self
        }

        /// Measures what each step takes of processor and memory. Just before its end a step tells it to machines, under
        /// the key `resources` of its metadata; runs that are nested in this one do the same. Needs the feature
        /// `resources`, and outside of Unix records nothing.
        ///
        /// | Key | From the step's first start in this process to its end |
        /// |---|---|
        /// | `cpu_user_ms` `cpu_system_ms` | processor time of this process, in its own code and in the system's for it |
        /// | `children_cpu_user_ms` `children_cpu_system_ms` | that of processes it started, which ended and were waited for |
        /// | `peak_memory_bytes` | the most memory that this process has held at once so far, also before the step |
        /// | `children_peak_memory_bytes` | the same of the largest of those other processes |
        ///
        /// The system counts for the process as a whole. So a step's numbers are its own where nothing else runs beside
        /// it: with parallel steps, other runs or threads of the program each also has what the others took meanwhile.
        #[cfg(feature = "resources")]
        pub fn measure_resources(mut self) -> Self {
            self.opening.watch.is_measured = true;
            self
        }

        /// Takes the times of events from `clock`. Waits, timeouts and deadlines of a runner are the runtime's in any
        /// case.
        pub fn clock(mut self, clock: impl $crate::time::Clock + 'static) -> Self {
            self.opening.watch.clock = Some(std::sync::Arc::new(clock));
            self
        }
    };
}

pub(crate) use setters;
