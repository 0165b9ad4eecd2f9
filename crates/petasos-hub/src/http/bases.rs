//! A bound on the bases that relative patterns are resolved against (decision 7). Where no URL of the hub is configured,
//! the base is what a request says in `Host`, and every base that open streams have costs a look-up for each update: a
//! client that makes up names must not slow everybody down.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{fault::Fault, response::Rejection};
use crate::topic::Base;

/// More names than this no hub has that was not told its URLs.
const MAX_BASES: usize = 100;

/// The bases of the open streams of one hub. One lock, taken when a stream with patterns opens and when it ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Bases(Arc<Mutex<HashMap<Base, usize>>>);

/// A stream that has patterns. Dropping it ends the count.
#[derive(Debug)]
pub(super) struct BasePermit {
    bases: Bases,
    base: Base,
}

impl Bases {
    /// Counts one more stream with this base.
    ///
    /// # Errors
    /// 421 where there are too many others.
    pub(super) fn enter(&self, base: &Base) -> Result<BasePermit, Rejection> {
        let mut bases = self.0.lock();
        if bases.len() >= MAX_BASES && !bases.contains_key(base) {
            return Err(Rejection::new(Fault::Misdirected).because(format!(
                "streams have come under {MAX_BASES} different hosts already; set public_urls to those of this hub"
            )));
        }
        *bases.entry(base.clone()).or_default() += 1;
        Ok(BasePermit { bases: self.clone(), base: base.clone() })
    }
}

impl Drop for BasePermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.bases.0.lock().entry(self.base.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(number: usize) -> Base {
        Base::parse(&format!("https://host{number}.example/.well-known/mercure")).expect("a base")
    }

    #[test]
    fn m06_bases_are_bounded_and_forgotten_with_their_streams() {
        let bases = Bases::default();
        let mut open: Vec<_> =
            (0..MAX_BASES).map(|number| bases.enter(&base(number)).expect("room")).collect();
        assert_eq!(bases.enter(&base(MAX_BASES)).expect_err("too many").status().as_u16(), 421);
        open.push(bases.enter(&base(0)).expect("a known one"));
        open.remove(0);
        assert!(bases.enter(&base(MAX_BASES)).is_err(), "one stream with it is left");
        open.pop();
        assert!(bases.enter(&base(MAX_BASES)).is_ok());
    }
}
