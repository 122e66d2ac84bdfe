//! Wrong usage, as clap says it.

use std::io::{self, Write};

use anstream::adapter::strip_str;
use clap::error::ContextValue;

use super::Console;
use super::console::ErrorDocument;
use super::style::{line, lines};

impl Console {
    /// Wrong flags, as clap says them: to stderr, and with `--json` also as the
    /// document on stdout. Where neither can be written, nobody is left to tell.
    pub fn usage(said: &clap::Error, json: bool, exit_code: u8) {
        let _ = match tamed(said) {
            None => said.print(),
            Some(text) => io::stderr().write_all(text.as_bytes()),
        };
        if !json {
            return;
        }
        let text = said.render().to_string();
        let (error, hint) = split_usage(&text);
        let document = ErrorDocument {
            error,
            hint: hint.as_deref(),
            exit_code,
        };
        if let Ok(text) = serde_json::to_string_pretty(&document) {
            let _ = writeln!(io::stdout(), "{text}");
        }
    }
}

/// What clap says, without its colours, if it repeats an argument that must not
/// reach a terminal as it is; `None` where it may be said as clap does.
fn tamed(said: &clap::Error) -> Option<String> {
    let arguments = said.context().filter_map(|(_, value)| match value {
        ContextValue::String(argument) => Some(argument),
        _ => None,
    });
    let wild: Vec<&String> = arguments.filter(|it| line(it) != it.as_str()).collect();
    if wild.is_empty() {
        return None;
    }
    let mut text = said.render().to_string();
    for argument in wild {
        // What takes the colours away takes its sequences, too.
        let as_said = strip_str(argument).to_string();
        if !as_said.is_empty() {
            text = text.replace(&as_said, &line(argument));
        }
    }
    Some(lines(&text).into_owned())
}

/// clap's message without the usage behind it, and its tip.
fn split_usage(text: &str) -> (String, Option<String>) {
    let paragraphs = text
        .split("\n\n")
        .map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    let said = paragraphs
        .take_while(|it| !it.starts_with("Usage:") && !it.starts_with("For more information"));
    let (tips, errors): (Vec<String>, Vec<String>) = said.partition(|it| it.starts_with("tip: "));
    let error = errors.join("; ");
    let error = error.strip_prefix("error: ").unwrap_or(&error).to_owned();
    let tips: Vec<&str> = tips
        .iter()
        .filter_map(|it| it.strip_prefix("tip: "))
        .collect();
    (error, (!tips.is_empty()).then(|| tips.join("; ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::tamed;
    use crate::cli::Cli;

    fn said(argument: &str) -> clap::Error {
        let parsed = Cli::try_parse_from(["kluis", argument]);
        parsed.err().expect("that is no subcommand")
    }

    #[test]
    fn an_argument_brings_no_newline_or_escape_sequence_to_the_terminal() {
        let text = tamed(&said("a\nerror: b\x1b[2J")).expect("it is tamed");
        assert!(text.contains("a\\nerror: b\\u{1b}[2J"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert_eq!(tamed(&said("backups")), None);
    }
}
