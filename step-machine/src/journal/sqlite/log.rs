//! Damage to the write-ahead log, of which SQLite tells nobody: it takes the beginning that is whole, and goes on from there.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use super::beside;

/// So many commits behind a place that cannot be read are damage; fewer are what a crash may leave. There the disk may have
/// the last commit in part, and in part the one before, where that is not waited for: a claim, or places of rows. A third
/// was begun only after the first had been waited for; but each other process that has the file open may have left one
/// more of these.
const TOO_MANY: u64 = 3;

/// How often a log is looked at that others change meanwhile.
const LOOKS: usize = 5;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What is wrong with the log of a database that nobody has opened yet, or that others use.
pub(super) fn damage(database: &Path) -> io::Result<Option<Damage>> {
    let log = beside(database, "-wal");
    let mut before: Option<Damage> = None;
    for _ in 0..LOOKS {
        // The database itself is not opened here: to close it would drop the locks that this process may have on it.
        let Some(found) = look(&log)? else { return Ok(None) };
        let is_empty = match fs::metadata(database) {
            // SQLite takes no log without a database either.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            database => database?.len() == 0,
        };
        let Some(found) = found.judge(is_empty) else { return Ok(None) };
        // Where others write, the log may have changed between two reads. What is damaged stays so.
        if before.as_ref().is_some_and(|before| before.is_at_the_place_of(&found)) {
            return Ok(Some(found));
        }
        before = Some(found);
    }
    // Somebody lives and writes, so that SQLite has nothing to bring back.
    Ok(None)
}

/// Whether there is a log with anything in it, as far as one can see.
pub(super) fn is_there(database: &Path) -> bool {
    match fs::metadata(beside(database, "-wal")) {
        Err(error) => error.kind() != ErrorKind::NotFound,
        Ok(log) => log.len() > 0,
    }
}

/// What SQLite would leave out of a log.
#[derive(Debug)]
pub(super) struct Damage {
    found: Found,
    is_database_empty: bool,
}

impl Damage {
    fn is_at_the_place_of(&self, other: &Self) -> bool {
        let place = |damage: &Self| (damage.found.header, damage.found.frames, damage.is_database_empty);
        place(self) == place(other)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { frames, commits, behind, is_headless, .. } = self.found;
        if self.is_database_empty {
            return write!(f, "the file is empty, but its write-ahead log has {}", count(commits + behind));
        }
        if is_headless {
            let behind = count(behind);
            return write!(f, "the head of its write-ahead log is damaged, and {behind} behind it would be lost");
        }
        let (frame, commits, behind) = (frames + 1, count(commits), count(behind));
        write!(
            f,
            "its write-ahead log is damaged at frame {frame}, after {commits}, and {behind} from there on would be lost"
        )
    }
}

fn count(commits: u64) -> String {
    if commits == 1 { "1 commit".to_owned() } else { format!("{commits} commits") }
}

/// What stands in a log.
#[derive(Debug, Clone, Copy)]
struct Found {
    header: [u8; HEADER],
    /// SQLite does not take the header for one.
    is_headless: bool,
    /// Frames that are whole, up to the first that is not.
    frames: u64,
    /// Commits among these.
    commits: u64,
    /// Commits of the same time behind them.
    behind: u64,
}

impl Found {
    fn judge(self, is_database_empty: bool) -> Option<Damage> {
        let has_any = self.commits + self.behind > 0;
        // SQLite removes the log of an empty file. A header is on the disk before the first frame is written.
        let is_damaged = self.behind >= TOO_MANY || (has_any && (is_database_empty || self.is_headless));
        is_damaged.then_some(Damage { found: self, is_database_empty })
    }
}

fn look(path: &Path) -> io::Result<Option<Found>> {
    let mut log = match open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        log => log?,
    };
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let mut found = Found { header, is_headless: false, frames: 0, commits: 0, behind: 0 };
    if let Some(header) = Header::of(&header) {
        found.follow(log, header)?;
    } else {
        found.is_headless = true;
        // The size of a page can only be guessed now: the right one finds the most.
        for page in (9..=16).map(|bits| 1 << bits) {
            found.behind = found.behind.max(commits_without_header(path, salts(&header[16..]), page)?);
        }
    }
    Ok(Some(found))
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(64 << 10, File::open(path)?))
}

