//! Reads the text of a dump to its end and keeps its ledger, nothing else.
//!
//! Owns no place to put bytes: this is verification, the restore's own reading
//! into nowhere. Refuses dumps that are not whole.

use std::io::{BufRead, ErrorKind};

use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::{DatabaseContent, LeftOut};
use crate::ledger::{DumpReader, GlobalsReader};
use crate::reached::Reached;

/// The target of `verify`. Of the content it tells the ledger alone.
pub struct DumpCheck {
    dump_of: DumpOf,
    cancel: Cancel,
}

#[derive(Clone, Copy)]
enum DumpOf {
    Database,
    Globals,
}

impl DumpCheck {
    /// For the dump of a database.
    pub fn new(cancel: Cancel) -> Self {
        let dump_of = DumpOf::Database;
        Self { dump_of, cancel }
    }

    /// For the dump of what all databases share.
    pub fn of_globals(cancel: Cancel) -> Self {
        let dump_of = DumpOf::Globals;
        Self { dump_of, cancel }
    }
}

impl Target for DumpCheck {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut left_out = LeftOut::default();
        let ledger = match self.dump_of {
            DumpOf::Database => {
                let mut reader = DumpReader::new();
                feed_all(stream, &self.cancel, |block| reader.feed(block))?;
                reader.finish()?
            }
            DumpOf::Globals => {
                let mut reader = GlobalsReader::default();
                feed_all(stream, &self.cancel, |block| reader.feed(block))?;
                let globals = reader.finish()?;
                left_out.statements = globals.not_understood();
                left_out.count = left_out.statements.values().sum();
                globals.ledger()
            }
        };
        let database = DatabaseContent {
            ledger,
            left_out,
            ..DatabaseContent::default()
        };
        Ok(Received {
            database: Some(database),
            ..Received::default()
        })
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}

/// The whole stream into a reader of dumps. Also a dump that the reader knows to
/// be broken is read to its end: the archive's own faults are found there, and
/// are told first.
pub(super) fn feed_all(
    stream: &mut dyn BufRead,
    cancel: &Cancel,
    mut feed: impl FnMut(&[u8]),
) -> Result<(), TargetError> {
    loop {
        cancel.check()?;
        let block = match stream.fill_buf() {
            Ok(block) => block,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                cancel.check()?;
                return Err(TargetError::Stream(error));
            }
        };
        if block.is_empty() {
            return Ok(());
        }
        feed(block);
        let block_bytes = block.len();
        stream.consume(block_bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, Cursor, Read};

    use super::*;
    use crate::ledger::LedgerError;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\
        COPY public.t (a) FROM stdin;\n1\n2\n\\.\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n";

    fn receive(stream: impl Read) -> Result<Received, TargetError> {
        let mut target = DumpCheck::new(Cancel::default());
        target.receive(&mut BufReader::with_capacity(7, stream))
    }

    #[test]
    fn a_whole_dump_gives_its_ledger() {
        let received = receive(DUMP.as_bytes()).expect("whole");
        let tables = received.database.expect("a database").ledger.tables;
        assert_eq!((tables.len(), tables[0].rows), (1, 2));
        let reached = &mut Reached::default();
        assert!(DumpCheck::new(Cancel::default()).commit(reached).is_ok());
    }

    #[test]
    fn a_dump_without_its_trailer_is_refused() {
        let cut = &DUMP[..DUMP.len() - 10];
        let error = receive(cut.as_bytes()).expect_err("cut");
        assert!(
            matches!(error, TargetError::Dump(LedgerError::TrailerMissing)),
            "{error}"
        );
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("digest differs"))
        }
    }

    #[test]
    fn a_fault_at_the_archives_end_is_told_rather_than_one_of_the_dump() {
        let stream = Cursor::new("no dump at all;").chain(Broken);
        let error = receive(stream).expect_err("broken");
        assert!(matches!(error, TargetError::Stream(_)), "{error}");
    }

    #[test]
    fn a_request_to_stop_is_heard_before_the_stream_ends() {
        let cancel = Cancel::default();
        cancel.request(15);
        let mut target = DumpCheck::new(cancel);
        let error = target.receive(&mut BufReader::new(io::repeat(b'\n')));
        assert!(matches!(error, Err(TargetError::Cancelled(_))), "{error:?}");
    }
}
