//! `kluis man DIR`: man pages made from the command line's types, one for kluis
//! and one for each command; and those that are written by hand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;

/// When the pages' words were last read through. Not today's date, so that the
/// pages change only when the command line does.
const PAGES_DATE: &str = "2026-11-21";

/// The specification of the archive format, and who could attack, and the way
/// from the old service: a kluis that is
/// at hand brings them along.
const WRITTEN_BY_HAND: [(&str, &str); 3] = [
    ("kluis-archive.5", include_str!("../../man/kluis-archive.5")),
    (
        "kluis-migrating.7",
        include_str!("../../man/kluis-migrating.7"),
    ),
    (
        "kluis-security.7",
        include_str!("../../man/kluis-security.7"),
    ),
];

/// Writes the pages into a directory, over those of the same name. Those of other
/// sections go to where `man` looks for them.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    for (name, page) in pages().context("cannot make the man pages")? {
        let directory = directory_of(&name, directory);
        let shown = directory.display();
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {shown}"))?;
        let path = directory.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Beside a `man1` the directory of the page's section; any other directory takes
/// all pages.
fn directory_of(page: &str, directory: &Path) -> PathBuf {
    match (directory.file_name(), page.rsplit_once('.')) {
        (Some(name), Some((_, section))) if name == "man1" => {
            directory.with_file_name(format!("man{section}"))
        }
        _ => directory.to_owned(),
    }
}

/// File names and pages: the commands in their order, then those by hand.
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    // Building spreads the global flags into the commands.
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "kluis", &mut pages)?;
    let by_hand = WRITTEN_BY_HAND.map(|(name, page)| (name.to_owned(), page.into()));
    pages.extend(by_hand);
    Ok(pages)
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    pages.push((format!("{name}.1"), page(command, name)?));
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        let name = format!("{name}-{}", below.get_name());
        collect(below, &name, pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).section("1");
    let mut page = Vec::new();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let name = name.to_uppercase();
    let title = format!(".TH {name} 1 {PAGES_DATE} kluis \"User Commands\"\n");
    let mut page = title + &tidied(&String::from_utf8_lossy(&page));
    if let Some(notes) = command.get_after_help() {
        page.push_str(&notes_sections(&notes.to_string()));
    }
    Ok(page.into_bytes())
}

/// Takes out what the generator repeats (each section defines the apostrophe) and
/// what man page checkers complain of (doubled breaks, white space at line ends).
fn tidied(page: &str) -> String {
    let mut defined = false;
    let mut kept = String::with_capacity(page.len());
    for line in page.lines().map(str::trim_end) {
        let definition = line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq");
        if !(definition && defined) {
            kept.push_str(line);
            kept.push('\n');
        }
        defined |= line.starts_with(".el .ds Aq");
    }
    kept.replace("\n.br\n\n.br\n", "\n.sp\n")
}

/// The help's closing text: a line `Examples:` or `Exit codes:` opens a section,
/// lines that are indented are shown as they are, others are paragraphs.
fn notes_sections(notes: &str) -> String {
    let mut text = String::new();
    let mut verbatim = false;
    let mut titled = false;
    for line in notes.lines() {
        let indented = line.starts_with("  ");
        if verbatim && !indented {
            text.push_str(".fi\n.RE\n");
            verbatim = false;
        }
        let title = line.strip_suffix(':').filter(|title| title.len() < 20);
        match title {
            Some(title) => text.push_str(&format!(".SH {:?}\n", title.to_uppercase())),
            None if line.is_empty() => titled = false,
            None => {
                if indented && !verbatim {
                    text.push_str(".RS 4\n.nf\n");
                    verbatim = true;
                } else if !indented && !titled {
                    text.push_str(".SH NOTES\n");
                }
                text.push_str(&escaped(line.trim_start()));
                text.push('\n');
            }
        }
        titled |= title.is_some() || (!line.is_empty() && !indented);
    }
    if verbatim {
        text.push_str(".fi\n.RE\n");
    }
    text
}

/// A line of text as roff takes it: no escapes of its own, and none that would
/// be read as a request.
fn escaped(line: &str) -> String {
    let line = line
        .replace('\\', "\\(rs")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match line.starts_with('.') {
        true => format!("\\&{line}"),
        false => line,
    }
}
