//! Reads the text of a dump to its end, and keeps its ledger and what it says of
//! its database. For dumps that no manifest tells of; refuses those that are not
//! whole.

use std::io::BufRead;

use super::dump_check::feed_all;
use super::{Received, Target, TargetError};
use crate::cancel::Cancel;
use crate::dump::FactsReader;
use crate::reached::Reached;

/// `Received` has the content as far as the dump tells it.
pub struct FactsCheck {
    cancel: Cancel,
}

impl FactsCheck {
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel }
    }
}

impl Target for FactsCheck {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut reader = FactsReader::default();
        feed_all(stream, &self.cancel, |block| reader.feed(block))?;
        Ok(Received {
            database: Some(reader.finish()?),
            ..Received::default()
        })
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}
