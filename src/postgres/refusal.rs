//! What a client program's words mean. Pure.
//!
//! What the server says is in the server's language, so none of its words decides
//! anything: only the SQLSTATE, by the place where it stands. The clients run with
//! LC_ALL=C, so libpq's own few words do: they are the list of what is no answer.
//! Invariant: whatever is not on that list is an answer, also that of a TLS library
//! or of an authentication file: behind another way may be another server.

/// How libpq says that nobody listens there, or that there is no way to there.
const NOBODY: &[&str] = &[
    "Address family not supported",
    "Cannot assign requested address",
    "Connection refused",
    "Host is down",
    "Network is down",
    "Network is unreachable",
    "No route to host",
    "No such file or directory",
];

/// How it says that there was somebody, perhaps, who said nothing.
const SILENT: &[&str] = &[
    "Connection reset by peer",
    "Connection timed out",
    "SSL SYSCALL error",
    "SSL connection has been closed unexpectedly",
    "could not receive data from server",
    "could not send data to server",
    "error: connection to server was lost",
    "server closed the connection unexpectedly",
    "timeout expired",
];

const LOCATION: &str = "LOCATION:  ";

/// Where a server says that a role, tablespace or collation is not there.
const MISSING_ON_SERVER: &[&str] = &[
    "get_collation_oid,",
    "get_role_oid,",
    "get_role_tuple,",
    "get_rolespec_oid,",
    "get_rolespec_tuple,",
    "get_tablespace_oid,",
];

/// Where it says that it does not have a locale.
const NO_SUCH_LOCALE: &[&str] = &["pg_locale", "check_encoding_locale_matches,"];

/// What libpq puts before further parts of a message.
const PARTS: &[&str] = &[
    "CONTEXT",
    "DETAIL",
    "HINT",
    "LINE",
    "LOCATION",
    "QUERY",
    "STATEMENT",
];

/// Before each message of a psql that reads its standard input.
const BY_LINE: &str = "psql:<stdin>:";

/// One message of a client program, in the order of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// The line of the input that it is about.
    pub line: Option<u64>,
    /// Five characters, where a server said it.
    pub sqlstate: Option<&'a str>,
    /// From its severity on, with all of its lines.
    pub text: &'a str,
}

impl<'a> Message<'a> {
    /// The text, and where in the server's source it was said: that has no language.
    pub fn without_location(&self) -> (String, &'a str) {
        let is_location = |line: &&str| line.starts_with(LOCATION);
        let lines = self.text.lines().filter(|line| !is_location(line));
        let detail = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        (detail, location(self.text))
    }

    /// By the class of its SQLSTATE: a success or a warning. Some notices have the
    /// code of an error.
    fn is_harmless(&self) -> bool {
        let harmless = |code: &str| ["00", "01", "02"].iter().any(|it| code.starts_with(it));
        self.sqlstate.is_some_and(harmless)
    }

    fn tells_of_a_lost_connection(&self) -> bool {
        self.sqlstate.is_none() && is_lost(self.text)
    }
}

/// The message that a psql ended with: it stops at the first error, so it is its
/// last, but for those that tell of the connection's end after the reason for it.
pub(crate) fn last_message(stderr: &str) -> Option<Message<'_>> {
    let messages = messages(stderr);
    let last = messages.last().copied()?;
    let mut before = messages.iter().rev();
    let reason = before.find(|message| !message.tells_of_a_lost_connection());
    Some(match reason {
        Some(reason) if reason.sqlstate.is_some() && !reason.is_harmless() => *reason,
        _ => last,
    })
}

/// The line at which a psql stopped, where it said so itself.
pub(crate) fn stopped_at(stderr: &str) -> Option<u64> {
    let messages = messages(stderr);
    let last = messages.last().filter(|message| !message.is_harmless());
    last.and_then(|message| message.line)
}

/// All that tell of something that was not done, of a psql that goes on behind them.
pub(crate) fn failures(stderr: &str) -> Vec<Message<'_>> {
    let mut all = messages(stderr);
    all.retain(|message| !message.is_harmless() && message.line.is_some());
    all
}

/// The SQLSTATE of the error that a client program ended with.
pub(crate) fn sqlstate(stderr: &str) -> Option<&str> {
    let last = last_message(stderr)?;
    last.sqlstate.filter(|_| !last.is_harmless())
}

/// `routine, file.c:7`, the last line of a message.
fn location(text: &str) -> &str {
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(LOCATION));
    last.unwrap_or_default()
}

