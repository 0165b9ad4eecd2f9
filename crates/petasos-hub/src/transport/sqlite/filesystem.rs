//! Refuses file systems on which two processes cannot share a write-ahead log.

use std::path::Path;

use crate::transport::{ErrorKind, TransportError};

/// Checks the directory that holds `path`.
///
/// # Errors
/// [`ErrorKind::Invalid`] for network file systems, [`ErrorKind::Unavailable`] where the directory does not exist.
pub(super) fn check(path: &Path) -> Result<(), TransportError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(TransportError::new(
            ErrorKind::Invalid,
            format!(
                "{} does not exist or is no directory: create it, or name another path for the store",
                directory.display()
            ),
        ));
    }
    match network_file_system(directory) {
        Some(name) => Err(TransportError::new(ErrorKind::Invalid, refusal(path, name))),
        None => Ok(()),
    }
}

fn refusal(path: &Path, name: &str) -> String {
    format!(
        "{} lies on a network file system ({name}), which cannot share memory between processes, so that the store \
         would be damaged: use a local disk or a block volume, or a transport that runs as a server",
        path.display()
    )
}

/// The name of the network file system that `directory` lies on, if it does. By the magic numbers of `statfs(2)`.
#[cfg(target_os = "linux")]
fn network_file_system(directory: &Path) -> Option<&'static str> {
    let magic = rustix::fs::statfs(directory).ok()?.f_type;
    network_name(u32::try_from(magic & 0xffff_ffff).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_directory: &Path) -> Option<&'static str> {
    None
}

#[cfg(target_os = "linux")]
fn network_name(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x0102_1997 => Some("9P"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        0x0fc1_6e02 => Some("OrangeFS"),
        _ => None,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn known_network_file_systems_are_named() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_name(0xef53), None, "ext4");
        assert!(refusal(Path::new("/data/petasos.db"), "NFS").contains("local disk"));
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = check(Path::new("/nowhere-at-all/petasos.db")).expect_err("it does not exist");
        assert!(error.to_string().starts_with("/nowhere-at-all does not exist"), "{error}");
    }
}
