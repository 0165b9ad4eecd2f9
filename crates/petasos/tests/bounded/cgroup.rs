//! A group of processes with a bound on its memory, as a container has it: what the processes have, and what the kernel
//! holds for their sockets. Needs root.

use std::{fs, path::PathBuf};

/// Removed when it is dropped; its processes must be gone.
pub(crate) struct MemoryLimit {
    directory: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl MemoryLimit {
    pub(crate) fn new(bytes: u64) -> Self {
        let name = format!("petasos-test-{}", std::process::id());
        let one = PathBuf::from("/sys/fs/cgroup/memory");
        let (version, root) = if one.is_dir() {
            (Version::One, one)
        } else {
            let root = PathBuf::from("/sys/fs/cgroup");
            // Fails where it is on already, or cannot be: then the next step says so.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            (Version::Two, root)
        };
        let limit = Self { directory: root.join(name), version };
        fs::create_dir(&limit.directory).expect("a control group for memory can be made");
        match version {
            Version::One => {
                limit.set("memory.limit_in_bytes", bytes);
                // Otherwise sockets are not counted.
                limit.set("memory.kmem.tcp.limit_in_bytes", bytes);
            }
            Version::Two => limit.set("memory.max", bytes),
        }
        limit
    }

    /// Puts a process into it.
    pub(crate) fn add(&self, pid: u32) {
        self.set("cgroup.procs", u64::from(pid));
    }

    /// The most that was ever in use, in bytes: of processes, and of sockets where they are counted apart.
    pub(crate) fn peak_bytes(&self) -> u64 {
        match self.version {
            Version::One => {
                self.get("memory.max_usage_in_bytes") + self.get("memory.kmem.tcp.max_usage_in_bytes")
            }
            Version::Two => self.get("memory.peak"),
        }
    }

    fn set(&self, file: &str, value: u64) {
        let path = self.directory.join(file);
        fs::write(&path, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn get(&self, file: &str) -> u64 {
        let path = self.directory.join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim().parse().unwrap()
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // It stays behind, empty, where the kernel has not yet seen the end of its processes.
        let _ = fs::remove_dir(&self.directory);
    }
}