/// Whether what the server lacks is its own, not the database's.
pub(super) fn is_of_the_server(sqlstate: &str, location: &str) -> bool {
    let file = location.split_once(", ").map_or("", |(_, file)| file);
    let is = |begins: &&str| location.starts_with(*begins) || file.starts_with(*begins);
    match sqlstate {
        "22023" => NO_SUCH_LOCALE.iter().any(is),
        "42704" => MISSING_ON_SERVER.iter().any(is),
        _ => false,
    }
}

/// Whether a client tells that the connection is gone.
pub(super) fn is_lost(detail: &str) -> bool {
    SILENT.iter().any(|words| detail.starts_with(words))
}

/// Those of a psql that reads standard input; else each line may be one.
fn messages(stderr: &str) -> Vec<Message<'_>> {
    let by_line: Vec<Message<'_>> = starts_of_messages(stderr)
        .filter_map(|told| {
            let (line, text) = told.split_once(": ")?;
            Some(message(Some(line.parse().ok()?), text))
        })
        .collect();
    if !by_line.is_empty() {
        return by_line;
    }
    let single = stderr.lines().map(|line| message(None, line));
    single.filter(|it| it.sqlstate.is_some()).collect()
}

fn starts_of_messages(stderr: &str) -> impl Iterator<Item = &str> {
    let found = stderr.match_indices(BY_LINE).map(|(at, _)| at);
    let starts: Vec<usize> = found
        .filter(|at| *at == 0 || stderr[..*at].ends_with('\n'))
        .collect();
    let ends: Vec<usize> = starts
        .iter()
        .skip(1)
        .copied()
        .chain([stderr.len()])
        .collect();
    let ranges = starts.into_iter().zip(ends);
    ranges.map(|(start, end)| &stderr[start + BY_LINE.len()..end])
}

fn message(line: Option<u64>, text: &str) -> Message<'_> {
    Message {
        line,
        sqlstate: code_of(text),
        text: text.trim_end(),
    }
}

/// The code in `SEVERITY:  42P01: ...`, as libpq prints it with
/// VERBOSITY=verbose, whatever the severity is called.
fn code_of(text: &str) -> Option<&str> {
    let (severity, after) = text.split_once(":  ")?;
    let (code, _) = after.split_once(": ")?;
    let is_code = code.len() == 5
        && code
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let is_severity = !severity.contains([':', '\n']) && !PARTS.contains(&severity);
    (is_code && is_severity).then_some(code)
}

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt {
    /// Nobody listens, or there is no such host.
    Nobody,
    /// Nothing was heard, or no more.
    Silent,
    /// Somebody answered, and it was no.
    Answered,
}

/// Reads what a client said of its attempts: one to each address, of which the
/// most that one of them brought counts.
pub(super) fn attempt(stderr: &str) -> Attempt {
    let lines = stderr.lines().filter(is_of_an_attempt);
    lines.map(of_line).max().unwrap_or(Attempt::Answered)
}

/// Hints stand behind a tab; they follow libpq's own words only.
fn is_of_an_attempt(line: &&str) -> bool {
    !line.starts_with('\t') && !line.trim().is_empty()
}

fn of_line(line: &str) -> Attempt {
    let line = without_program(line);
    let begins = |text: &str, words: &[&str]| words.iter().any(|it| text.starts_with(it));
    if line.starts_with("could not translate host name ") {
        return Attempt::Nobody;
    }
    let why = match () {
        () if line.starts_with("connection to ") => line.split_once(" failed: "),
        () if line.starts_with("could not connect to ") => line.split_once(": "),
        () => None,
    };
    let why = why.map_or(line, |(_, why)| why);
    let why = why
        .strip_prefix("could not connect to server: ")
        .unwrap_or(why);
    match () {
        () if begins(why, NOBODY) => Attempt::Nobody,
        () if begins(why, SILENT) => Attempt::Silent,
        () => Attempt::Answered,
    }
}

/// Whether the failure is one of connecting, not of what was asked.
pub(super) fn is_of_connecting(stderr: &str) -> bool {
    let first = without_program(stderr.trim_start());
    let known = [
        "connection to server ",
        "connection to database ",
        "could not connect to ",
        "could not translate host name ",
    ];
    known.iter().any(|words| first.starts_with(words))
}

