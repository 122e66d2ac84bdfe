//! pg_dump's comment blocks: the header, the trailer and a title per object.
//!
//! A block is a bare `--` line, lines of text, and a bare `--` line, all outside
//! of statements. A title counts only when its block is closed, so a dump cut in
//! the middle of its trailer has none.

use super::statement::name_text;

/// What a closed block said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Title {
    Header,
    Trailer,
    Object(ObjectTitle),
}

/// What a block says of the object whose SQL follows. Newlines in names have
/// become blanks here, so the names are for show: the true ones stand in the SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectTitle {
    /// Of what hangs on a table with the table before it: "orders orders_pkey".
    pub name: String,
    /// "TABLE", "TABLE DATA", "SEQUENCE SET".
    pub object_type: String,
    /// Empty for what is in no schema.
    pub schema: String,
    /// Empty for what has no owner.
    pub owner: String,
    /// What else it may be, where names hold the same marks. Nobody outside sees one with
    /// others than its own: the statement tells.
    pub(super) other_types: Vec<String>,
    /// Whose it may be, where names hold the same marks and it can be read in more than
    /// one way.
    pub(super) unclear_owners: Vec<String>,
}

/// Puts comment lines together to blocks.
#[derive(Debug, Default)]
pub(super) enum Block {
    #[default]
    Outside,
    Open,
    Titled(Title),
}

impl Block {
    /// The next comment line, from after its two hyphens to before its newline.
    /// Gives the title when this line closes a block that has one.
    pub fn line(&mut self, line: &[u8]) -> Option<Title> {
        match (std::mem::take(self), line) {
            (Self::Titled(title), b"") => return Some(title),
            (Self::Outside, b"") => *self = Self::Open,
            (Self::Outside, _) => {}
            (Self::Open, line) => *self = title(line).map_or(Self::Open, Self::Titled),
            (titled, _) => *self = titled,
        }
        None
    }

    /// Whether the next bare line opens a block.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Outside)
    }

    /// Something else than a comment came: a block that was open is none.
    pub fn interrupt(&mut self) {
        *self = Self::Outside;
    }
}

fn title(line: &[u8]) -> Option<Title> {
    match line {
        b" PostgreSQL database dump" => Some(Title::Header),
        b" PostgreSQL database dump complete" => Some(Title::Trailer),
        _ => object(line).map(Title::Object),
    }
}

/// Reads ` Name: x; Type: TABLE; Schema: public; Owner: y`, where the name may
/// follow `Data for ` or `Statistics for `. A name can hold the same marks,
/// hence the last of them counts.
fn object(line: &[u8]) -> Option<ObjectTitle> {
    let named: [&[u8]; 3] = [b"Name: ", b"Data for Name: ", b"Statistics for Name: "];
    let text = line.strip_prefix(b" ")?;
    let text = named.iter().find_map(|start| text.strip_prefix(*start))?;
    let mark = b"; Type: ";
    let at = memchr::memmem::rfind(text, mark)?;
    let (name, rest) = (&text[..at], &text[at + mark.len()..]);
    let (object_type, rest) = type_of(rest)?;
    let owner_at = memchr::memmem::rfind(rest, b"; Owner:").unwrap_or(rest.len());
    let (schema, owner) = rest.split_at(owner_at);
    let owner = owner.strip_prefix(b"; Owner:").unwrap_or_default();
    let end = memchr::memmem::rfind(owner, b"; Tablespace: ").unwrap_or(owner.len());
    Some(ObjectTitle {
        name: shown(name),
        object_type: shown(object_type),
        schema: shown(schema),
        owner: owner_name(&owner[..end]),
        other_types: other_types(&text[..at]),
        unclear_owners: unclear_owners(text),
    })
}

/// What stands behind the mark of a type, and what follows it.
fn type_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mark = b"; Schema: ";
    let length = memchr::memmem::find(text, mark)?;
    let (object_type, rest) = (&text[..length], &text[length + mark.len()..]);
    let is_type = |byte: &u8| byte.is_ascii_uppercase() || *byte == b' ';
    let is_one = !object_type.is_empty() && object_type.iter().all(is_type);
    is_one.then_some((object_type, rest))
}

/// The types that stand before the last one.
fn other_types(text: &[u8]) -> Vec<String> {
    let mark: &[u8] = b"; Type: ";
    let marks = memchr::memmem::find_iter(text, mark);
    // Its schema's mark may be the one before the last type.
    let read = marks.filter_map(|at| type_of(&text[at + mark.len()..]));
    read.map(|(object_type, _)| shown(object_type)).collect()
}

/// What stands behind each mark of an owner, where the text can be read in more than one
/// way.
fn unclear_owners(text: &[u8]) -> Vec<String> {
    let mark: &[u8] = b"; Owner: ";
    let marks = |mark: &[u8]| memchr::memmem::find_iter(text, mark).collect::<Vec<_>>();
    if marks(mark).len() < 2 && marks(b"; Type: ").len() < 2 {
        return Vec::new();
    }
    let behind = |at: usize| {
        let owner = &text[at + mark.len()..];
        let cuts = memchr::memmem::find_iter(owner, b"; Tablespace: ");
        let ends = cuts.chain([owner.len()]);
        ends.map(|end| owner_name(&owner[..end]))
            .collect::<Vec<_>>()
    };
    marks(mark).into_iter().flat_map(behind).collect()
}

