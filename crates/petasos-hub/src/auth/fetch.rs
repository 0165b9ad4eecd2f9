//! Getting the text of a JWK set from a file or over HTTP, bounded in size and time. What it means is `jwk`'s matter,
//! when to do it `jwks`'s.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::io::AsyncReadExt;

use super::config::{AuthConfigError, JwksLocation};

/// A set's text. Real ones have a few KiB, with certificate chains some ten.
pub(super) const MAX_SET_BYTES: usize = 1 << 20;

/// A text that was got.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) text: String,
    /// How long the server says it may be used; `None` if it says nothing.
    pub(super) max_age: Option<Duration>,
    /// Which state of the file it is.
    pub(super) stamp: Option<FileStamp>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// Where texts come from.
#[derive(Debug)]
pub(super) enum Fetcher {
    File(PathBuf),
    #[cfg(feature = "jwks-http")]
    Http(http::Fetcher),
}

impl Fetcher {
    /// # Errors
    /// Where the location cannot be used in this build at all.
    pub(super) fn new(location: &JwksLocation) -> Result<Self, AuthConfigError> {
        match location {
            JwksLocation::File(path) => Ok(Self::File(path.clone())),
            #[cfg(feature = "jwks-http")]
            JwksLocation::Url(url) => http::Fetcher::new(url).map(Self::Http),
            #[cfg(not(feature = "jwks-http"))]
            JwksLocation::Url(_) => Err(AuthConfigError(
                "this build cannot fetch key sets over HTTP (feature jwks-http); give the set as a file"
                    .into(),
            )),
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The text, or `None` if it is a file in the state `known`.
    ///
    /// # Errors
    /// What went wrong, for the operator.
    pub(super) async fn fetch(&self, known: Option<&FileStamp>) -> Result<Option<Fetched>, String> {
        match self {
            Self::File(path) => read(path, known).await.map_err(|error| error.to_string()),
            #[cfg(feature = "jwks-http")]
            Self::Http(fetcher) => fetcher.get().await.map(Some),
        }
    }
}

async fn read(path: &Path, known: Option<&FileStamp>) -> io::Result<Option<Fetched>> {
    // Before the file is opened: opening a pipe would wait for its writer.
    let metadata = tokio::fs::metadata(path).await?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if known == Some(&stamp(&metadata)) {
        return Ok(None);
    }
    let file = tokio::fs::File::open(path).await?;
    // Of what was opened, which may be newer by now.
    let stamp = stamp(&file.metadata().await?);
    let mut text = String::new();
    file.take(MAX_SET_BYTES as u64 + 1).read_to_string(&mut text).await?;
    if text.len() > MAX_SET_BYTES {
        return Err(io::Error::other(too_large()));
    }
    Ok(Some(Fetched { text, max_age: None, stamp: Some(stamp) }))
}

fn stamp(metadata: &std::fs::Metadata) -> FileStamp {
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let inode = 0;
    FileStamp { modified: metadata.modified().ok(), bytes: metadata.len(), inode }
}

fn too_large() -> String {
    format!("it has more than {MAX_SET_BYTES} bytes")
}

#[cfg(feature = "jwks-http")]
mod http {
    use std::{error::Error, time::Duration};

    use ::http::{HeaderMap, StatusCode, header};
    use reqwest::{Client, ClientBuilder, redirect};
    use url::Url;

    use super::{AuthConfigError, Fetched, MAX_SET_BYTES, too_large};

    /// Redirects followed: from a name to another and to `https`, with one to spare.
    const MAX_REDIRECTS: usize = 3;

    /// A connection that is not there by then will not come.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

    /// Gets one URL.
    #[derive(Debug)]
    pub(in super::super) struct Fetcher {
        client: Client,
        url: Url,
    }

    impl Fetcher {
        pub(super) fn new(url: &Url) -> Result<Self, AuthConfigError> {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(AuthConfigError(format!(
                    "a key set is fetched over http or https, not {}",
                    url.scheme()
                )));
            }
            let client = match builder().build() {
                // An image without the certificates of authorities can still fetch what needs none.
                Err(_) if url.scheme() == "http" => builder().tls_certs_only([]).build(),
                built => built,
            };
            let client = client.map_err(|error| {
                AuthConfigError(format!(
                    "key sets cannot be fetched over https: {} (are there CA certificates in /etc/ssl/certs?)",
                    chain(&error)
                ))
            })?;
            Ok(Self { client, url: url.clone() })
        }

        pub(super) async fn get(&self) -> Result<Fetched, String> {
            let request = self.client.get(self.url.clone());
            let request = request.header(header::ACCEPT, "application/jwk-set+json, application/json");
            let mut response = request.send().await.map_err(|error| chain(&error.without_url()))?;
            if response.status() != StatusCode::OK {
                return Err(format!("the server answers {}", response.status()));
            }
            if response.content_length().is_some_and(|length| length > MAX_SET_BYTES as u64) {
                return Err(too_large());
            }
            let max_age = max_age(response.headers());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
                if body.len() + chunk.len() > MAX_SET_BYTES {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            let text = String::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
            Ok(Fetched { text, max_age, stamp: None })
        }
    }

    fn builder() -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("petasos/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::custom(redirect))
            // The library reads no environment, and this would.
            .no_proxy()
            // Fetches are minutes apart.
            .pool_max_idle_per_host(0)
    }

    /// Few, and never from an encrypted connection to one that anybody on the way can change.
    fn redirect(attempt: redirect::Attempt<'_>) -> redirect::Action {
        let encrypted = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if encrypted && attempt.url().scheme() != "https" {
            attempt.error("redirect from https to http")
        } else {
            attempt.follow()
        }
    }

    /// How long the answer stays fresh (RFC 9111, 4.2): `max-age` less the time it already spent in caches. One that
    /// may not be reused is fresh for no time.
    fn max_age(headers: &HeaderMap) -> Option<Duration> {
        let mut max_age = None;
        for field in headers.get_all(header::CACHE_CONTROL) {
            for directive in field.to_str().unwrap_or("").split(',') {
                let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
                match name.to_ascii_lowercase().as_str() {
                    "no-store" | "no-cache" => return Some(Duration::ZERO),
                    "max-age" => max_age = max_age.or(value.trim_matches('"').parse().ok()),
                    _ => {}
                }
            }
        }
        let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or(0);
        max_age.map(|seconds: u64| Duration::from_secs(seconds.saturating_sub(age)))
    }

    /// An error with its causes, in one line.
    fn chain(error: &dyn Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    mod tests {
        use super::*;

        #[test]
        fn a17_freshness_is_what_cache_control_says() {
            let fresh = |fields: &[(&'static str, &'static str)]| {
                let mut headers = HeaderMap::new();
                for (name, value) in fields {
                    headers.append(*name, value.parse().unwrap());
                }
                max_age(&headers).map(|age| age.as_secs())
            };
            assert_eq!(fresh(&[]), None);
            assert_eq!(fresh(&[("cache-control", "public, max-age=600, must-revalidate")]), Some(600));
            assert_eq!(fresh(&[("cache-control", "public"), ("cache-control", "Max-Age=\"60\"")]), Some(60));
            assert_eq!(fresh(&[("cache-control", "max-age=600"), ("age", "100")]), Some(500));
            assert_eq!(fresh(&[("cache-control", "max-age=600"), ("age", "900")]), Some(0));
            assert_eq!(fresh(&[("cache-control", "max-age=600, no-cache")]), Some(0));
            assert_eq!(fresh(&[("cache-control", "max-age=soon")]), None);
        }
    }
}
