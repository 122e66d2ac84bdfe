//! A URL that something is sent to. It is a secret as a whole: chats and pings
//! have their tokens in the path. Only its host is ever shown.

use crate::secrets::SecretText;

/// A part of a path that is shorter is no token, and stands in many answers.
const TOKEN_CHARS_MIN: usize = 6;

/// An http or https URL with a host.
pub struct Endpoint {
    url: SecretText,
    host: String,
}

impl Endpoint {
    /// The error says what is wrong without the URL.
    pub fn parse(url: &SecretText) -> Result<Self, &'static str> {
        let text = url.expose();
        let uri: ureq::http::Uri = text.parse().map_err(|_| "it is not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("it is not an http or https URL");
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or("it has no host")?.to_owned();
        Ok(Self {
            url: SecretText::new(text),
            host,
        })
    }

    /// http, and not to this machine: everybody on the way reads the whole URL.
    pub fn is_in_clear(&self) -> bool {
        let address = self
            .host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>();
        let is_here = self.host == "localhost" || address.is_ok_and(|it| it.is_loopback());
        let scheme = self.url.expose().split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("http") && !is_here
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same URL with `/word` behind its path; its query stays.
    pub fn below(&self, word: &str) -> Self {
        let url = self.url.expose();
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (url, String::new()),
        };
        let path = path.trim_end_matches('/');
        Self {
            url: SecretText::new(format!("{path}/{word}{query}")),
            host: self.host.clone(),
        }
    }

    /// The whole. Only for the request itself.
    pub(super) fn expose(&self) -> &str {
        self.url.expose()
    }

    /// Whether a text repeats a part of the URL that may be a token.
    pub(super) fn is_told_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let url = self.url.expose().to_lowercase();
        let behind_host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let parts = behind_host.split(['/', '?', '&', '=', '@', ':', '#']);
        parts
            .filter(|part| *part != self.host && part.len() >= TOKEN_CHARS_MIN)
            .any(|part| text.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(&SecretText::new(url)).unwrap_or_else(|why| panic!("{url}: {why}"))
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_being_told() {
        for url in [
            "",
            "hooks.example.org/token",
            "ftp://example.org/token",
            "file:///token",
            "https:///token",
            "https://example.org/to ken",
        ] {
            let why = Endpoint::parse(&SecretText::new(url)).err();
            assert!(why.is_some_and(|why| !why.contains("token")), "{url}");
        }
    }

    #[test]
    fn only_the_host_is_shown_also_where_the_url_has_a_password() {
        assert_eq!(
            endpoint("https://u:pw@example.org:8443/x").host(),
            "example.org"
        );
        assert_eq!(endpoint("http://[::1]:80/x").host(), "[::1]");
    }

    #[test]
    fn http_is_in_clear_unless_it_stays_on_this_machine() {
        for (url, clear) in [
            ("http://example.org/token", true),
            ("HTTP://10.0.0.7/token", true),
            ("https://example.org/token", false),
            ("http://127.0.0.1:80/token", false),
            ("http://[::1]/token", false),
            ("http://localhost/token", false),
        ] {
            assert_eq!(endpoint(url).is_in_clear(), clear, "{url}");
        }
    }

    #[test]
    fn a_word_goes_before_the_query() {
        for (url, start) in [
            ("https://hc.example/abc", "https://hc.example/abc/start"),
            ("https://hc.example/abc/", "https://hc.example/abc/start"),
            (
                "https://hc.example/abc?a=b",
                "https://hc.example/abc/start?a=b",
            ),
        ] {
            assert_eq!(endpoint(url).below("start").expose(), start);
        }
    }

    #[test]
    fn an_answer_that_repeats_the_token_is_known() {
        let hook = endpoint("https://hooks.example.org/services/T00/B0SECRET/x?key=AbCdEfGh");
        assert!(hook.is_told_in("cannot POST /services/t00/b0secret/x"));
        assert!(hook.is_told_in("abcdefgh"));
        assert!(!hook.is_told_in("invalid_payload at hooks.example.org"));
    }
}
