//! Damaged archives in custom and directory format with `restore --keep-going`: every
//! table that the damage did not meet comes back as it was, and just those are named that
//! did not. A soak has 100 damages of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::salvaged::{
    Archive, Site, TABLES, fifty_tables, meets, named_tables, rounds, table,
};
use crate::support::soak::is_soak;
use crate::support::{Cluster, majors};

/// Where what stands in an archive.
struct Places {
    contents: Range<usize>,
    /// By their names.
    tables: BTreeMap<String, Range<usize>>,
    /// Of the files of large objects, in directory format.
    large_objects: Vec<Range<usize>>,
}

impl Places {
    fn of(site: &Site, archive: &Archive) -> Self {
        match archive.raw.starts_with(b"PGDMP") {
            true => Self::of_custom(site, archive),
            false => Self::of_directory(site, archive),
        }
    }

    fn of_custom(site: &Site, archive: &Archive) -> Self {
        let file = site.house.path("listed");
        fs::write(&file, &archive.raw).unwrap();
        let tables = entries(site, &file, "TABLE DATA");
        let start = |id: &u32| {
            let head = [&[1, 0][..], &id.to_le_bytes()].concat();
            let mut found = memchr::memmem::find_iter(&archive.raw, &head);
            let start = found.next().unwrap();
            assert_eq!(found.next(), None);
            start
        };
        let mut starts: Vec<usize> = tables.values().map(start).collect();
        starts.sort_unstable();
        let large = entries(site, &file, "BLOBS").into_values();
        let large = large.map(|id| [&[3, 0][..], &id.to_le_bytes()].concat());
        let large = large.filter_map(|head| memchr::memmem::rfind(&archive.raw, &head));
        let mut ends: Vec<usize> = starts.iter().copied().chain(large).collect();
        ends.push(archive.raw.len());
        ends.sort_unstable();
        let place = |(name, id): (String, u32)| {
            let start = start(&id);
            let end = *ends.iter().find(|end| **end > start).unwrap();
            (name, start..end)
        };
        Self {
            contents: 0..ends[0],
            tables: tables.into_iter().map(place).collect(),
            large_objects: Vec::new(),
        }
    }

    fn of_directory(site: &Site, archive: &Archive) -> Self {
        let directory = site.house.path("unpacked");
        let _ = fs::remove_dir_all(&directory);
        tar::Archive::new(&archive.raw[..])
            .unpack(&directory)
            .unwrap();
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(&archive.raw[..]);
        for entry in tar.entries().unwrap() {
            let entry = entry.unwrap();
            let start = entry.raw_header_position() as usize;
            let end = entry.raw_file_position() + entry.size().next_multiple_of(512);
            let name = entry.path().unwrap().display().to_string();
            files.insert(name, start..end as usize);
        }
        let place = |(name, id): (String, u32)| {
            let file = files
                .iter()
                .find(|it| it.0.starts_with(&format!("{id}.dat")));
            (name, file.unwrap().1.clone())
        };
        let large = files.iter().filter(|it| it.0.starts_with("blob_"));
        Self {
            contents: files["toc.dat"].clone(),
            large_objects: large.map(|it| it.1.clone()).collect(),
            tables: entries(site, &directory, "TABLE DATA")
                .into_iter()
                .map(place)
                .collect(),
        }
    }
}

/// The entries of a kind, by their names, with their numbers.
fn entries(site: &Site, archive: &std::path::Path, kind: &str) -> BTreeMap<String, u32> {
    let mut command = site.cluster.client("pg_restore", "postgres");
    let listed = command.arg("-l").arg(archive).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let entry = |line: &str| {
        let (id, rest) = line.split_once(';')?;
        let (_, rest) = rest.split_once(&format!(" {kind} "))?;
        let name = rest.split(' ').nth(1)?;
        Some((name.to_owned(), id.parse().ok()?))
    };
    listed.lines().filter_map(entry).collect()
}

