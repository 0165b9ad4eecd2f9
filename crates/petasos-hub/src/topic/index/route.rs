//! What the tree must know of a pattern, of whatever kind, to lead topics to it.

use super::super::pattern::Skeleton;

/// A pattern with literal parts. They depend on nothing but the pattern, so that it is found again to be removed, and
/// every topic that matches has them.
pub(super) trait Route: Eq {
    /// The literal parts of its path, segment by segment.
    fn skeleton(&self) -> Skeleton;

    /// The others.
    fn literals(&self) -> Literals<'_>;
}

/// Literal parts besides the segments of the path: beginnings, and where they are called so ends. All are ASCII.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Literals<'p> {
    pub(super) end_of_path: &'p str,
    pub(super) search: &'p str,
    pub(super) hash: &'p str,
    pub(super) host: &'p str,
    pub(super) end_of_host: &'p str,
    pub(super) port: &'p str,
}
