//! A request, as it came.

use super::messages::Message;

/// A request, as it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// How many requests the receiver had taken before this one.
    pub number: usize,
    /// The connection it came on, counted from 0.
    pub connection: usize,
    /// How many requests had come on its connection before.
    pub on_connection: usize,
    /// Request line and headers, byte for byte, up to and with the blank line.
    pub head: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The request line: `POST / HTTP/1.1`.
    pub fn line(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        head.lines().next().unwrap_or_default().to_owned()
    }

    /// The values of all headers of this name, without the blanks around them.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let (head, body) = (&*self.head, &*self.body);
        let message = Message { head, body };
        message.headers(name).map(str::to_owned).collect()
    }

    /// The value of the one header of this name.
    pub fn header(&self, name: &str) -> String {
        let mut values = self.headers(name);
        let head = String::from_utf8_lossy(&self.head);
        assert_eq!(values.len(), 1, "{name} in {head}");
        values.remove(0)
    }
}
