//! Public keys of tokens as values of the configuration, and where an issuer publishes its own.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use turnpike_daemon::config::Setting;
use turnpike_guard::{KEY_FILE_BYTES_MAX, TokenKey};

use super::webhooks::HttpUrl;

const FILE: &str = "file:";

/// A key by its file, or the key itself; `ID=` before it if tokens name it.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    /// As it was when the configuration was read.
    pub(crate) key: TokenKey,
    pub(crate) file: Option<PathBuf>,
    text: String,
}

impl Setting for PublicKey {
    const EXPECTS: &'static str = "`file:PATH` of a public key in PEM, or the PEM itself, with `ID=` before it if tokens name it in their `kid`";

    fn parse(text: &str) -> Result<Self, String> {
        let (id, place) = match text.split_once('=') {
            Some((id, place)) if !text.starts_with(FILE) && !text.starts_with('-') => {
                (Some(id.trim()), place.trim())
            }
            _ => (None, text),
        };
        let file = place.strip_prefix(FILE).map(PathBuf::from);
        let content = match &file {
            Some(path) => read(path).map_err(|error| format!("names a file that cannot be read: {error}"))?,
            None => place.to_owned(),
        };
        let key = key(&content, id)?;
        // On one line, as it can be given again.
        let text = text.trim().replace("\r\n", "\n").replace('\n', "\\n");
        Ok(Self { key, file, text })
    }

    fn show(&self) -> String {
        self.text.clone()
    }
}

pub(crate) fn key(content: &str, id: Option<&str>) -> Result<TokenKey, String> {
    let key = TokenKey::public(content).map_err(|error| error.to_string())?;
    match id {
        Some(id) => {
            key.with_id(id).map_err(|_| "has an id that is empty, too long or not to be printed".to_owned())
        }
        None => Ok(key),
    }
}

/// No more than a key can have, whatever the file is.
pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    let mut content = String::new();
    let most = KEY_FILE_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)?.take(most).read_to_string(&mut content)?;
    Ok(content)
}

/// Whether a URL is on this machine, and no other one can answer for it.
pub(crate) fn is_loopback(url: &HttpUrl) -> bool {
    let host = host(url);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address in a URL that has no name.
pub(crate) fn literal_address(url: &HttpUrl) -> Option<IpAddr> {
    host(url).parse().ok()
}

fn host(url: &HttpUrl) -> &str {
    let rest = url.as_str().split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_read_from_files_and_from_the_text_itself() {
        let path = std::env::temp_dir().join(format!("turnpike-key-{}", std::process::id()));
        std::fs::write(&path, KEY).unwrap();
        let file = format!("file:{}", path.display());
        for (text, id) in [(file.clone(), None), (format!("2026-01={file}"), Some("2026-01"))] {
            let read = PublicKey::parse(&text).unwrap();
            assert_eq!((read.show(), read.key.id(), read.file.as_deref()), (text, id, Some(path.as_path())));
        }
        for (text, id) in [(KEY.to_owned(), None), (format!("a={}", KEY.replace('\n', "\\n")), Some("a"))] {
            let read = PublicKey::parse(&text).unwrap();
            assert_eq!((read.key.id(), read.key.algorithm(), &read.file), (id, "EdDSA", &None));
            assert_eq!(PublicKey::parse(&read.show()).unwrap().show(), read.show());
        }
        std::fs::write(&path, "x".repeat(KEY_FILE_BYTES_MAX * 2)).unwrap();
        assert!(PublicKey::parse(&file).unwrap_err().contains("is not one public key"));
        std::fs::remove_file(&path).unwrap();
        for bad in
            ["", "a=", "file:", "file:/nowhere/at/all", "a=file:/nowhere/at/all", "2026-01", "=x", "a=b=c"]
        {
            assert!(PublicKey::parse(bad).is_err(), "{bad}");
        }
        assert!(PublicKey::parse(&format!("={KEY}")).unwrap_err().contains("has an id"));
    }

    #[test]
    fn loopback_is_what_no_name_server_decides() {
        let is = |text: &str| is_loopback(&HttpUrl::parse(text).unwrap());
        for yes in ["http://127.0.0.1:1/x", "http://[::1]/", "http://localhost:80", "https://127.9.9.9?x"] {
            assert!(is(yes), "{yes}");
        }
        for no in [
            "http://localhost.example",
            "http://127.0.0.1.example/",
            "http://a.example/localhost",
            "http://[::2]",
            "http://10.0.0.1",
        ] {
            assert!(!is(no), "{no}");
        }
    }
}