/// Without `psql: error: ` or `psql:<stdin>:7: `.
fn without_program(line: &str) -> &str {
    if let Some((_, text)) = line
        .strip_prefix(BY_LINE)
        .and_then(|it| it.split_once(": "))
    {
        return text;
    }
    let program = line.split_once(": error: ");
    let of_client = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    program
        .filter(|(name, _)| of_client(name))
        .map_or(line, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::{Attempt, attempt, is_of_connecting, last_message, sqlstate};

    #[test]
    fn a_code_is_known_by_its_place_in_any_language() {
        for (stderr, code) in [
            (
                "psql:<stdin>:3: ERROR:  42P01: x\nLINE 1: SELECT\n",
                Some("42P01"),
            ),
            (
                "psql:<stdin>:3: FEHLER:  42P01: »x«\nLOCATION:  a, b.c:1\n",
                Some("42P01"),
            ),
            ("ОШИБКА:  42501: нет доступа", Some("42501")),
            (
                "psql:<stdin>:1: HINWEIS:  42P07: x\npsql:<stdin>:2: FEHLER:  22012: Division\n",
                Some("22012"),
            ),
            (
                "psql:<stdin>:1: WARNUNG:  01000: x\npsql:<stdin>:2: error: \\! is not\n",
                None,
            ),
            (
                "psql:<stdin>:4: FATAL:  57P01: Verbindung wird abgebrochen\n\
                 psql:<stdin>:4: server closed the connection unexpectedly\n\
                 \tThis probably means\npsql:<stdin>:4: error: connection to server was lost\n",
                Some("57P01"),
            ),
            (
                "psql:<stdin>:1: FEHLER:  22012: a\nDETAIL:  12345: b\n",
                Some("22012"),
            ),
            ("FEHLER:  22012: a\nDETAIL:  12345: b\n", Some("22012")),
            ("pg_dump: error: query failed: ERROR:  no such: thing", None),
            ("ERROR:  short: x", None),
        ] {
            assert_eq!(sqlstate(stderr), code, "{stderr}");
        }
    }

    #[test]
    fn what_a_database_says_is_no_message_of_ours_inside_of_a_line() {
        let stderr = "psql:<stdin>:9: FEHLER:  P0001: psql:<stdin>:2: ERROR:  57014: x\n";
        let last = last_message(stderr).unwrap();
        assert_eq!((last.line, last.sqlstate), (Some(9), Some("P0001")));
    }

    #[test]
    fn only_libpqs_own_words_are_no_answer() {
        let at = "psql: error: connection to server at \"h\" (10.0.0.1), port 5432 failed: ";
        for (why, expected) in [
            (
                "Connection refused\n\tIs the server running on that host?",
                Attempt::Nobody,
            ),
            ("No route to host", Attempt::Nobody),
            ("timeout expired", Attempt::Silent),
            (
                "server closed the connection unexpectedly\n\tThis probably",
                Attempt::Silent,
            ),
            (
                "FATAL:  Passwort-Authentifizierung fehlgeschlagen",
                Attempt::Answered,
            ),
            ("FATAL:  Connection refused", Attempt::Answered),
            ("致命错误:  用户 \"x\" Password 认证失败", Attempt::Answered),
            (
                "server certificate for \"a\" does not match host name \"b\"",
                Attempt::Answered,
            ),
            ("SSL error: certificate verify failed", Attempt::Answered),
            ("Permission denied", Attempt::Answered),
        ] {
            assert_eq!(attempt(&format!("{at}{why}\n")), expected, "{why}");
        }
        let unknown = "psql: error: could not translate host name \"db\" to address: Unknown";
        assert_eq!(attempt(unknown), Attempt::Nobody);
        let service = "psql: error: definition of service \"x\" not found";
        assert_eq!(attempt(service), Attempt::Answered);
        let older = "psql: error: could not connect to server: Connection refused\n\tIs it?";
        assert_eq!(attempt(older), Attempt::Nobody);
        let older = "pg_dump: error: connection to database \"x\" failed: could not connect to \
                     server: No such file or directory\n\tIs it?";
        assert_eq!(attempt(older), Attempt::Nobody);
    }

    #[test]
    fn of_several_addresses_the_one_that_answered_counts() {
        let stderr = "psql: error: connection to server at \"a\" (::1), port 1 failed: Connection \
                      refused\n\tIs the server running?\nconnection to server at \"b\" (10.0.0.1), \
                      port 1 failed: FATAL:  falsches Passwort\n";
        assert_eq!(attempt(stderr), Attempt::Answered);
        assert!(is_of_connecting(stderr));
        assert!(!is_of_connecting("pg_dump: error: query failed: ERROR:  x"));
    }
}
