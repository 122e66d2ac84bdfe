//! What is wrong, said on stderr as well as in the result on stdout.

use std::io::{self, IsTerminal, Write};

use super::Console;
use super::style::{Style, line};
use crate::systemd::Priority;

impl Console {
    /// One line on stderr about one thing that the result on stdout also tells, and
    /// what to do about it. A timer's job often throws stdout away; on a terminal it
    /// would only stand there twice.
    pub fn also_wrong(&self, subject: &str, text: &str, remedy: Option<&str>) {
        if !io::stdout().is_terminal() {
            self.print_at(Priority::Warning, &wrong(subject, text, remedy));
        }
    }

    /// On stderr, from whatever thread: the process ends behind it.
    pub fn last_words(text: &str) {
        let mut stderr = anstream::AutoStream::auto(io::stderr());
        let label = Style::Red.paint("ended at once:");
        let _ = writeln!(stderr, "{label} {}", line(text));
    }
}

fn wrong(subject: &str, text: &str, remedy: Option<&str>) -> String {
    let label = Style::Yellow.paint("warning:");
    let (subject, text) = (line(subject), line(text));
    match remedy.filter(|remedy| !remedy.is_empty()) {
        Some(remedy) => format!("{label} {subject}: {text}; {}\n", line(remedy)),
        None => format!("{label} {subject}: {text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_one_line_whatever_its_name() {
        let said = wrong("a\nb", "too old", Some("make one"));
        assert!(said.ends_with(" a\\nb: too old; make one\n"), "{said}");
        let said = wrong("a", "too old", Some(""));
        assert!(said.ends_with(" a: too old\n"), "{said}");
    }
}
