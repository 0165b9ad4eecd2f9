//! File systems of their own, small enough to be filled, that can lose their power. They need root and loop devices.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Instant,
};

use tempfile::TempDir;

/// Written at a time to fill a file system.
const FILL_BYTES: usize = 64 << 10;

/// The `FS_IOC_SHUTDOWN` of Linux with `NOLOGFLUSH`: the file system stops at once, and what lies in its journal's
/// memory is lost. Called through Python because an ioctl is unsafe code in Rust; it waits for a line, so that its start
/// takes no time when the moment comes.
const POWER_OFF: &str = "import fcntl, os, struct, sys
volume = os.open(sys.argv[1], os.O_RDONLY)
print('armed', flush=True)
sys.stdin.readline()
fcntl.ioctl(volume, 0x8004587D, struct.pack('I', 2))";

/// A mounted file system. Unmounted when dropped; processes that use it must have been ended before.
#[derive(Debug)]
pub struct Volume {
    // What is mounted in it keeps the directory from being removed, so that dropping unmounts first.
    directory: TempDir,
    kind: Kind,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// ext4 on a file, over a loop device.
    Ext4,
    /// In memory: it can be filled, but has no disk below it.
    Memory,
}

impl Volume {
    /// An ext4 file system on a file of this size.
    pub fn ext4(bytes: u64) -> Self {
        Self::try_ext4(bytes).unwrap_or_else(|error| {
            panic!("no ext4 on a loop device ({error}): this test needs root, mkfs.ext4 and /dev/loop*")
        })
    }

    /// A file system of this size that can be filled: ext4 on a loop device, or else in memory.
    pub fn small(bytes: u64) -> Self {
        Self::try_ext4(bytes).unwrap_or_else(|ext4| {
            let directory = directory();
            let options = format!("size={bytes}");
            let mounted = run(command("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"])
                .arg(directory.path().join("mount")));
            match mounted {
                Ok(()) => Self { directory, kind: Kind::Memory },
                Err(error) => panic!("no small file system: neither ext4 ({ext4}) nor tmpfs ({error})"),
            }
        })
    }

    fn try_ext4(bytes: u64) -> io::Result<Self> {
        let directory = directory();
        let image = directory.path().join("image");
        File::create(&image)?.set_len(bytes)?;
        // No blocks are kept back for root, who runs the tests.
        run(command("mkfs.ext4", &["-q", "-m", "0"]).arg(&image))?;
        let mut volume = Self { directory, kind: Kind::Memory };
        volume.mount()?;
        volume.kind = Kind::Ext4;
        Ok(volume)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    /// A directory beside it, on an ordinary disk.
    pub fn beside(&self) -> &Path {
        self.directory.path()
    }

    /// What it is, for the figures that tests print.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ext4 => "ext4 on a loop device",
            Kind::Memory => "tmpfs",
        }
    }

    /// Fills it to the last block, and returns the file that does, so that removing it makes room again.
    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap_or_else(|error| panic!("cannot fill: {error}"));
        let piece = vec![b'f'; FILL_BYTES];
        let mut length = FILL_BYTES;
        while length > 0 {
            // Delayed allocation would find out too late that there is no room.
            match file.write(&piece[..length]).and_then(|count| file.sync_data().map(|()| count)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => length /= 2,
                Err(error) => panic!("cannot fill: {error}"),
            }
        }
        path
    }

    /// Gets ready to cut its power.
    pub fn power_switch(&self) -> PowerSwitch {
        let mut child = command("python3", &["-c", POWER_OFF])
            .arg(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("python3 is needed: {error}"));
        let mut said = String::new();
        let output = child.stdout.take().unwrap_or_else(|| panic!("no output"));
        let armed = BufReader::new(output).read_line(&mut said);
        assert!(armed.is_ok() && said == "armed\n", "the power switch does not work: {said:?}");
        PowerSwitch { child }
    }

    /// Mounts it again, as the next boot does.
    pub fn power_on(&self) {
        run(command("umount", &[]).arg(self.path()))
            .and_then(|()| self.mount())
            .unwrap_or_else(|error| panic!("the file system cannot be mounted again: {error}"));
    }

    fn mount(&self) -> io::Result<()> {
        let image = self.directory.path().join("image");
        run(command("mount", &["-o", "loop"]).arg(image).arg(self.path()))
    }
}

/// Cuts the power of a volume.
#[derive(Debug)]
pub struct PowerSwitch {
    child: Child,
}

impl PowerSwitch {
    /// Cuts it: nothing is written any more, and what was not synced is lost. Returns the last moment at which there was
    /// power for certain. A sync that is under way in the moment of the cut may still succeed, which no real one can.
    pub fn cut(mut self) -> Instant {
        let mut input = self.child.stdin.take().unwrap_or_else(|| panic!("no input"));
        let before = Instant::now();
        let told = input.write_all(b"\n");
        let status = told.and_then(|()| self.child.wait());
        assert!(
            status.as_ref().is_ok_and(ExitStatus::success),
            "the file system cannot be shut down: {status:?}"
        );
        before
    }
}

impl Drop for PowerSwitch {
    fn drop(&mut self) {
        // Ended already where it was used.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, because a process that was killed a moment ago may still be ending.
        let unmounted = run(command("umount", &["--lazy"]).arg(self.path()));
        if let (Err(error), false) = (unmounted, std::thread::panicking()) {
            eprintln!("{} is still mounted: {error}", self.path().display());
        }
    }
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().and_then(|directory| {
        std::fs::create_dir(directory.path().join("mount"))?;
        Ok(directory)
    });
    directory.unwrap_or_else(|error| panic!("no temporary directory: {error}"))
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{:?}: {}", command.get_program(), said.trim())))
}
