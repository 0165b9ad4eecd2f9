//! Remembers the last event id in a file, so that the next run continues where this one ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// An id is shorter; a larger file is something else.
const MAX_STATE_BYTES: u64 = 64 << 10;

/// A file that holds one event id and a line feed.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    written: Option<String>,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system says no.
    #[error("the state file {} cannot be {verb}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// It holds something else. It is not overwritten.
    #[error("{} does not hold an event id: name another file for --state", path.display())]
    NotState {
        /// The file.
        path: PathBuf,
    },
}

impl StateFile {
    /// Opens a state file, which need not exist, and reads the id that it holds.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(path: PathBuf) -> Result<(Self, Option<String>), StateError> {
        let id = match read(&path) {
            Ok(text) => {
                let id = text.strip_suffix('\n').unwrap_or(&text);
                if id.chars().any(char::is_control) {
                    return Err(StateError::NotState { path });
                }
                Some(id.to_owned()).filter(|id| !id.is_empty())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(StateError::NotState { path });
            }
            Err(error) => return Err(StateError::File { path, verb: "read", error }),
        };
        Ok((Self { path, written: id.clone() }, id))
    }

    /// Writes the id, unless the file holds it already. Whoever reads the file at any moment, even after this process
    /// was killed, sees the old id or the new one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&mut self, id: &str) -> Result<(), StateError> {
        if self.written.as_deref() == Some(id) {
            return Ok(());
        }
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(format!(".{}.tmp", std::process::id()));
        let beside = Path::new(&beside);
        fs::write(beside, format!("{id}\n"))
            .and_then(|()| fs::rename(beside, &self.path))
            .map_err(|error| StateError::File { path: self.path.clone(), verb: "written", error })?;
        self.written = Some(id.to_owned());
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    let read = fs::File::open(path)?.take(MAX_STATE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_STATE_BYTES { Err(io::ErrorKind::InvalidData.into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let (mut state, id) = StateFile::open(path.clone()).expect("a new one");
        assert_eq!(id, None);
        state.save("urn:x:1").expect("saved");
        state.save("urn:x:é").expect("saved");
        let (_, id) = StateFile::open(path).expect("an old one");
        assert_eq!(id.as_deref(), Some("urn:x:é"));
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_something_else_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in [("lines", &b"a\nb\n"[..]), ("binary", b"\xFF"), ("large", &[b'x'; 70_000])] {
            let path = directory.path().join(name);
            fs::write(&path, content).expect("written");
            assert!(matches!(StateFile::open(path), Err(StateError::NotState { .. })), "{name}");
        }
        fs::write(directory.path().join("empty"), "").expect("written");
        assert_eq!(StateFile::open(directory.path().join("empty")).expect("usable").1, None);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut state, _) = StateFile::open(directory.path().join("none/state")).expect("it need not exist");
        let error = state.save("1").expect_err("the directory is missing").to_string();
        assert!(error.contains("none/state cannot be written"), "{error}");
    }
}
