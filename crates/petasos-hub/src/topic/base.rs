//! The URL that relative topics and patterns are resolved against (M02, M06).

use std::sync::Arc;

use url::Url;

/// The hub's URL, against which relative topics and patterns are resolved (M02, M06). Cheap to clone; equal URLs
/// compare equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base(Arc<Url>);

impl Base {
    /// Takes an absolute URL with a host. A fragment is dropped: it is no part of a base.
    ///
    /// # Errors
    /// Where `url` cannot be the base of relative references, or carries credentials, which would become part of
    /// every topic resolved against it.
    pub fn parse(url: &str) -> Result<Self, BaseError> {
        let mut url = Url::parse(url).map_err(|_| BaseError)?;
        if !url.has_host() || url.cannot_be_a_base() || !url.username().is_empty() || url.password().is_some()
        {
            return Err(BaseError);
        }
        url.set_fragment(None);
        Ok(Self(Arc::new(url)))
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// [`PartialEq`] with a short cut: matchers of one request share the allocation.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

/// A text that is no base URL.
#[derive(Debug, thiserror::Error)]
#[error("not an absolute URL that relative references can be resolved against")]
pub struct BaseError;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn m06_a_base_is_an_absolute_url_with_a_host() {
        for text in
            ["", "mercure", "/.well-known/mercure", "data:x", "urn:x:y", "file:///x", "https://", "http:// /"]
        {
            assert!(Base::parse(text).is_err(), "{text}");
        }
        for text in ["https://user@hub.example/", "https://:secret@hub.example/"] {
            assert!(Base::parse(text).is_err(), "{text}");
        }
        assert!(Base::parse("https://hub.example/.well-known/mercure").is_ok());
        assert!(Base::parse("custom://hub.example/").is_ok());
    }

    #[test]
    fn m06_equal_urls_are_equal_bases() {
        let base = Base::parse("https://hub.example/.well-known/mercure").unwrap();
        assert_eq!(base, Base::parse("HTTPS://HUB.example:443/.well-known/x/../mercure#fragment").unwrap());
        assert_ne!(base, Base::parse("http://hub.example/.well-known/mercure").unwrap());
        assert_eq!(base.as_str(), "https://hub.example/.well-known/mercure");
    }
}
