//! A step that tells its progress after every 10 µs of work, beside the same work that tells it after every 10 ms.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Instant;

use step_machine::observe::JsonLines;
use step_machine::{Journal, MachineBuilder, SqliteJournal, StepContext, Workflow};

use crate::median;

/// Updates of the fast step; the slow one has a thousandth of them.
const UPDATES: u32 = 50_000;

#[derive(Workflow)]
enum Fast {
    Work,
}

/// What a step is busy with between two updates.
#[inline(never)]
fn work(rounds: u32) {
    let mut value = 1_u64;
    for _ in 0..rounds {
        value = black_box(value).wrapping_mul(31).wrapping_add(7);
    }
    black_box(value);
}

/// How many rounds take 10 µs.
fn calibrate() -> u32 {
    let begun = Instant::now();
    work(10_000_000);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let rounds = (1e-5 / begun.elapsed().as_secs_f64() * 1e7) as u32;
    rounds.max(1)
}

struct Ran {
    seconds: f64,
    /// The most that was allocated at once.
    bytes: u64,
    thinned: u64,
}

fn run(builder: MachineBuilder<Fast>, rounds: u32, updates: u32, every: u32) -> Ran {
    let body = |cx: &mut StepContext| {
        for update in 1..=updates {
            work(rounds);
            if update % every == 0 {
                cx.progress(f64::from(update) / f64::from(updates));
            }
        }
        Ok::<(), io::Error>(())
    };
    let (mut seconds, mut thinned) = (0.0, 0);
    let memory = allocation_counter::measure(|| {
        let begun = Instant::now();
        let run = builder.begin().expect("a run").step(fast::Work, body).expect("the body succeeds");
        thinned = run.finish().expect("the end").thinned();
        seconds = begun.elapsed().as_secs_f64();
    });
    Ran { seconds, bytes: memory.bytes_max, thinned }
}

/// What one way to keep and tell a run does to both.
fn compare(name: &str, rounds: u32, is_test: bool, builder: impl Fn(&Path) -> MachineBuilder<Fast>) {
    let (samples, updates) = if is_test { (1, 1_000) } else { (15, UPDATES) };
    let folder = std::env::temp_dir().join(format!("step-machine-observers-{}", std::process::id()));
    let (mut ratios, mut least, mut bytes, mut events, mut thinned) =
        (Vec::new(), [f64::INFINITY; 2], [0; 2], [0; 2], 0);
    for _ in 0..samples {
        let ran = [1_000, 1].map(|every| {
            std::fs::create_dir_all(&folder).expect("a folder");
            let ran = run(builder(&folder).id("fast"), rounds, updates, every);
            let at = usize::from(every == 1);
            bytes[at] = bytes[at].max(ran.bytes);
            let file = folder.join("runs.db");
            if file.exists() {
                let journal = SqliteJournal::open(&file).expect("the journal");
                events[at] = journal.load(&"fast".into()).wait().expect("the run").len();
            }
            std::fs::remove_dir_all(&folder).expect("the folder goes");
            thinned = ran.thinned;
            least[at] = least[at].min(ran.seconds);
            ran.seconds
        });
        ratios.push(ran[1] / ran[0]);
    }
    let [slow, fast] = bytes;
    println!(
        "{name}: {updates} updates take {:.3} times the time of {} ({:.3} by the quickest runs); {fast} bytes at most, {slow} with few; {} events in \
         the journal, {} with few; {thinned} held back for good",
        median(ratios),
        updates / 1_000,
        least[1] / least[0],
        events[1],
        events[0],
    );
}

/// Nanoseconds of an update that is held back: medians of batches too short for other programs to matter much.
fn held_back() -> f64 {
    let mut batches = Vec::new();
    let body = |cx: &mut StepContext| {
        for _ in 0..2_000 {
            let begun = Instant::now();
            (0..1_000).for_each(|update| cx.progress(f64::from(update) / 1e3));
            batches.push(begun.elapsed().as_secs_f64() * 1e9 / 1e3);
        }
        Ok::<(), io::Error>(())
    };
    let run = Fast::machine().observe(JsonLines::new(io::sink())).begin().expect("a run");
    run.step(fast::Work, body).expect("the body succeeds").finish().expect("the end");
    median(batches)
}

pub(crate) fn measure(is_test: bool) {
    let nanos = held_back();
    println!("an update that is held back: {nanos:.0} ns, so 100,000 a second take {:.2} % of it", nanos * 1e5 / 1e7);
    let rounds = calibrate();
    compare("in memory", rounds, is_test, |_| Fast::machine());
    compare("JSON lines to nowhere", rounds, is_test, |_| Fast::machine().observe(JsonLines::new(io::sink())));
    compare("SQLite, JSON lines", rounds, is_test, |folder| {
        let journal = SqliteJournal::open(folder.join("runs.db")).expect("a journal");
        Fast::machine().journal(journal).observe(JsonLines::new(io::sink()))
    });
}
