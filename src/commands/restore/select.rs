//! `kluis restore -t`, `-n`, `--path` and `--list`: a part of a backup, or what is in it.

use crate::catalog::Backup;
use crate::cli::Restore;
use crate::dump::{Choice, Contents, Entry, Name, Pattern};
use crate::exit::Exit;
use crate::format::manifest::{DatabaseContent, Kind, Trigger};
use crate::glob::{Globs, of_paths};
use crate::operations::{ContentsDone, OperationError, Reporter, contents, tree_entries};
use crate::render::{ContentsReport, ContentsRow, TreeListReport, TreeListRow};
use crate::series::left_out_by_options;
use crate::target::{Selected, Target, TreeCheck};
use crate::wiring;

use super::{Opened, Session};

/// A part cannot take a whole database's place.
pub fn check_flags(wanted: &Restore) -> Result<(), OperationError> {
    let is_part = !wanted.tables.is_empty() || !wanted.schemas.is_empty();
    if !wanted.paths.is_empty() && wanted.destination.to.is_none() {
        return Err(usage(
            "--path brings a part of a source tree, into a directory: say which with --to DIR",
        ));
    }
    if is_part && (wanted.destination.replace || wanted.in_place) {
        return Err(OperationError::Usage {
            what: "-t and -n bring a part of a database, which would replace the whole of it; \
                   restore the part with --into NAME, into a new database, and take from there"
                .to_owned(),
        });
    }
    Ok(())
}

/// A part is not what anybody expects in place of the whole.
pub fn refuse_part(
    backup: &Backup,
    content: Option<&DatabaseContent>,
    replaced: &str,
) -> Result<(), OperationError> {
    let part = content.map(left_out_by_options);
    match part.filter(|part| !part.is_empty()) {
        None => Ok(()),
        Some(part) => Err(usage(&format!(
            "{} holds only a part of the database (pg_dump{part}), and all else in {replaced} \
             would be gone; --into NAME brings the part back beside it, --part replaces the \
             whole by it",
            backup.archive
        ))),
    }
}

/// Why nobody knows whether the whole database is in it, where that is so.
pub fn wholeness_unknown(backup: &Backup) -> Option<&'static str> {
    match &backup.file {
        Some(file) if !file.manifest.is_adopted() => None,
        Some(_) => {
            Some("it was adopted, and a dump does not tell whether the whole database is in it")
        }
        None => {
            Some("it has no manifest, and a dump does not tell whether the whole database is in it")
        }
    }
}

/// It may be a part: see [`refuse_part`].
pub fn refuse_unknown(backup: &Backup, why: &str, replaced: &str) -> OperationError {
    usage(&format!(
        "{}: {why}; what {replaced} holds besides would be gone. --into NAME brings the dump back \
         beside it; if you know that it is whole, or mean it all the same, --part replaces \
         {replaced} by it",
        backup.archive
    ))
}

/// What `-t` and `-n` choose; `None` without them. `look` comes before: the choice takes
/// a reading of its own, which changes nothing.
pub fn choice<T>(
    session: &Session<'_>,
    opened: &Opened,
    backup: &Backup,
    wanted: &Restore,
    look: impl FnOnce() -> Result<T, OperationError>,
) -> anyhow::Result<Option<Choice>> {
    if wanted.tables.is_empty() && wanted.schemas.is_empty() {
        return Ok(None);
    }
    look()?;
    let (tables, schemas) = (patterns(&wanted.tables)?, patterns(&wanted.schemas)?);
    let done = read(session, opened, backup)?;
    let choice = Choice::resolve(&done.contents, &tables, &schemas)
        .map_err(|error| usage(&format!("{}: {error}", backup.archive)))?;
    for name in &choice.relations {
        session.console.detail(&format!("chosen: {name}"));
    }
    Ok(Some(choice))
}

