//! pg_dump's comment blocks: the header, the trailer and a title per object.
//!
//! A block is a bare `--` line, lines of text, and a bare `--` line, all outside
//! of statements. A title counts only when its block is closed, so a dump cut in
//! the middle of its trailer has none.

/// What a closed block said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Title {
    Header,
    Trailer,
    /// An object of this type: "TABLE", "TABLE DATA", "SEQUENCE SET".
    Object(String),
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

    /// Something else than a comment came: a block that was open is none.
    pub fn interrupt(&mut self) {
        *self = Self::Outside;
    }
}

fn title(line: &[u8]) -> Option<Title> {
    match line {
        b" PostgreSQL database dump" => Some(Title::Header),
        b" PostgreSQL database dump complete" => Some(Title::Trailer),
        _ => object_type(line).map(Title::Object),
    }
}

/// The type in ` Name: x; Type: TABLE; Schema: public; Owner: y`, where the
/// name may follow `Data for ` or `Statistics for `. A name can hold the same
/// marks (newlines in it have become blanks), hence the last of them counts.
fn object_type(line: &[u8]) -> Option<String> {
    let named = ["Name: ", "Data for Name: ", "Statistics for Name: "];
    let text = line.strip_prefix(b" ")?;
    if !named.iter().any(|start| text.starts_with(start.as_bytes())) {
        return None;
    }
    let mark = b"; Type: ";
    let at = memchr::memmem::rfind(text, mark)?;
    let rest = &text[at + mark.len()..];
    let length = memchr::memmem::find(rest, b"; Schema: ")?;
    let object_type = &rest[..length];
    let is_type = |byte: &u8| byte.is_ascii_uppercase() || *byte == b' ';
    let object_type = std::str::from_utf8(object_type).ok()?;
    (!object_type.is_empty() && object_type.bytes().all(|byte| is_type(&byte)))
        .then(|| object_type.to_owned())
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
            assert_eq!(object_type(line.as_bytes()).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn verbose_lines_before_a_title_are_passed_over() {
        let toc = " TOC entry 219 (class 1259 OID 16444)";
        let name = " Name: t; Type: TABLE; Schema: public; Owner: o";
        assert_eq!(
            titles(&["", toc, " Dependencies: 1 2", name, ""]),
            [Title::Object("TABLE".to_owned())]
        );
    }
}
