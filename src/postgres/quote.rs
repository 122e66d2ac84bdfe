//! SQL quoting, as `quote_ident` and `quote_literal` of the server do it.
//! Pure. Callers have refused NUL bytes before: PostgreSQL knows no such text.

/// A name as an identifier, always in double quotes.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal that means the same whatever
/// `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A value in a libpq connection string (`dbname='...'`), where backslash
/// escapes. Keeps a database called `a=b` or `postgres://x` a name.
pub(super) fn quote_conninfo(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::{quote_conninfo, quote_identifier, quote_literal};

    #[test]
    fn identifiers_double_their_quotes() {
        assert_eq!(quote_identifier("a\"b c\n"), "\"a\"\"b c\n\"");
    }

    #[test]
    fn literals_escape_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn connection_values_use_backslashes() {
        assert_eq!(quote_conninfo("a'b\\c=d"), "'a\\'b\\\\c=d'");
    }
}
