//! Who listens while a dump is read.

use super::comments::ObjectTitle;

/// Is told on the way where in the dump what stands. Places are bytes from the
/// dump's start.
pub(crate) trait Watch {
    /// An object's title: its section begins at `start`.
    fn object(&mut self, start: u64, title: ObjectTitle);
    /// The trailer's block begins at `start`.
    fn trailer(&mut self, start: u64);
    /// A statement, as the lexer keeps it, whose semicolon stands
    /// before `end`. `backslashes`: whether they escape in its plain literals.
    fn statement(&mut self, text: &[u8], backslashes: bool, end: u64);
    /// A quote right behind a colon stands at `at`: psql would look for a variable of
    /// that name, SQL does not.
    fn after_colon(&mut self, _at: u64) {}
    /// psql's restricted mode is entered with this token.
    fn restricted(&mut self, _token: &[u8]) {}
    /// Rows ended before `end`: those of the table with this place in the reader.
    fn copied(&mut self, _place: usize, _end: u64) {}
}

/// Two watch together.
impl<A: Watch, B: Watch> Watch for (A, B) {
    fn object(&mut self, start: u64, title: ObjectTitle) {
        self.0.object(start, title.clone());
        self.1.object(start, title);
    }

    fn trailer(&mut self, start: u64) {
        self.0.trailer(start);
        self.1.trailer(start);
    }

    fn statement(&mut self, text: &[u8], backslashes: bool, end: u64) {
        self.0.statement(text, backslashes, end);
        self.1.statement(text, backslashes, end);
    }

    fn after_colon(&mut self, at: u64) {
        self.0.after_colon(at);
        self.1.after_colon(at);
    }
}

/// Watches nothing, at no cost.
impl Watch for () {
    fn object(&mut self, _: u64, _: ObjectTitle) {}
    fn trailer(&mut self, _: u64) {}
    fn statement(&mut self, _: &[u8], _: bool, _: u64) {}
}
