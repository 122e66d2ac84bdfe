//! Defines bytes: the archive's format, its members, its manifest, its name.
//! Pure: nothing here opens a file, starts a process or asks for the time.

pub mod age;
pub mod frames;
pub mod gzip;
pub mod header;
pub mod hollow;
pub mod keyring;
pub mod keys;
pub mod legacy;
pub mod manifest;
pub mod manifest_file;
pub mod mended;
pub mod names;
pub mod own_seal;
pub mod pg_archive;
pub mod posix_acl;
pub mod run_record;
pub mod signing;
pub mod slots;
pub mod sniff;
pub mod tar;
pub mod witness;
pub mod zstd_frame;
