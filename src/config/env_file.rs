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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut assignments = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let problem = |what: String| EnvFileProblem { line, what };
        let (current, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let statement = current.trim();
        if statement.is_empty() || statement.starts_with('#') {
            rest = after;
            line += 1;
            continue;
        }
        let statement = statement
            .strip_prefix("export ")
            .map_or(statement, str::trim_start);
        let (name, first) = statement
            .split_once('=')
            .ok_or_else(|| problem("expected KEY=VALUE".to_owned()))?;
        let name = name.trim_end();
        if !is_name(name) {
            let shown = name.escape_debug();
            return Err(problem(format!("{shown:?} is not a variable's name")));
        }
        let first = first.trim_start();
        let value = match first.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                // From the quote on in the file, as the value may go on below.
                let start = rest.len() - after_quote(rest, quote).len();
                let (value, used) = quoted(&rest[start..], quote).map_err(problem)?;
                let tail = &rest[start + used..];
                let (tail, below) = tail.split_once('\n').unwrap_or((tail, ""));
                let tail = tail.trim();
                if !tail.is_empty() && !tail.starts_with('#') {
                    return Err(problem("text after the closing quote".to_owned()));
                }
                line += rest[..start + used].matches('\n').count() + 1;
                rest = below;
                assignments.push((name.to_owned(), value));
                continue;
            }
            _ => bare(first),
        };
        assignments.push((name.to_owned(), value.to_owned()));
        rest = after;
        line += 1;
    }
    Ok(assignments)
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

/// What stands after the first such quote.
fn after_quote(text: &str, quote: char) -> &str {
    text.split_once(quote).map_or("", |(_, after)| after)
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
