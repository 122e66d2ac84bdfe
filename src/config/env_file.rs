//! Env files: lines of `KEY=VALUE`, as `.env` files and systemd's
//! `EnvironmentFile=` have them. Pure: text in, assignments out.
//!
//! Read: blank lines, `#` comments, a leading `export `, values in single
//! quotes (as they are) or double quotes (`\n \r \t \" \\ \$`, may span lines),
//! and a ` # comment` after a value. Nothing is expanded and no command runs.

/// What is wrong, and on which line (from 1).
#[derive(Debug, PartialEq, Eq)]
pub struct EnvFileProblem {
    pub line: usize,
    pub what: String,
}

/// The assignments in the order they stand in.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, EnvFileProblem> {
    let mut assignments = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let used = match statement(rest) {
            Ok((assignment, used)) => {
                assignments.extend(assignment);
                used
            }
            Err(what) => return Err(EnvFileProblem { line, what }),
        };
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    Ok(assignments)
}

/// The assignment, if the first line has one, and the bytes it takes with its
/// newline; a quoted value may take several lines.
fn statement(text: &str) -> Result<(Option<(String, String)>, usize), String> {
    let line = text.split_inclusive('\n').next().unwrap_or(text);
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok((None, line.len()));
    }
    let (name, value) = line.split_once('=').ok_or("expected KEY=VALUE")?;
    let name = name.trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    if !is_name(name) {
        return Err(format!("{name:?} is not a variable's name"));
    }
    let start = line.len() - value.trim_start().len();
    let Some(quote @ ('"' | '\'')) = text[start..].chars().next() else {
        return Ok((
            Some((name.to_owned(), bare(value.trim()).to_owned())),
            line.len(),
        ));
    };
    let (value, used) = quoted(&text[start + 1..], quote)?;
    let after = &text[start + 1 + used..];
    let tail = after.split_inclusive('\n').next().unwrap_or(after);
    if !tail.trim().is_empty() && !tail.trim_start().starts_with('#') {
        return Err("text after the closing quote".to_owned());
    }
    let used = start + 1 + used + tail.len();
    Ok((Some((name.to_owned(), value)), used))
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

/// A value without quotes ends at a `#` that stands after white space.
fn bare(text: &str) -> &str {
    if text.starts_with('#') {
        return "";
    }
    let comment = text
        .char_indices()
        .find(|&(at, c)| c == '#' && text[..at].ends_with([' ', '\t']));
    comment.map_or(text, |(at, _)| &text[..at]).trim_end()
}

/// The value up to the closing quote, and the bytes used with it.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Ok((value, at + c.len_utf8()));
        }
        if c != '\\' || quote == '\'' {
            value.push(c);
            continue;
        }
        match characters.next().map(|(_, escaped)| escaped) {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some(escaped @ ('"' | '\\' | '$' | '`')) => value.push(escaped),
            Some(other) => value.extend(['\\', other]),
            None => break,
        }
    }
    Err(format!("the value's {quote} is never closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    fn one(text: &str) -> String {
        values(text).remove(0).1
    }

    #[test]
    fn a_kanbu_env_file_is_read() {
        let text = "# Database\nDATABASE_URL=\"postgresql://kanbu:pw@localhost:5432/kanbu?schema=public\"\n\n\
            # Backup\nBACKUP_STORAGE=local\nBACKUP_LOCAL_PATH=/data/backups # on the big disk\n\
            export BACKUP_ENCRYPTION_KEY='correct horse # battery'\nBACKUP_RETENTION_DAYS=30\r\nBACKUP_WEBHOOK_URL=\n";
        assert_eq!(
            values(text),
            [
                (
                    "DATABASE_URL",
                    "postgresql://kanbu:pw@localhost:5432/kanbu?schema=public"
                ),
                ("BACKUP_STORAGE", "local"),
                ("BACKUP_LOCAL_PATH", "/data/backups"),
                ("BACKUP_ENCRYPTION_KEY", "correct horse # battery"),
                ("BACKUP_RETENTION_DAYS", "30"),
                ("BACKUP_WEBHOOK_URL", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn double_quotes_know_escapes_and_single_quotes_do_not() {
        assert_eq!(
            one(r#"A="one\ntwo \"x\" \\ \$HOME \q""#),
            "one\ntwo \"x\" \\ $HOME \\q"
        );
        assert_eq!(one(r"A='one\ntwo'"), r"one\ntwo");
    }

    #[test]
    fn a_quoted_value_may_span_lines_and_the_lines_below_still_count() {
        assert_eq!(
            values("A=\"x\ny\"\nB=2"),
            [("A".into(), "x\ny".into()), ("B".into(), "2".into())]
        );
        assert_eq!(parse("A=\"x\ny\"\nnonsense").map_err(|p| p.line), Err(3));
    }

    #[test]
    fn a_hash_inside_a_bare_value_belongs_to_it() {
        assert_eq!(one("A=pa#ss"), "pa#ss");
        assert_eq!(one("A=pass #comment"), "pass");
        assert_eq!(one("A= # only a comment"), "");
    }

    #[test]
    fn nothing_is_expanded() {
        assert_eq!(one("A=$HOME/`id`"), "$HOME/`id`");
    }

    #[test]
    fn what_is_no_assignment_is_named_with_its_line() {
        let line = |text| parse(text).map_err(|p| p.line);
        assert_eq!(line("A=1\nnonsense"), Err(2));
        assert_eq!(line("A B=1"), Err(1));
        assert_eq!(line("A=\"never closed"), Err(1));
        assert_eq!(line("A=\"x\" y"), Err(1));
        assert_eq!(line("=x"), Err(1));
    }
}
