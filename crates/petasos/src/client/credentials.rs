//! The token of a client: where it comes from, and the `Authorization` field it becomes. It is never shown.

use std::{io, path::PathBuf};

use http::HeaderValue;
use petasos_hub::auth::Secret;

/// Where the token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// There is none.
    None,
    /// It was given.
    Given(Secret),
    /// It is in a file, which is read again for every connection: whoever rotates the token only replaces the file.
    File(PathBuf),
}

/// Why there is no usable token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file {} cannot be read: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Not one word of visible ASCII.
    #[error("{origin} does not hold a token: it must be one word of ASCII characters, without \"Bearer\"")]
    Malformed {
        /// Where it came from.
        origin: String,
    },
}

/// The token files are small; a larger one is a mistake in the name.
const MAX_TOKEN_BYTES: usize = 64 << 10;

impl TokenSource {
    /// The value of the `Authorization` field, marked as sensitive; `None` where there is no token.
    ///
    /// # Errors
    /// The file cannot be read, or what it holds is no token.
    pub fn authorization(&self) -> Result<Option<HeaderValue>, TokenError> {
        let (secret, origin) = match self {
            Self::None => return Ok(None),
            Self::Given(secret) => (secret.clone(), "what was given".to_owned()),
            Self::File(path) => {
                let read = std::fs::read(path);
                let bytes = read.map_err(|error| TokenError::File { path: path.clone(), error })?;
                (Secret::new(bytes), path.display().to_string())
            }
        };
        let token = secret.expose().trim_ascii();
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Malformed { origin });
        }
        let mut field = HeaderValue::from_bytes(&[b"Bearer ", token].concat())
            .map_err(|_| TokenError::Malformed { origin })?;
        field.set_sensitive(true);
        Ok(Some(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_token_does_not_matter() {
        let field =
            TokenSource::Given(Secret::new("  a.b.c\n")).authorization().expect("a token").expect("a field");
        assert_eq!(field, "Bearer a.b.c");
        assert!(!format!("{field:?}").contains("a.b.c"), "it is marked as sensitive");
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for text in ["", "Bearer abc", "a\nb", "t\u{f6}ken", "\0"] {
            let error = TokenSource::Given(Secret::new(text)).authorization().expect_err(text).to_string();
            assert!(error.starts_with("what was given does not hold a token"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_anew_each_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let source = TokenSource::File(path.clone());
        assert!(matches!(source.authorization(), Err(TokenError::File { .. })));
        for token in ["one", "two"] {
            std::fs::write(&path, format!("{token}\n")).expect("written");
            assert_eq!(source.authorization().expect("a token").expect("a field"), format!("Bearer {token}"));
        }
    }
}