/// Blanks at its ends belong to a role's name: another role may be called the rest.
fn owner_name(text: &[u8]) -> String {
    match text.strip_prefix(b" ").unwrap_or(text) {
        b"-" => String::new(),
        text => name_text(text.to_vec()),
    }
}

/// A hyphen stands for nothing.
fn shown(text: &[u8]) -> String {
    match text.trim_ascii() {
        b"-" => String::new(),
        text => name_text(text.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(lines: &[&str]) -> Vec<Title> {
        let mut block = Block::default();
        lines
            .iter()
            .filter_map(|line| block.line(line.as_bytes()))
            .collect()
    }

    fn titled(name: &str, object_type: &str, schema: &str, owner: &str) -> Title {
        Title::Object(ObjectTitle {
            name: name.to_owned(),
            object_type: object_type.to_owned(),
            schema: schema.to_owned(),
            owner: owner.to_owned(),
            ..ObjectTitle::default()
        })
    }

    fn unclear(mut title: Title, owners: &[&str]) -> Title {
        if let Title::Object(title) = &mut title {
            title.unclear_owners = owners.iter().map(|&owner| owner.to_owned()).collect();
        }
        title
    }

    fn or(mut title: Title, other: &str) -> Title {
        if let Title::Object(title) = &mut title {
            title.other_types.push(other.to_owned());
        }
        title
    }

    #[test]
    fn a_title_tells_name_schema_and_owner() {
        let read = |line: &str| object(line.as_bytes()).map(Title::Object);
        let cases = [
            (
                " Name: a; Type: X; Type: INDEX; Schema: s; Owner: o; Tablespace: fast",
                unclear(
                    titled("a; Type: X", "INDEX", "s", "o"),
                    &["o", "o; Tablespace: fast"],
                ),
            ),
            (
                " Name: EXTENSION x; Type: COMMENT; Schema: -; Owner: ",
                titled("EXTENSION x", "COMMENT", "", ""),
            ),
            (
                " Data for Name: t; Type: TABLE DATA; Schema: s; Owner: -",
                titled("t", "TABLE DATA", "s", ""),
            ),
            (
                " Name: t; Type: TABLE; Schema: s; Owner: dba; Owner: o",
                unclear(
                    titled("t", "TABLE", "s; Owner: dba", "o"),
                    &["dba; Owner: o", "o"],
                ),
            ),
            (
                " Name: 7; Type: BLOB; Schema: -; Owner: m; Type: TABLE; Schema: -",
                or(
                    unclear(
                        titled("7; Type: BLOB; Schema: -; Owner: m", "TABLE", "", ""),
                        &["m; Type: TABLE; Schema: -"],
                    ),
                    "BLOB",
                ),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_title_counts_when_its_block_is_closed() {
        let trailer = " PostgreSQL database dump complete";
        assert_eq!(titles(&["", trailer, ""]), [Title::Trailer]);
        assert_eq!(
            titles(&["", " PostgreSQL database dump", ""]),
            [Title::Header]
        );
        assert_eq!(titles(&["", trailer]), []);
        assert_eq!(titles(&[trailer, ""]), []);
        assert_eq!(titles(&[" Started on today", trailer, ""]), []);
    }

    #[test]
    fn a_block_that_a_statement_breaks_is_none() {
        let mut block = Block::default();
        assert_eq!(block.line(b""), None);
        block.interrupt();
        assert_eq!(block.line(b" PostgreSQL database dump complete"), None);
        assert_eq!(block.line(b""), None);
    }

    #[test]
    fn an_object_is_counted_by_its_type() {
        let cases = [
            (
                " Name: t; Type: TABLE; Schema: public; Owner: o",
                Some("TABLE"),
            ),
            (
                " Data for Name: t; Type: TABLE DATA; Schema: p; Owner: o",
                Some("TABLE DATA"),
            ),
            (
                " Statistics for Name: t; Type: STATISTICS DATA; Schema: p; Owner: -",
                Some("STATISTICS DATA"),
            ),
            (
                " Name: t; Type: INDEX; Schema: p; Owner: o; Tablespace: fast",
                Some("INDEX"),
            ),
            (
                " Name: a; Type: FAKE; Schema: b; Owner: c; Type: VIEW; Schema: p; Owner: o",
                Some("VIEW"),
            ),
            (" Name: t; Type: ; Schema: p; Owner: o", None),
            (" Name: t; Type: table; Schema: p; Owner: o", None),
            (" Name: t; Type: TABLE", None),
            (" Names: t; Type: TABLE; Schema: p; Owner: o", None),
            ("Name: t; Type: TABLE; Schema: p; Owner: o", None),
        ];
        for (line, expected) in cases {
            let found = object(line.as_bytes()).map(|title| title.object_type);
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn verbose_lines_before_a_title_are_passed_over() {
        let toc = " TOC entry 219 (class 1259 OID 16444)";
        let name = " Name: t; Type: TABLE; Schema: public; Owner: o";
        assert_eq!(
            titles(&["", toc, " Dependencies: 1 2", name, ""]),
            [titled("t", "TABLE", "public", "o")]
        );
    }
}
