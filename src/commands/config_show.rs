//! `kluis config show`: every setting, where it came from, secrets masked.

use crate::config::{Settings, show};
use crate::render::SettingsReport;

pub fn report(settings: &Settings) -> SettingsReport {
    SettingsReport {
        config_file: settings.config_file.clone(),
        settings: show(settings),
    }
}
