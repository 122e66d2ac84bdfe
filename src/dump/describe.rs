//! Reads from an entry's SQL what it is called and what it hangs on.
//!
//! Owns the forms in which pg_dump writes each type of object. Where a statement
//! has another form the title's names stand.

use super::tokens::{Token, mentioned, name_in, tokens};
use super::{Entry, Family, Key, Name, family};
use crate::ledger::ObjectTitle;

/// What the title alone says.
pub(super) fn from_title(title: ObjectTitle) -> Entry {
    let ObjectTitle {
        name,
        object_type,
        schema,
        owner,
        ..
    } = title;
    let mut entry = Entry {
        object_type,
        schema,
        name,
        owner,
        ..Entry::default()
    };
    if entry.object_type == "STATISTICS DATA" {
        let name = entry.own_name();
        anchor(&mut entry, Family::Relation, name);
    }
    entry
}

/// Whether only the first statement tells something: rows have one each, and
/// large objects one per piece.
pub(super) fn ends_early(entry: &Entry) -> bool {
    match entry.object_type.as_str() {
        "TABLE DATA" | "SEQUENCE SET" => entry.anchor.is_some(),
        object_type => object_type.starts_with("BLOB") || object_type == "STATISTICS DATA",
    }
}

/// Takes in one statement of the entry, from its first column on.
pub(super) fn statement(entry: &mut Entry, text: &[u8], backslashes: bool) {
    if ends_early(entry) {
        return;
    }
    entry.needs.read(text, backslashes);
    let text = match entry.object_type.as_str() {
        // The rows may follow in the same statement, and are long.
        "TABLE DATA" => &text[..text.len().min(4096)],
        _ => text,
    };
    let tokens = tokens(text, backslashes);
    let first = tokens.iter().find_map(Token::name);
    match entry.object_type.as_str() {
        "TABLE DATA" | "MATERIALIZED VIEW DATA" => {
            if let Some(relation) = first {
                entry.name.clear();
                anchor(entry, Family::Relation, relation);
            }
        }
        "SEQUENCE SET" => sequence_value(entry, &tokens),
        "COMMENT" | "SECURITY LABEL" => remark(entry, &tokens),
        "ACL" if entry.anchor.is_none() => remark(entry, &tokens),
        "ACL" => {}
        // The title's schema is the one that they are for.
        "DEFAULT ACL" => {}
        _ => {
            if !entry.is_described && !tokens.is_empty() {
                definition(entry, &tokens);
                entry.is_described = true;
            }
            entry.uses.extend(mentioned(&tokens).filter(is_users));
        }
    }
}

fn is_users(name: &Name) -> bool {
    !matches!(name.schema.as_str(), "pg_catalog" | "information_schema")
}

fn anchor(entry: &mut Entry, family: Family, name: Name) {
    entry.belongs_to = Some(name.clone());
    entry.anchor = Some((family, name));
}

fn sequence_value(entry: &mut Entry, tokens: &[Token]) {
    let literal = tokens.iter().find_map(|token| match token {
        Token::Literal(text) => Some(text),
        _ => None,
    });
    let Some(text) = literal else { return };
    if let Some(sequence) = name_in(text) {
        entry.name.clear();
        anchor(entry, Family::Relation, sequence);
    }
    entry.sequence_text = Some(crate::ledger::name_text(text.clone()));
}

/// `COMMENT ON TRIGGER t ON s.t`, `GRANT SELECT(a) ON TABLE s.t`.
fn remark(entry: &mut Entry, tokens: &[Token]) {
    let Some(on) = tokens.iter().position(|token| token.is("ON")) else {
        return;
    };
    let (kind, rest) = kind_and_rest(&tokens[on + 1..]);
    let Some(object) = rest.first().and_then(Token::name) else {
        return;
    };
    // A routine's arguments end before the next ON could come.
    if rest.get(1).is_some_and(|token| token.is("ON")) {
        let (of_kind, rest) = kind_and_rest(&rest[2..]);
        if let Some(table) = rest.first().and_then(Token::name) {
            let of = if of_kind == "DOMAIN" {
                Family::Type
            } else {
                Family::Relation
            };
            anchor(entry, of, table);
            entry.member = Some((kind, object.name));
        }
        return;
    }
    anchor(entry, family(&kind), object);
}

