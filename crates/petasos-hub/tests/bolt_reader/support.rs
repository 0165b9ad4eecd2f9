//! Files from `testdata/bolt`, and what they should hold.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use petasos_hub::Update;
use petasos_hub::bolt::{BoltError, BoltFile, BoltUpdate};
use tempfile::TempDir;

/// The unpacked content of `testdata/bolt/NAME.gz`.
pub(crate) fn testdata(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/bolt/{name}.gz", env!("CARGO_MANIFEST_DIR"));
    let packed = fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut content = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut content).expect("it is gzip");
    content
}

/// A file of its own in a directory of its own, gone with this.
pub(crate) struct Scratch {
    _directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Scratch {
    pub(crate) fn with(content: &[u8]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("history.db");
        fs::write(&path, content).expect("write");
        Self { _directory: directory, path }
    }

    pub(crate) fn open(&self) -> Result<BoltFile, BoltError> {
        BoltFile::open(&self.path)
    }
}

/// Opens `testdata/bolt/NAME.db.gz`. The open file outlives its name.
pub(crate) fn open(name: &str) -> BoltFile {
    Scratch::with(&testdata(&format!("{name}.db"))).open().expect("it is sound")
}

/// All updates of a bucket in which nothing is wrong.
pub(crate) fn all(file: &BoltFile, bucket: &str) -> Vec<BoltUpdate> {
    let updates = file.updates(bucket).expect("the bucket is there");
    updates.collect::<Result<_, _>>().expect("every update is sound")
}

/// What the generator in `testdata/bolt/gen` writes as the `n`-th update.
pub(crate) fn generated(n: u64, data_bytes: usize) -> BoltUpdate {
    let mut topics = vec![format!("https://example.com/{n}")];
    if n.is_multiple_of(11) {
        topics.push("https://example.com/eleventh".to_owned());
    }
    let update = Update::from_stored(
        format!("urn:x:{n}"),
        topics,
        "d".repeat(data_bytes),
        n.is_multiple_of(3),
        n.is_multiple_of(5).then(|| "fifth".to_owned()),
        n.is_multiple_of(7).then_some(n),
    );
    BoltUpdate { sequence: n, update, at_ms: None }
}
