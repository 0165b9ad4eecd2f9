//! URLs of engines: `scheme://user:password@host:port,host:port/path?parameter=value`. More than one host is what no
//! general parser of URLs takes, and what every cluster is written with. Errors never quote what they are about: it may be
//! a password.

use std::fmt;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// A password or another text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text that is not to be shown from now on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for whoever has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; an IPv6 address without brackets.
    pub name: String,
    /// The port, where one is given.
    pub port: Option<u16>,
}

impl Host {
    /// `host:port` with brackets where they are needed.
    pub fn with_port(&self, default: u16) -> String {
        let port = self.port.unwrap_or(default);
        if self.name.contains(':') {
            format!("[{}]:{port}", self.name)
        } else {
            format!("{}:{port}", self.name)
        }
    }
}

/// A URL of an engine taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// In lower case.
    pub scheme: String,
    /// Who logs in.
    pub username: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// At least one.
    pub hosts: Vec<Host>,
    /// What follows the hosts, decoded, without its first slash.
    pub path: String,
    parameters: Vec<(String, Secret)>,
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// A sentence that says what is wrong and quotes nothing.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| "this is no URL: write scheme://host:port".to_owned())?;
        if let Some((_, rest)) = rest.split_once(['/', '?', '#'])
            && rest.contains('@')
        {
            // Most likely a password, of which the first part would be taken for a port and shown.
            return Err("there is an @ behind the first /, ? or #: in a user name or password, write / as %2F, ? as %3F, \
                        # as %23 and @ as %40; elsewhere, write @ as %40"
                .to_owned());
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The last one: a password may hold another that was not encoded.
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (username, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            Some((username, password)) => (non_empty(decode(username)?), non_empty(decode(password)?)),
            None => (None, None),
        };
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            username,
            password: password.map(Secret::new),
            hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
            path: decode(path)?,
            parameters: url::form_urlencoded::parse(query.as_bytes())
                .map(|(name, value)| (name.into_owned(), Secret::new(value)))
                .collect(),
        })
    }

    /// Takes a parameter out of the query; of several with this name, the last.
    pub fn take(&mut self, name: &str) -> Option<Secret> {
        let mut taken = None;
        self.parameters.retain(|(known, value)| {
            let keep = known != name;
            if !keep {
                taken = Some(value.clone());
            }
            keep
        });
        taken
    }

    /// The names of the parameters that nobody has taken.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }

    /// Where this is, for people: without credentials and parameters.
    pub fn shown(&self, default_port: u16) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(|host| host.with_port(default_port)).collect();
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("{}://{}{slash}{}", self.scheme, hosts.join(","), self.path)
    }
}

fn decode(text: &str) -> Result<String, String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "a part of the URL is not UTF-8 once it is decoded".to_owned())
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn host(text: &str) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((name, ""))) => (name, None),
        Some(Some((name, port))) => (name, Some(port.strip_prefix(':').ok_or("a host is malformed")?)),
        Some(None) => return Err("a host lacks its closing bracket".to_owned()),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if name.is_empty() {
        return Err("the URL names no host".to_owned());
    }
    let port = match port {
        Some(port) => Some(port.parse().map_err(|_| {
            "a port is no number below 65536; in a user name or password, write : as %3A, @ as %40 and / as %2F"
                .to_owned()
        })?),
        None => None,
    };
    Ok(Host { name: decode(name)?, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_and_decoded() {
        let mut address =
            Address::parse("REDISS://me:p%40ss@a:1,[::1]:2,c/0/hubs?prefix=a%20b&prefix=c&tls=x#end")
                .expect("a URL");
        assert_eq!(address.scheme, "rediss");
        assert_eq!(address.username.as_deref(), Some("me"));
        assert_eq!(address.password.as_ref().map(Secret::expose), Some("p@ss"));
        let hosts: Vec<_> = address.hosts.iter().map(|host| host.with_port(9)).collect();
        assert_eq!(hosts, ["a:1", "[::1]:2", "c:9"]);
        assert_eq!(address.path, "0/hubs");
        assert_eq!(address.take("prefix").as_ref().map(Secret::expose), Some("c"));
        assert_eq!(address.left().collect::<Vec<_>>(), ["tls"]);
        assert_eq!(address.shown(9), "rediss://a:1,[::1]:2,c:9/0/hubs");
    }

    #[test]
    fn a_password_alone_is_no_user_name() {
        let address = Address::parse("redis://:secret@host").expect("a URL");
        assert_eq!((address.username, address.password), (None, Some(Secret::new("secret"))));
        let address = Address::parse("redis://us@er:pa@ss@host").expect("a URL");
        assert_eq!(address.username.as_deref(), Some("us@er"));
    }

    #[test]
    fn neither_errors_nor_debug_quote_a_secret() {
        for url in [
            "hunter2",
            "redis://:hunter2",
            "redis://a:hunter2/x",
            "redis://[hunter2",
            "nats://",
            "nats://@",
            "redis://u:12/hunter2@h",
            "redis://u:12?hunter2@h",
            "redis://u:12#hunter2@h",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert!(!error.contains("hunter2"), "{error}");
        }
        let address = Address::parse("redis://u:hunter2@h?password=hunter2").expect("a URL");
        assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
        assert!(!address.shown(1).contains("hunter2"));
    }
}
