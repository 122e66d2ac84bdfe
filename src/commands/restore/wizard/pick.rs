//! Which backup: a list by series to choose from, the latest offered.
//!
//! Invariant: a number means the row that was last shown with it, and what is not
//! understood is asked again. Nothing but a number, a name that one backup has, or an
//! empty line for what is offered takes one.

use std::collections::BTreeMap;

use super::name_of;
use crate::catalog::Backup;
use crate::commands::list::row;
use crate::commands::session::{Opened, Session};
use crate::format::manifest::Kind;
use crate::render::{ListRow, PromptError};

/// As many as a screen shows.
const SHOWN: usize = 15;

pub fn ask_backup(session: &Session<'_>) -> anyhow::Result<String> {
    let opened = session.open()?;
    let all = Choice::of(&opened);
    if all.offered.is_empty() {
        // The catalogue's own words for an empty storage.
        opened.find("latest")?;
    }
    let latest = opened.find("latest").ok();
    let latest = latest.map(|latest| latest.backup().archive.clone());
    let mut shown = all.shown("", latest.as_deref());
    show(session, &shown, all.offered.len());
    loop {
        let default = shown.default.map(|at| (at + 1).to_string());
        let question = "Which one? A number, an id, a part of a name, or q to leave";
        let answer = session
            .console
            .ask(question, default.as_deref(), session.cancel)?;
        match all.answered(&opened, &shown, &answer, latest.as_deref()) {
            Answer::Taken(backup) => return Ok(name_of(backup)),
            Answer::Left => return Err(PromptError::Left.into()),
            Answer::Narrowed(fewer) => {
                shown = fewer;
                show(session, &shown, all.offered.len());
            }
            Answer::Unknown(why) => session.console.info(&why),
        }
    }
}

fn show(session: &Session<'_>, shown: &Shown<'_>, all: usize) {
    let rows: Vec<&ListRow> = shown.rows.iter().map(|offered| &offered.row).collect();
    session.console.number(&rows, &session.view);
    let others = all - shown.rows.len();
    if others > 0 {
        session
            .console
            .info(&format!("({others} more: a part of a name finds them)"));
    }
}

struct Offered<'a> {
    backup: &'a Backup,
    row: ListRow,
}

/// All that can be chosen, series after series, the newest of each first.
struct Choice<'a> {
    offered: Vec<Offered<'a>>,
}

struct Shown<'a> {
    rows: Vec<&'a Offered<'a>>,
    /// Which of the rows an empty line takes.
    default: Option<usize>,
}

enum Answer<'a> {
    Taken(&'a Backup),
    Narrowed(Shown<'a>),
    Unknown(String),
    Left,
}

impl<'a> Choice<'a> {
    fn of(opened: &'a Opened) -> Self {
        let titles = opened.catalog.titles();
        let offered = opened.catalog.backups.iter();
        let offered = offered.filter_map(|backup| {
            let row = row(backup, &titles)?;
            Some(Offered { backup, row })
        });
        Self {
            offered: offered.collect(),
        }
    }

    /// What fits `part` of a name: of each series the newest, as many as there is room
    /// for, that of `latest` first; wholes before parts and before what was replaced.
    fn shown(&'a self, part: &str, latest: Option<&str>) -> Shown<'a> {
        let part = part.to_lowercase();
        let fits = |offered: &&Offered<'_>| {
            let row = &offered.row;
            let series = row.series.as_deref().unwrap_or_default();
            let names = [&*row.title, series, &*row.file];
            names.iter().any(|name| name.to_lowercase().contains(&part))
        };
        let mut groups: BTreeMap<_, Vec<&Offered<'_>>> = BTreeMap::new();
        for offered in self.offered.iter().filter(fits) {
            groups.entry(group(offered)).or_default().push(offered);
        }
        let is_latest = |it: &&Offered<'_>| Some(&*it.backup.archive) == latest;
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| {
            let newest = group.first();
            let rank = newest.map(|it| variant_rank(it.backup));
            let newest = newest.map(|it| std::cmp::Reverse(it.row.created_at));
            (!group.iter().any(is_latest), rank, newest)
        });
        let of_each = (SHOWN / groups.len().max(1)).max(1);
        let newest = |group: Vec<&'a Offered<'a>>| {
            let group = group.into_iter().enumerate();
            group
                .filter(|(at, it)| *at < of_each || is_latest(it))
                .map(|(_, it)| it)
                .collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = groups.into_iter().flat_map(newest).collect();
        rows.truncate(SHOWN);
        Shown {
            default: rows.iter().position(is_latest),
            rows,
        }
    }

    fn answered(
        &'a self,
        opened: &'a Opened,
        shown: &Shown<'a>,
        answer: &str,
        latest: Option<&str>,
    ) -> Answer<'a> {
        if matches!(answer, "q" | "Q" | "quit") {
            return Answer::Left;
        }
        let number = answer.parse::<usize>().ok();
        let chosen = number.and_then(|number| shown.rows.get(number.checked_sub(1)?));
        if let Some(offered) = chosen {
            return Answer::Taken(offered.backup);
        }
        // A name that the storage has is looked for before one that it means.
        let is_named = |it: &Offered<'_>| it.row.title == answer || it.row.name == answer;
        let is_name = self.offered.iter().any(is_named);
        let found = (!is_name).then(|| opened.find(answer));
        match found {
            Some(Ok(named)) => return Answer::Taken(named.backup()),
            Some(Err(error)) if number.is_some() => return Answer::Unknown(error.to_string()),
            _ => {}
        }
        // The latest of these is offered, where they are of one series.
        let of_name = opened.find(&format!("latest:{answer}")).ok();
        let of_name = of_name.map(|named| named.backup().archive.as_str());
        let fewer = self.shown(answer, of_name.or(latest));
        match fewer.rows.is_empty() {
            true => Answer::Unknown(format!(
                "nothing here is called {answer:?}, not even in part"
            )),
            false => Answer::Narrowed(fewer),
        }
    }
}

/// What is shown together.
fn group<'a>(offered: &Offered<'a>) -> (Kind, &'a str, Option<String>) {
    (
        offered.row.kind,
        offered.backup.name(),
        offered.row.series.clone(),
    )
}

/// What has no manifest comes last.
fn variant_rank(backup: &Backup) -> u8 {
    let series = backup.series.as_ref();
    series.map_or(u8::MAX, |series| series.variant.rank())
}
