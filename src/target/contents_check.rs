//! Reads a plain dump to its end as verification does, and keeps beside the
//! ledger what stands where in it.
//!
//! The first of the two readings that a choice of tables takes. Refuses dumps
//! that are not whole.

use std::io::BufRead;

use super::dump_check::feed_all;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::dump::ContentsReader;
use crate::format::manifest::DatabaseContent;
use crate::reached::Reached;

/// `Received` has `contents`, and the ledger as content.
pub struct ContentsCheck {
    cancel: Cancel,
}

impl ContentsCheck {
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel }
    }
}

impl Target for ContentsCheck {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = ContentsReader::new();
        feed_all(stream, &self.cancel, |block| reader.feed(block))?;
        let contents = reader.finish()?;
        let database = DatabaseContent {
            ledger: contents.ledger.clone(),
            ..DatabaseContent::default()
        };
        Ok(Received {
            database: Some(database),
            contents: Some(contents),
            ..Received::default()
        })
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}
