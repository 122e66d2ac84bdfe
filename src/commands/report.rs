//! `kluis report`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::Report;
use crate::exit::Exit;
use crate::operations::{self, HistoryFilter, OperationError, Reporter};
use crate::render::{PageWritten, ReportPage, ReportParts, html};
use crate::storage::Storage;
use crate::wiring;

use super::session::Session;
use super::{check, history, list};

/// Run records that a report looks at: years of nightly runs.
const RUNS_MAX: usize = 10_000;
/// Of a new page, which mostly a web server reads.
const READABLE: u32 = 0o644;

pub fn run(session: &Session<'_>, wanted: &Report) -> anyhow::Result<Exit> {
    let to_stdout = wanted.html.as_deref() == Some(Path::new("-"));
    if to_stdout && session.console.is_json() {
        let what = "--html - and --json both want stdout; give --html a file".to_owned();
        return Err(OperationError::Usage { what }.into());
    }
    let page = gather(session, wanted.no_server)?;
    match &wanted.html {
        None => session.print(&page)?,
        Some(_) if to_stdout => session.console.print_text(&html(&page, &session.view))?,
        Some(path) => {
            let text = html(&page, &session.view);
            write_page(path, &text)?;
            session.print(&PageWritten::new(&page, path, text.len() as u64))?;
        }
    }
    Ok(Exit::Done)
}

/// All that a report tells, as it stands now.
fn gather(session: &Session<'_>, no_server: bool) -> anyhow::Result<ReportPage> {
    let opened = session.open()?;
    let filter = HistoryFilter {
        newest: Some(RUNS_MAX),
        ..HistoryFilter::default()
    };
    let past = operations::history(&opened.storage, session.trust(), &filter)?;
    for (key, why) in &past.unreadable {
        let text = format!("the record {key} cannot be read: {why}");
        session.console.warn(&text);
    }
    let (storage, catalog) = (&opened.storage, &opened.catalog);
    let titles = catalog.titles();
    let mut facts = operations::facts_with(storage, catalog, &past, session.now);
    let findings = check::judged(session, &opened, &mut facts, no_server);
    Ok(ReportPage::new(ReportParts {
        storage: storage.location(),
        now: session.now,
        facts: &facts,
        findings,
        backups: catalog
            .backups
            .iter()
            .filter_map(|it| list::row(it, &titles))
            .collect(),
        totals: history::totals(&past.runs),
        records: past.records,
        runs: past.runs.into_iter().map(history::row).collect(),
    }))
}

/// Who reads it sees the old page or the new one.
fn write_page(path: &Path, text: &str) -> anyhow::Result<()> {
    let (storage, key) = wiring::storage_of_file(path)?;
    let kept = std::fs::metadata(path).ok();
    let mode = kept.map_or(READABLE, |page| page.permissions().mode() & 0o777);
    let storage = storage.unsynced().with_mode(mode);
    Ok(storage.replace(&key, text.as_bytes())?)
}
