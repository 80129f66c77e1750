//! A TCP connection that is open while something changes, and says whether it is still carried.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
    time::Duration,
};

use crate::{
    Netns, clock, payload,
    tcp::{self, Order},
};

/// How long nothing has to come. A reset takes milliseconds.
const SILENCE: Duration = Duration::from_secs(1);
/// Bytes of one turn.
const TURN: usize = 1000;

/// A connection to a [`tcp::TcpServer`], which sends back whatever it gets.
#[derive(Debug)]
pub struct Held {
    stream: TcpStream,
    position: u64,
    to: SocketAddrV4,
}

impl Held {
    /// Connects, and sees the first bytes come back.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    pub fn open(from: &Netns, to: SocketAddrV4) -> Self {
        let mut stream = tcp::connect(from, to).unwrap_or_else(|error| panic!("cannot connect to {to}: {error}"));
        tcp::order(&mut stream, Order::Echo, 0).unwrap_or_else(|error| panic!("cannot write to {to}: {error}"));
        let mut held = Self { stream, position: 0, to };
        held.assert_lives();
        held
    }

    fn turn(&mut self) -> io::Result<()> {
        self.stream.write_all(payload::at(self.position, TURN))?;
        let mut back = [0; TURN];
        self.stream.read_exact(&mut back)?;
        assert!(payload::is(self.position, &back), "wrong bytes came back from {}", self.to);
        self.position += TURN as u64;
        Ok(())
    }

    /// # Panics
    /// When what is sent does not come back.
    pub fn assert_lives(&mut self) {
        self.turn().unwrap_or_else(|error| panic!("the connection to {} is dead: {error}", self.to));
    }

    /// What it was translated by is gone, and so is it, by a reset: nobody waits for a time-out.
    ///
    /// # Panics
    /// When it is still carried, or silence is all that comes.
    pub fn assert_ended(mut self) {
        let error = self.turn().expect_err("the connection is still carried");
        let reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe].contains(&error.kind());
        assert!(reset, "{} ended by {error}", self.to);
    }

    /// The address it goes to is gone: nobody answers any more.
    ///
    /// # Panics
    /// When it is still carried, or somebody resets it.
    pub fn assert_unanswered(mut self) {
        self.stream.set_read_timeout(Some(clock::patience(SILENCE))).expect("a timeout can be set");
        let error = self.turn().expect_err("the connection is still carried");
        let silent = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable];
        assert!(silent.contains(&error.kind()), "{} ended by {error}", self.to);
    }
}
