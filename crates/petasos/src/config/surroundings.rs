//! What the configuration is read from: environment variables and files. A parameter and not the process's own, so that
//! tests bring theirs along.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

/// How large a configuration file, a file with a secret or a key may be.
const FILE_BYTES: u64 = 1 << 20;

/// Environment variables. `Debug` shows their names only: values are secrets often enough.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    /// Names of variables that are not UTF-8.
    unreadable: Vec<String>,
}

impl Environment {
    /// That of the process.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            // No option has a name that is not UTF-8.
            let Ok(name) = name.into_string() else { continue };
            match OsString::into_string(value) {
                Ok(value) => drop(environment.values.insert(name, value)),
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    /// A variable that is there and not empty: `NAME=` in a Compose file means that it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// All variables that are not empty, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.keys().filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }

    /// The names of variables whose value is not UTF-8.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.unreadable.iter().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let values = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, unreadable: Vec::new() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.values.keys()).finish()
    }
}

/// The files that a configuration names.
pub trait Files {
    /// Reads a whole text.
    ///
    /// # Errors
    /// Where it is missing, unreadable, not UTF-8, or larger than a configuration can be.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Whether there is a file, of whatever content.
    fn is_file(&self, path: &Path) -> bool;

    /// Whether there is a directory in which this process may create files.
    fn is_writable_directory(&self, path: &Path) -> bool;
}

/// The files of the machine.
#[derive(Clone, Copy, Debug)]
pub struct RealFiles;

impl Files for RealFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        use io::Read;
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        let read_bytes = file.take(FILE_BYTES + 1).read_to_string(&mut text)?;
        if read_bytes as u64 > FILE_BYTES {
            return Err(io::Error::other("it is larger than a MiB"));
        }
        Ok(text)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_writable_directory(&self, path: &Path) -> bool {
        use rustix::fs::Access;
        path.is_dir() && rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
}

/// Files that exist in memory only, for tests and for people who embed the configuration.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    /// Contents by path.
    pub files: BTreeMap<PathBuf, String>,
    /// Directories that can be written.
    pub writable: Vec<PathBuf>,
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn is_writable_directory(&self, path: &Path) -> bool {
        self.writable.iter().any(|directory| directory == path)
    }
}

/// What the configuration is read from, beside the flags.
#[derive(Clone, Debug)]
pub struct Surroundings<F> {
    /// The variables.
    pub environment: Environment,
    /// The files.
    pub files: F,
}

impl Surroundings<RealFiles> {
    /// Those of the process.
    pub fn of_process() -> Self {
        Self { environment: Environment::of_process(), files: RealFiles }
    }
}