/// Whether there was as much as that.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        done => done.map(|()| true),
    }
}

impl Found {
    /// Counts what follows a header.
    fn follow(&mut self, mut log: impl Read, header: Header) -> io::Result<()> {
        let mut buffer = vec![0; FRAME_HEADER + header.page];
        let mut sums = header.sums;
        let mut is_whole = true;
        while fill(&mut log, &mut buffer)? {
            let frame = Frame::of(&buffer);
            let is_of_now = frame.page != 0 && frame.salts == header.salts;
            is_whole = is_whole && is_of_now && {
                sums = header.words.add(header.words.add(sums, &buffer[..8]), &buffer[FRAME_HEADER..]);
                sums == frame.sums
            };
            self.frames += u64::from(is_whole);
            let counter = if is_whole { &mut self.commits } else { &mut self.behind };
            *counter += u64::from(is_of_now && frame.is_commit);
        }
        Ok(())
    }
}

/// Commits behind a damaged header: of the first frames that have the same salts, which are not as the header has them
/// where it is these that are damaged.
fn commits_without_header(path: &Path, in_header: Salts, page: usize) -> io::Result<u64> {
    let mut log = open(path)?;
    let mut buffer = vec![0; FRAME_HEADER + page];
    let (mut salts, mut before) = (None, (in_header, false));
    let mut commits = 0;
    fill(&mut log, &mut [0; HEADER])?;
    while fill(&mut log, &mut buffer)? {
        let frame = Frame::of(&buffer);
        if salts.is_none() && frame.salts == before.0 && frame.salts != [0; 2] {
            salts = Some(frame.salts);
            commits += u64::from(before.1);
        }
        let is_commit = frame.page != 0 && frame.is_commit;
        commits += u64::from(is_commit && salts == Some(frame.salts));
        before = (frame.salts, is_commit);
    }
    Ok(commits)
}

/// Numbers that are others each time the log begins anew.
type Salts = [u32; 2];

struct Header {
    page: usize,
    salts: Salts,
    words: Words,
    sums: [u32; 2],
}

impl Header {
    /// As SQLite takes it for one.
    fn of(bytes: &[u8; HEADER]) -> Option<Self> {
        let words = match number(bytes) {
            0x377f_0682 => Words::Little,
            0x377f_0683 => Words::Big,
            _ => return None,
        };
        let page = usize::try_from(number(&bytes[8..])).ok()?;
        let sums = words.add([0; 2], &bytes[..24]);
        let is_whole = page.is_power_of_two() && (512..=65_536).contains(&page) && sums == salts(&bytes[24..]);
        is_whole.then(|| Self { page, salts: salts(&bytes[16..]), words, sums })
    }
}

struct Frame {
    page: u32,
    is_commit: bool,
    salts: Salts,
    sums: [u32; 2],
}

impl Frame {
    fn of(bytes: &[u8]) -> Self {
        Self {
            page: number(bytes),
            is_commit: number(&bytes[4..]) != 0,
            salts: salts(&bytes[8..]),
            sums: salts(&bytes[16..]),
        }
    }
}

/// The first four bytes, or 0 where there are fewer.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn salts(bytes: &[u8]) -> [u32; 2] {
    [number(bytes), number(&bytes[4..])]
}

/// How the numbers that are added up are read; all else is big-endian.
#[derive(Clone, Copy)]
enum Words {
    Little,
    Big,
}

impl Words {
    fn add(self, sums: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        match self {
            Self::Little => add(sums, bytes, u32::from_le_bytes),
            Self::Big => add(sums, bytes, u32::from_be_bytes),
        }
    }
}

fn add([mut first, mut second]: [u32; 2], bytes: &[u8], word: impl Fn([u8; 4]) -> u32) -> [u32; 2] {
    for [a, b, c, d, e, f, g, h] in bytes.as_chunks().0 {
        first = first.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(second);
        second = second.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(first);
    }
    [first, second]
}
