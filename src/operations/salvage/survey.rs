//! What can be kept of each form of content, and what is wrong with it.

use std::io::{self, BufRead, BufReader, Read};

use super::told::{no_contents, told};
use super::{BUFFER_BYTES, Damage, First, content, told_bytes};
use crate::catalog::Backup;
use crate::format::mended::{NotWhole, PartKind, Plan};
use crate::format::names::ArchiveFormat;
use crate::format::tar::mend;
use crate::ledger::{
    Ledger, MendArchiveError, MendedArchive, mend_custom, mend_directory, mend_dump,
};
use crate::operations::read::{at_archive, integrity};
use crate::operations::{OperationError, Vault};
use crate::pipeline::{Mended, Stretched, Unbroken, UnsealError};
use crate::target::{Received, Target};

/// How a whole stream is made of what is left.
pub(super) struct Way {
    /// Of the tar that a dump in directory format travels in, a whole one.
    tar: Option<Plan>,
    plan: Plan,
}

impl From<Plan> for Way {
    fn from(plan: Plan) -> Self {
        Self { tar: None, plan }
    }
}

impl First {
    /// What can be kept, and what is wrong with it.
    pub(super) fn survey(
        &self,
        vault: &Vault<'_>,
        backup: &Backup,
    ) -> Result<(Way, Damage), OperationError> {
        let mut damage = Damage::default();
        let tells = match backup.format() {
            Some(ArchiveFormat::Plain) => "statements are",
            Some(ArchiveFormat::Custom | ArchiveFormat::Directory) => "tables are",
            _ => "files are",
        };
        if let Some(damaged) = self.damaged() {
            let why = match self.is_unclear {
                true => format!(
                    "{damaged}, and as it is neither encrypted nor compressed nothing tells which \
                     {tells} hurt by that"
                ),
                false => damaged,
            };
            let told = NotWhole::new(PartKind::Archive, &*backup.archive, why);
            damage.not_whole.push(told);
        }
        let is_whole = self.gaps.is_empty() && !self.is_unclear && self.beyond.is_none();
        let stretched = self.again(vault, backup)?;
        let way = match backup.format() {
            Some(ArchiveFormat::Tree) => survey_tree(stretched, backup, &mut damage)?.into(),
            Some(ArchiveFormat::Plain) => survey_dump(stretched, backup, &mut damage)?.into(),
            Some(ArchiveFormat::Custom) if !is_whole => {
                survey_custom(stretched, backup, &mut damage)?.into()
            }
            Some(ArchiveFormat::Directory) if !is_whole => {
                self.survey_directory(stretched, vault, backup, &mut damage)?
            }
            _ => {
                let mut all = Plan::default();
                all.keep(0..self.raw_bytes);
                all.into()
            }
        };
        Ok((way, damage))
    }

    /// Its tar first, as that of a tree; then its files, by what they are.
    fn survey_directory(
        &self,
        mut stretched: Stretched<impl Read>,
        vault: &Vault<'_>,
        backup: &Backup,
        damage: &mut Damage,
    ) -> Result<Way, OperationError> {
        let mut tar =
            mend(&mut stretched, told_bytes(backup)).map_err(|error| broke(backup, error))?;
        let plan = std::mem::take(&mut tar.plan);
        let mut whole = self.whole_tar(vault, backup, plan.clone())?;
        let mended = mend_directory(&mut whole, &tar, ledger(backup));
        Ok(Way {
            tar: Some(plan),
            plan: taken(mended, backup, damage)?,
        })
    }

    fn whole_tar<'v>(
        &self,
        vault: &'v Vault<'_>,
        backup: &Backup,
        tar: Plan,
    ) -> Result<Unbroken<impl BufRead + use<'v>>, OperationError> {
        let mended = Mended::new(self.again(vault, backup)?, tar);
        Ok(Unbroken::new(BufReader::with_capacity(
            BUFFER_BYTES,
            mended,
        )))
    }

    pub(super) fn fill(
        &self,
        vault: &Vault<'_>,
        backup: &Backup,
        way: Way,
        target: &mut dyn Target,
    ) -> Result<Received, OperationError> {
        let mended: Box<dyn Read + '_> = match way.tar {
            Some(tar) => Box::new(Mended::new(self.whole_tar(vault, backup, tar)?, way.plan)),
            None => Box::new(Mended::new(self.again(vault, backup)?, way.plan)),
        };
        Ok(target.receive(&mut BufReader::with_capacity(BUFFER_BYTES, mended))?)
    }
}

fn survey_tree(
    mut stretched: Stretched<impl Read>,
    backup: &Backup,
    damage: &mut Damage,
) -> Result<Plan, OperationError> {
    let mended = mend(&mut stretched, told_bytes(backup)).map_err(|error| broke(backup, error))?;
    damage.is_doubtful = !mended.found_again.is_empty();
    damage.not_whole.extend(told(&mended));
    Ok(mended.plan)
}

fn survey_dump(
    mut stretched: Stretched<impl Read>,
    backup: &Backup,
    damage: &mut Damage,
) -> Result<Plan, OperationError> {
    let encoding = content(backup).map_or("", |content| content.encoding.as_str());
    let mended = mend_dump(&mut stretched, ledger(backup), encoding);
    let mended = mended.map_err(|error| broke(backup, error))?;
    damage.is_doubtful = mended.is_doubtful;
    for table in &mended.cut_tables {
        let why = "incomplete: some of its rows are lost";
        damage
            .not_whole
            .push(NotWhole::new(PartKind::Table, table, why));
    }
    Ok(mended.plan)
}

fn survey_custom(
    mut stretched: Stretched<impl Read>,
    backup: &Backup,
    damage: &mut Damage,
) -> Result<Plan, OperationError> {
    let mended = mend_custom(&mut stretched, ledger(backup));
    taken(mended, backup, damage)
}

fn taken(
    mended: Result<MendedArchive, MendArchiveError>,
    backup: &Backup,
    damage: &mut Damage,
) -> Result<Plan, OperationError> {
    let mended = mended.map_err(|error| match error {
        MendArchiveError::Stream(error) => broke(backup, error),
        MendArchiveError::NoContents(why) => {
            integrity(&backup.archive, &no_contents(&why, ledger(backup)))
        }
    })?;
    damage.is_doubtful = mended.is_doubtful;
    let lost = mended.lost_tables.iter();
    let lost =
        lost.map(|table| NotWhole::new(PartKind::Table, table, "lost: its rows are damaged"));
    damage.not_whole.extend(lost);
    if mended.lost_large_objects {
        let why = "content of some is lost: they are there, and empty";
        let told = NotWhole::new(PartKind::Archive, "large objects", why);
        damage.not_whole.push(told);
    }
    Ok(mended.plan)
}

fn ledger(backup: &Backup) -> Option<&Ledger> {
    content(backup).map(|content| &content.ledger)
}

/// Behind a stream there is the archive's own error.
fn broke(backup: &Backup, error: io::Error) -> OperationError {
    match error.downcast::<UnsealError>() {
        Ok(error) => at_archive(error.into(), &backup.archive),
        Err(error) => UnsealError::Storage(error).into(),
    }
}
