//! Limits on open streams (S07): in total, per client address and per token subject. Off by default, as a reconnecting
//! browser gives up for good on a 429 (C01).
//!
//! Concurrency: one lock over three small counts, taken when a stream opens and when it ends, never across an await.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{HttpLimits, fault::Fault, response::Rejection};

/// When a client over a limit may try again. Streams end by themselves, but not on the second.
const RETRY_AFTER_SECONDS: u64 = 10;

/// Counts the open streams of one hub.
#[derive(Clone, Debug)]
pub(super) struct StreamLimits {
    total: usize,
    per_address: usize,
    per_subject: usize,
    open: Arc<Mutex<Open>>,
}

/// Addresses and subjects without a stream are forgotten, so these are no larger than the number of streams.
#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    by_subject: HashMap<Arc<str>, usize>,
}

/// One open stream. Dropping it ends the count.
#[derive(Debug, Default)]
pub(super) struct StreamPermit {
    counted: Option<Counted>,
}

impl StreamPermit {
    /// Whether there is a limit that it counts for.
    pub(super) fn counts(&self) -> bool {
        self.counted.is_some()
    }
}

#[derive(Debug)]
struct Counted {
    open: Arc<Mutex<Open>>,
    address: Option<IpAddr>,
    subject: Option<Arc<str>>,
}

impl StreamLimits {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        Self {
            total: limits.streams,
            per_address: limits.streams_per_address,
            per_subject: limits.streams_per_subject,
            open: Arc::default(),
        }
    }

    /// Counts one more stream.
    ///
    /// # Errors
    /// 429 with `Retry-After` where that would be over a limit.
    pub(super) fn open(
        &self,
        address: Option<IpAddr>,
        subject: Option<&str>,
    ) -> Result<StreamPermit, Rejection> {
        if self.total == 0 && self.per_address == 0 && self.per_subject == 0 {
            return Ok(StreamPermit::default());
        }
        let address = address.filter(|_| self.per_address > 0).map(site);
        let subject = subject.filter(|_| self.per_subject > 0).map(Arc::<str>::from);
        let mut open = self.open.lock();
        if self.total > 0 && open.total >= self.total {
            return Err(over("streams", self.total));
        }
        if reached(&open.by_address, address.as_ref(), self.per_address) {
            return Err(over("streams_per_address", self.per_address));
        }
        if reached(&open.by_subject, subject.as_ref(), self.per_subject) {
            return Err(over("streams_per_subject", self.per_subject));
        }
        open.total += 1;
        if let Some(address) = address {
            *open.by_address.entry(address).or_default() += 1;
        }
        if let Some(subject) = &subject {
            *open.by_subject.entry(Arc::clone(subject)).or_default() += 1;
        }
        Ok(StreamPermit { counted: Some(Counted { open: Arc::clone(&self.open), address, subject }) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.total -= 1;
        if let Some(address) = self.address {
            uncount(&mut open.by_address, address);
        }
        if let Some(subject) = self.subject.take() {
            uncount(&mut open.by_subject, subject);
        }
    }
}

fn reached<K: Eq + Hash>(counts: &HashMap<K, usize>, key: Option<&K>, limit: usize) -> bool {
    key.and_then(|key| counts.get(key)).is_some_and(|count| *count >= limit)
}

fn uncount<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

fn over(limit: &str, value: usize) -> Rejection {
    Rejection::new(Fault::TooManyStreams)
        .because(format!("the limit {limit} of {value} is reached"))
        .retry_after(RETRY_AFTER_SECONDS)
}

/// What counts as one address: of IPv6 the network of 64 bits, as a host there has as many addresses as it likes.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(streams: usize, per_address: usize, per_subject: usize) -> StreamLimits {
        StreamLimits::new(&HttpLimits {
            streams,
            streams_per_address: per_address,
            streams_per_subject: per_subject,
            ..HttpLimits::default()
        })
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn s07_without_limits_nothing_is_counted() {
        let limits = limits(0, 0, 0);
        let permits: Vec<_> =
            (0..100).map(|_| limits.open(ip("1.1.1.1"), Some("x")).expect("no limit")).collect();
        assert_eq!(limits.open.lock().total, 0);
        drop(permits);
    }

    #[test]
    fn s07_a_stream_over_the_total_is_refused_until_one_ends() {
        let limits = limits(2, 0, 0);
        let first = limits.open(None, None).expect("the first");
        let _second = limits.open(None, None).expect("the second");
        let refused = limits.open(None, None).expect_err("over the limit");
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "too_many_streams"));
        drop(first);
        assert!(limits.open(None, None).is_ok());
    }

    #[test]
    fn s07_addresses_are_counted_apart_and_an_ipv6_network_is_one() {
        let limits = limits(0, 1, 0);
        let _v4 = limits.open(ip("192.0.2.1"), None).expect("the first of its address");
        assert!(limits.open(ip("::ffff:192.0.2.1"), None).is_err());
        assert!(limits.open(ip("192.0.2.2"), None).is_ok());
        let _v6 = limits.open(ip("2001:db8::1"), None).expect("the first of its network");
        assert!(limits.open(ip("2001:db8::2"), None).is_err());
        assert!(limits.open(ip("2001:db8:0:1::2"), None).is_ok());
        assert!(limits.open(None, None).is_ok(), "an unknown address has no limit of its own");
    }

    #[test]
    fn s07_subjects_are_counted_apart_and_forgotten_when_their_last_stream_ends() {
        let limits = limits(0, 0, 1);
        let alice = limits.open(ip("192.0.2.1"), Some("alice")).expect("the first of alice");
        assert!(limits.open(ip("192.0.2.2"), Some("alice")).is_err());
        assert!(limits.open(ip("192.0.2.1"), Some("bob")).is_ok());
        assert!(limits.open(ip("192.0.2.1"), None).is_ok());
        drop(alice);
        let open = limits.open.lock();
        assert_eq!(open.total, 0);
        assert!(open.by_address.is_empty() && open.by_subject.is_empty());
    }
}