/// The target for what was chosen; for everything where nothing was.
pub fn only_chosen(
    session: &Session<'_>,
    choice: Option<Choice>,
    target: Box<dyn Target>,
) -> Box<dyn Target> {
    match choice {
        Some(choice) => Box::new(Selected::new(target, choice, session.cancel.clone())),
        None => target,
    }
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, OperationError> {
    let parse = |text: &String| text.parse().map_err(|error| usage(&format!("{error}")));
    texts.iter().map(parse).collect()
}

fn usage(what: &str) -> OperationError {
    OperationError::Usage {
        what: what.to_owned(),
    }
}

fn read(
    session: &Session<'_>,
    opened: &Opened,
    backup: &Backup,
) -> anyhow::Result<ContentsDone<Contents>> {
    if backup.kind() == Some(Kind::Source) {
        let what = format!(
            "{} is a source tree: -t and -n are for databases; --path GLOB brings a part of it",
            backup.archive
        );
        return Err(usage(&what).into());
    }
    let vault = session.vault(&opened.storage, "restore --list", Trigger::Manual)?;
    let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
    let target = wiring::contents_target(backup, &programs, session.cancel)?;
    Ok(contents(&vault, backup, session.now, target)?)
}

/// What `--path` chooses of a tree; `None` without it.
pub fn paths(wanted: &Restore) -> Result<Option<Globs>, OperationError> {
    if wanted.paths.is_empty() {
        return Ok(None);
    }
    let paths = wanted.paths.iter();
    let globs = paths.map(|path| of_paths(path.trim_end_matches('/')));
    let globs = Globs::new(globs).map_err(|error| usage(&format!("--path {error}")))?;
    Ok(Some(globs))
}

pub fn list(
    session: &Session<'_>,
    opened: &Opened,
    backup: &Backup,
    wanted: &Restore,
) -> anyhow::Result<Exit> {
    if backup.kind() == Some(Kind::Source) {
        return list_tree(session, opened, backup, paths(wanted)?);
    }
    if !wanted.paths.is_empty() {
        let what = format!(
            "{} is a database: --path is for source trees",
            backup.archive
        );
        return Err(usage(&what).into());
    }
    let done = read(session, opened, backup)?;
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    session.print(&ContentsReport {
        id: manifest.map_or_else(|| "-".to_owned(), |manifest| manifest.id.to_string()),
        name: backup.name().to_owned(),
        file: backup.archive.clone(),
        raw_bytes: done.contents.raw_bytes(),
        large_objects: done.contents.ledger.large_objects.count,
        entries: done
            .contents
            .entries
            .iter()
            .map(|entry| row(&done.contents, entry))
            .collect(),
        warnings: done.warnings,
    })?;
    Ok(Exit::Done)
}

fn list_tree(
    session: &Session<'_>,
    opened: &Opened,
    backup: &Backup,
    paths: Option<Globs>,
) -> anyhow::Result<Exit> {
    let vault = session.vault(&opened.storage, "restore --list", Trigger::Manual)?;
    let target = Box::new(TreeCheck::listing(paths, session.cancel.clone()));
    let done = tree_entries(&vault, backup, session.now, target)?;
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    session.print(&TreeListReport {
        id: manifest.map_or_else(|| "-".to_owned(), |manifest| manifest.id.to_string()),
        name: backup.name().to_owned(),
        file: backup.archive.clone(),
        entries: done.contents.into_iter().map(TreeListRow::from).collect(),
        warnings: done.warnings,
    })?;
    Ok(Exit::Done)
}

fn row(contents: &Contents, entry: &Entry) -> ContentsRow {
    let tables = &contents.ledger.tables;
    let of_table = |name: &Name| {
        let key = (name.schema.as_str(), name.name.as_str());
        let found = tables.binary_search_by(|t| (t.schema.as_str(), t.name.as_str()).cmp(&key));
        found.ok().map(|at| &tables[at])
    };
    let data = match entry.object_type.as_str() {
        "TABLE DATA" => entry.belongs_to.as_ref().and_then(of_table),
        "TABLE" => of_table(&entry.own_name()),
        _ => None,
    };
    ContentsRow {
        object_type: entry.object_type.clone(),
        schema: entry.schema.clone(),
        name: entry.name.clone(),
        qualified: entry.own_name().to_string(),
        owner: entry.owner.clone(),
        belongs_to: entry.belongs_to.as_ref().map(ToString::to_string),
        rows: data.map(|table| table.rows),
        data_bytes: data.map(|table| table.bytes),
    }
}
