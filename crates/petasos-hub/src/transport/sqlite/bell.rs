//! Tells the other processes on a store that it has grown, without polling.
//!
//! After a commit the writer changes its own slot of a small file beside the store; every process watches that file and
//! looks whether a slot other than its own has changed. Watching the write-ahead log itself would wake too early: its
//! frames are written before the index makes them visible. Where the system has no inotify, the file is looked at forty
//! times a second.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

/// Processes get slots in turn: two live ones share a slot only if this many were started between them.
const SLOTS: usize = 512;
const SLOT_BYTES: usize = 8;

/// This process's end of the bell.
#[derive(Debug)]
pub(super) struct Bell {
    file: File,
    slot: usize,
    strokes: AtomicU64,
    heard: watch::Receiver<u64>,
    closed: Arc<AtomicBool>,
}

impl Bell {
    /// Opens the bell of the store at `store` for the process with this number, and starts the thread that listens.
    pub(super) fn open(store: &Path, instance: u64) -> io::Result<Self> {
        let path = bell_path(store);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        if file.metadata()?.len() < (SLOTS * SLOT_BYTES) as u64 {
            file.set_len((SLOTS * SLOT_BYTES) as u64)?;
        }
        let slot = (instance % SLOTS as u64) as usize;
        let (say, heard) = watch::channel(0);
        let closed = Arc::new(AtomicBool::new(false));
        let listener = Listener {
            file: file.try_clone()?,
            slot,
            known: vec![0; SLOTS * SLOT_BYTES],
            closed: Arc::clone(&closed),
        };
        let changes = Changes::watch(&path)?;
        std::thread::Builder::new().name("petasos-bell".into()).spawn(move || listener.run(changes, &say))?;
        // A random start, so that a slot used before by another process changes in any case.
        Ok(Self { file, slot, strokes: AtomicU64::new(rand::random()), heard, closed })
    }

    /// Says that this process has committed.
    pub(super) fn ring(&self) -> io::Result<()> {
        let stroke = self.strokes.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.file.write_all_at(&stroke.to_ne_bytes(), (self.slot * SLOT_BYTES) as u64)
    }

    /// Changes whenever another process has rung.
    pub(super) fn heard(&self) -> watch::Receiver<u64> {
        self.heard.clone()
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the listener, so that it sees that it is over.
        let _ = self.ring();
    }
}

fn bell_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-bell");
    name.into()
}

struct Listener {
    file: File,
    slot: usize,
    known: Vec<u8>,
    closed: Arc<AtomicBool>,
}

impl Listener {
    fn run(mut self, mut changes: Changes, say: &watch::Sender<u64>) {
        loop {
            let waited = changes.wait();
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            // An error leaves the slow look of the tails as the net below; a pause keeps it from spinning.
            if waited.is_err() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            if self.others_rang().unwrap_or(true) {
                say.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    fn others_rang(&mut self) -> io::Result<bool> {
        let mut now = vec![0; self.known.len()];
        self.file.read_exact_at(&mut now, 0)?;
        let own = self.slot * SLOT_BYTES..(self.slot + 1) * SLOT_BYTES;
        self.known[own.clone()].copy_from_slice(&now[own]);
        let changed = now != self.known;
        self.known = now;
        Ok(changed)
    }
}

/// Waits for changes of a file.
#[cfg(target_os = "linux")]
struct Changes {
    inotify: inotify::Inotify,
    buffer: Box<[u8; 1024]>,
}

#[cfg(target_os = "linux")]
impl Changes {
    fn watch(path: &Path) -> io::Result<Self> {
        let inotify = inotify::Inotify::init()?;
        inotify.watches().add(path, inotify::WatchMask::MODIFY)?;
        Ok(Self { inotify, buffer: Box::new([0; 1024]) })
    }

    fn wait(&mut self) -> io::Result<()> {
        self.inotify.read_events_blocking(&mut self.buffer[..]).map(|_| ())
    }
}

#[cfg(not(target_os = "linux"))]
struct Changes;

#[cfg(not(target_os = "linux"))]
impl Changes {
    fn watch(_path: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    fn wait(&mut self) -> io::Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(25));
        Ok(())
    }
}