/// Restores what is left, and looks at each table.
fn check(site: &Site, archive: &Archive, places: &Places, hit: Vec<Range<usize>>) {
    let before = site.tables("shop");
    let done = site.salvage(archive);
    let lost: Vec<_> = hit.iter().flat_map(|hit| archive.lost(hit)).collect();
    let said = format!("{hit:?}: {}", String::from_utf8_lossy(&done.stderr));
    if meets(&lost, &places.contents) {
        assert_eq!(done.status.code(), Some(4), "{said}");
        assert!(said.contains("table of contents cannot be read"), "{said}");
        assert!(said.contains("nothing was restored"), "{said}");
        let named = |name: &String| said.contains(&format!("public.{name}"));
        assert!(before.keys().all(named), "{said}");
        let there = "SELECT count(*) FROM pg_database WHERE datname = 'saved'";
        assert_eq!(site.cluster.psql("postgres", there), "0", "{said}");
        return;
    }
    assert_eq!(done.status.code(), Some(3), "{said}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let after = site.tables("saved");
    assert!(after.keys().eq(before.keys()), "{said}: {after:?}");
    let differs = before
        .iter()
        .filter(|(name, hash)| after.get(*name) != Some(hash));
    let differs: BTreeSet<String> = differs.map(|it| it.0.clone()).collect();
    for name in &differs {
        let is_hit = meets(&lost, &places.tables[name]);
        assert!(is_hit, "{said}: {name} was not hit\n{report:#}");
    }
    assert_eq!(named_tables(&report), differs, "{said}\n{report:#}");
}

fn damaged(arguments: &[&str], seed: u64) {
    let Some(site) = Site::new(&fifty_tables()) else {
        return;
    };
    let archive = site.back_up(arguments);
    let places = Places::of(&site, &archive);
    assert_eq!(places.tables.len(), TABLES);
    let mut dice = Dice(seed);
    let mut hopeless = 0;
    for _ in 0..rounds() {
        let hit = archive.hurt(&mut dice);
        hopeless += usize::from(meets(&archive.lost(&hit), &places.contents));
        check(&site, &archive, &places, vec![hit]);
        site.drop_saved();
        archive.heal();
    }
    eprintln!(
        "{} damages, {hopeless} of them in the table of contents",
        rounds()
    );
}

#[test]
fn of_a_damaged_custom_archive_every_whole_table_comes_back() {
    damaged(&["--format", "custom"], 1);
}

#[test]
fn of_a_damaged_custom_archive_that_is_not_compressed_every_whole_table_comes_back() {
    damaged(&["--format", "custom", "--codec", "none"], 2);
}

#[test]
fn of_a_damaged_directory_archive_every_whole_table_comes_back() {
    damaged(&["--format", "directory"], 3);
}

/// Each second one has another table of contents, and large objects in another way.
#[test]
fn archives_of_every_major_come_back_but_for_what_is_lost() {
    let majors = match is_soak() {
        true => &[14, 15, 16, 17, 18][..],
        false => &[16, 18],
    };
    for major in majors.iter().copied() {
        let Some(cluster) = Cluster::of_major(major) else {
            continue;
        };
        let tables: String = (1..=6).map(|number| table(number, 3_000)).collect();
        let large = "SELECT lo_from_bytea(0, decode(string_agg(md5((n * k)::text), ''), 'hex')) \
                     FROM generate_series(1, 9000) AS n, generate_series(1, 4) AS k GROUP BY k;";
        let site = Site::on(cluster, &format!("{tables} {large}"));
        let programs = majors::programs(major).unwrap();
        let settings = format!("[database]\nclient_bin_dir = {:?}\n", programs.display());
        fs::write(site.house.path("kluis.toml"), settings).unwrap();
        for format in ["custom", "directory"] {
            let archive = site.back_up(&["--format", format, "--codec", "none"]);
            let places = Places::of(&site, &archive);
            let middle = |place: &Range<usize>| place.start + place.len() / 2;
            let mut hit = vec![middle(&places.tables["t03"])];
            hit.extend(places.large_objects.get(1).map(middle));
            let hit = archive.hurt_at(&hit);
            check(&site, &archive, &places, hit);
            let large = "SELECT count(*), sum(length(lo_get(oid))) FROM pg_largeobject_metadata";
            let left = site.cluster.psql("saved", large);
            let expected = match format {
                "custom" => "4|576000",
                _ => "4|432000",
            };
            assert_eq!(left, expected, "{major} {format}");
            site.drop_saved();
            archive.heal();
        }
    }
}