/// The keywords that a text begins with, and what follows.
fn kind_and_rest(tokens: &[Token]) -> (String, &[Token]) {
    let words = tokens
        .iter()
        .map_while(|token| match token {
            Token::Keyword(word) => Some(word.as_str()),
            _ => None,
        })
        .collect::<Vec<_>>();
    (words.join(" "), &tokens[words.len()..])
}

/// The first name after a keyword.
fn after(tokens: &[Token], keyword: &str) -> Option<Name> {
    let at = tokens.iter().position(|token| token.is(keyword))?;
    tokens[at + 1..].iter().find_map(Token::name)
}

fn definition(entry: &mut Entry, tokens: &[Token]) {
    let Some(first) = tokens.iter().find_map(Token::name) else {
        return;
    };
    let alters = tokens.first().is_some_and(|token| token.is("ALTER"));
    let relation = |name: Option<Name>| name.map(|name| (Family::Relation, name));
    match entry.object_type.as_str() {
        "INDEX" => {
            entry.name = first.name;
            hang_in_schema(entry, relation(after(tokens, "ON")));
        }
        "TRIGGER" | "POLICY" => {
            entry.name = first.name;
            hang(entry, relation(after(tokens, "ON")));
        }
        // The rule that makes a view of what was dumped as an empty one.
        "RULE" if !tokens.get(1).is_some_and(|token| token.is("RULE")) => {
            hang(entry, relation(Some(first)));
        }
        "RULE" => {
            entry.name = first.name;
            hang(entry, relation(after(tokens, "TO")));
        }
        "STATISTICS" => {
            let from = tokens.iter().rposition(|token| token.is("FROM"));
            let table = from.and_then(|at| tokens.get(at + 1)?.qualified());
            own(entry, first);
            hang(entry, relation(table));
        }
        "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" => {
            let is_domain = tokens.get(1).is_some_and(|token| token.is("DOMAIN"));
            let of = if is_domain {
                Family::Type
            } else {
                Family::Relation
            };
            if let Some(name) = after(tokens, "CONSTRAINT") {
                entry.name = name.name;
            }
            hang_in_schema(entry, Some((of, first)));
        }
        "DEFAULT" | "ROW SECURITY" => {
            entry.name = after(tokens, "COLUMN").map_or_else(String::new, |name| name.name);
            hang(entry, relation(Some(first)));
        }
        "TABLE ATTACH" | "INDEX ATTACH" => {
            entry.brings = relation(after(tokens, "PARTITION"));
            entry.name.clear();
            hang(entry, relation(Some(first)));
        }
        "SEQUENCE OWNED BY" => {
            entry.brings = relation(Some(first));
            hang(entry, relation(after(tokens, "BY")));
        }
        // An identity column's, which the column's table makes.
        "SEQUENCE" if alters => {
            if let Some(name) = after(tokens, "NAME") {
                own(entry, name);
            }
            hang(entry, relation(Some(first)));
        }
        "PUBLICATION TABLE" => hang(entry, relation(tokens.iter().find_map(Token::qualified))),
        "EXTENSION" => {
            entry.target_schema = after(tokens, "SCHEMA").map(|schema| schema.name);
            own(entry, first);
        }
        _ if tokens.first().is_some_and(|token| token.is("CREATE")) => own(entry, first),
        _ => {}
    }
}

fn own(entry: &mut Entry, name: Name) {
    entry.schema = name.schema;
    entry.name = name.name;
}

fn hang(entry: &mut Entry, key: Option<Key>) {
    if let Some((family, name)) = key {
        anchor(entry, family, name);
    }
}

/// An index lies in its table's schema.
fn hang_in_schema(entry: &mut Entry, key: Option<Key>) {
    if let Some((_, name)) = &key {
        entry.schema.clone_from(&name.schema);
    }
    hang(entry, key);
}
