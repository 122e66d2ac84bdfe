//! Reads a plain dump to its end and keeps its ledger, nothing else.
//!
//! Owns no place to put bytes: this is verification, the restore's own reading
//! into nowhere. Refuses dumps that are not whole.

use std::io::{BufRead, ErrorKind};

use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::format::manifest::DatabaseContent;
use crate::ledger::DumpReader;

/// The target of `verify`. Of the content it tells the ledger alone.
pub struct DumpCheck {
    cancel: Cancel,
}

impl DumpCheck {
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel }
    }
}

impl Target for DumpCheck {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = DumpReader::new();
        // Also a dump that is known to be broken is read to its end: the
        // archive's own faults are found there, and are told first.
        loop {
            self.cancel.check()?;
            let block = match stream.fill_buf() {
                Ok(block) => block,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.cancel.check()?;
                    return Err(TargetError::Stream(error));
                }
            };
            if block.is_empty() {
                break;
            }
            reader.feed(block);
            let block_bytes = block.len();
            stream.consume(block_bytes);
        }
        let ledger = reader.finish()?;
        let database = DatabaseContent {
            ledger,
            ..DatabaseContent::default()
        };
        Ok(Received {
            database: Some(database),
            ..Received::default()
        })
    }

    fn commit(self: Box<Self>) -> Result<(), TargetError> {
        Ok(())
    }
}
