//! What the ledger costs: one database is dumped, compressed, encrypted and
//! written to a file, as `backup db` does it, with the ledger reading along and
//! without, in turn. Prints each side's seconds and the ratio of the medians;
//! exits 1 where that is above the limit. benches/ledger-cost brings the server
//! and the data, and says in DATABASE_URL where they are.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use jiff::Timestamp;
use kluis::cancel::Cancel;
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::keys::SecretKey;
use kluis::format::manifest::{Codec, Kind};
use kluis::pipeline::{ArchiveMeta, Envelope, Sealing, new_archive, seal};
use kluis::postgres::{Access, ClientSearch, ConnectionSettings, DumpOptions, Server};
use kluis::process::ChildReader;
use kluis::source::PgDumpSource;

const RUNS: usize = 5;
const RATIO_MAX: f64 = 1.05;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let settings = ConnectionSettings::from_url(&url, &BTreeMap::new())?;
    let database = settings
        .database()
        .ok_or("the URL names no database")?
        .to_owned();
    let clients = ClientSearch::new(None, std::env::var("PATH").ok().as_deref());
    let server = Server::connect(Access::Direct(settings), clients, &database)?;
    let directory = std::env::var_os("KLUIS_BENCH_DIR").ok_or("KLUIS_BENCH_DIR is not set")?;
    let file = Path::new(&directory).join("ledger-cost.sql.gz.enc");
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        // Who begins changes, so that drift of the machine meets both alike.
        for ledger in [run % 2 == 0, run % 2 != 0] {
            let seconds = measure(&server, &database, ledger, &file)?;
            eprintln!(
                "{} ledger: {seconds:.2} s",
                if ledger { "with" } else { "without" }
            );
            if ledger { &mut with } else { &mut without }.push(seconds);
        }
    }
    std::fs::remove_file(&file)?;
    let (with, without) = (median(with), median(without));
    let ratio = with / without;
    println!(
        "with {with:.2} s, without {without:.2} s, medians of {RUNS}: ratio {ratio:.3}, limit {RATIO_MAX}"
    );
    Ok(ExitCode::from(u8::from(ratio > RATIO_MAX)))
}

/// Seconds of one backup into `file`, from pg_dump's start to what is durable.
fn measure(
    server: &Server,
    database: &str,
    ledger: bool,
    file: &Path,
) -> Result<f64, Box<dyn Error>> {
    let mut sink = File::create(file)?;
    let sealing = sealing()?;
    let options = DumpOptions::default();
    let begun = Instant::now();
    let mut source: Box<dyn Read + Send> = if ledger {
        let source = PgDumpSource::start(server, database, &options, Cancel::default())?;
        Box::new(source)
    } else {
        // The same questions to the server, so that only the ledger differs.
        server.facts(database)?;
        let client = server.client("pg_dump")?;
        let tool = server.dump_tool(&client, database, &options)?;
        Box::new(ChildReader::spawn(&tool.arg("--format=plain"))?)
    };
    seal(&mut *source, &mut sink, sealing, &|_| {})?;
    sink.sync_all()?;
    Ok(begun.elapsed().as_secs_f64())
}

/// As `backup db` has it by default, with a key.
fn sealing() -> Result<Sealing, Box<dyn Error>> {
    let ring = Keyring::of(KeyMaterial::Raw(SecretKey::from_bytes([7; 32])));
    let meta = ArchiveMeta {
        kind: Kind::Db,
        name: "bench".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        codec: Codec::Gzip,
    };
    Ok(Sealing {
        codec: Codec::Gzip,
        level: 6,
        workers: std::thread::available_parallelism()?.get(),
        envelope: Envelope::Kluis1(Box::new(new_archive(&ring, &meta, &[0; 16])?)),
        cancel: Cancel::default(),
    })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
