//! `kluis config show`: every setting, where it came from, secrets masked.

use crate::config::{IDLE_REMEDY, Settings, show};
use crate::render::SettingsReport;

pub fn report(settings: &Settings) -> SettingsReport {
    SettingsReport {
        config_file: settings.config_file.clone(),
        settings: show(settings),
        note: settings.retention.idle(&settings.schedules).map(|origin| {
            format!("The retention's rules ({origin}) remove nothing by themselves: {IDLE_REMEDY}.")
        }),
    }
}
