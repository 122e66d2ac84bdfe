//! The report's page: made by the desk, kept for some seconds, and sent with a
//! policy that lets only its own scripts run.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::answer::{Answer, page, text};
use super::{Desk, PAGE_TIME};

/// The page as it was made last.
#[derive(Default)]
pub struct Pages {
    // Held while a page is made: however many ask, it is made once.
    kept: tokio::sync::Mutex<Option<Kept>>,
}

struct Kept {
    made: Instant,
    html: Bytes,
    policy: HeaderValue,
}

impl Pages {
    pub async fn answer(&self, desk: Arc<dyn Desk>) -> Answer {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.made.elapsed() < PAGE_TIME) {
            return page(kept.html.clone(), kept.policy.clone());
        }
        let made = tokio::task::spawn_blocking(move || desk.page()).await;
        let made = made.unwrap_or_else(|error| Err(error.to_string()));
        match made.and_then(|html| Ok((policy(&html)?, html))) {
            Ok((policy, html)) => {
                let html = Bytes::from(html);
                *kept = Some(Kept {
                    made: Instant::now(),
                    html: html.clone(),
                    policy: policy.clone(),
                });
                page(html, policy)
            }
            Err(why) => {
                let why = format!("the report cannot be made now: {why}");
                text(StatusCode::SERVICE_UNAVAILABLE, &why)
            }
        }
    }
}

/// Scripts and styles are named by their hashes: one that a backup's name smuggled
/// into the page would not count.
fn policy(html: &[u8]) -> Result<HeaderValue, String> {
    let (scripts, styles) = (hashes(html, "script"), hashes(html, "style"));
    let policy = format!(
        "default-src 'none'; script-src{scripts}; style-src{styles}; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).map_err(|error| error.to_string())
}

fn hashes(html: &[u8], element: &str) -> String {
    let mut hashes: Vec<String> = Vec::new();
    for content in contents(html, element) {
        let hash = STANDARD.encode(Sha256::digest(content));
        hashes.push(format!(" 'sha256-{hash}'"));
    }
    match hashes.is_empty() {
        true => " 'none'".to_owned(),
        false => hashes.concat(),
    }
}

/// What stands between `<script>`, with or without attributes, and `</script>`.
fn contents<'h>(html: &'h [u8], element: &str) -> Vec<&'h [u8]> {
    let (begin, close) = (format!("<{element}"), format!("</{element}"));
    let mut contents = Vec::new();
    let mut rest = html;
    while let Some(at) = memchr::memmem::find(rest, begin.as_bytes()) {
        rest = &rest[at..];
        let Some(start) = memchr::memchr(b'>', rest) else {
            break;
        };
        rest = &rest[start + 1..];
        let Some(end) = memchr::memmem::find(rest, close.as_bytes()) else {
            break;
        };
        contents.push(&rest[..end]);
        rest = &rest[end..];
    }
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_of_the_page_may_run_and_no_other() {
        let html = b"<h1>x</h1><script>let a = 1</script><script type=\"module\">b()</script>";
        assert_eq!(contents(html, "script"), [&b"let a = 1"[..], b"b()"]);
        let policy = policy(html).unwrap();
        let policy = policy.to_str().unwrap();
        let hash = STANDARD.encode(Sha256::digest("b()"));
        assert!(
            policy.contains(&format!("'sha256-{hash}'; style-src 'none'")),
            "{policy}"
        );
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
    }

    #[test]
    fn a_page_without_scripts_runs_none() {
        for html in [&b"<p>"[..], b"<script", b"<script>a"] {
            let policy = policy(html).unwrap();
            assert!(policy.to_str().unwrap().contains("script-src 'none';"));
        }
    }
}
