//! Protocol buffers' wire format: bytes to numbered fields.
//!
//! It knows no message. Arbitrary bytes end in fields or in an error, and nothing is copied.

/// What is wrong with bytes that are to be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// They end within a field.
    #[error("unexpected end of the message")]
    Truncated,
    /// A number goes on for more than ten bytes.
    #[error("integer overflow")]
    Overlong,
    /// Fields are numbered from 1.
    #[error("illegal tag 0")]
    NoNumber,
    /// Groups, which nobody has written for long, and types that never were.
    #[error("illegal wire type {0}")]
    Type(u8),
}

/// What stands in one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload<'a> {
    /// An integer of any kind.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A string, bytes, a message, or numbers packed together.
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order they were written; ends at the first error.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<(u64, Payload<'a>), WireError> {
        let tag = varint(&mut self.0)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(WireError::NoNumber);
        }
        let payload = match tag & 7 {
            0 => Payload::Varint(varint(&mut self.0)?),
            1 => Payload::Fixed64(fixed64(&mut self.0)?),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).map_err(|_| WireError::Truncated)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(WireError::Truncated)?;
                self.0 = rest;
                Payload::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
                self.0 = rest;
                Payload::Fixed32(u32::from_le_bytes(*bytes))
            }
            other => return Err(WireError::Type(other.to_le_bytes()[0])),
        };
        Ok((number, payload))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Payload<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Takes an integer of variable length off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(WireError::Truncated)?;
        *bytes = rest;
        // Of the tenth byte only the lowest bit has room, and the others fall off.
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::Overlong)
}

/// Takes eight bytes off the front.
pub(super) fn fixed64(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(WireError::Truncated)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_up_to_the_first_mistake() {
        type Read = Result<(u64, String), WireError>;
        let read = |bytes: &[u8]| Fields::of(bytes).map(|f| f.map(|(n, p)| (n, format!("{p:?}")))).collect::<Vec<_>>();
        let ok = |number, payload: &str| Ok((number, payload.to_owned()));
        let cases: [(&[u8], Vec<Read>); 9] = [
            (&[], vec![]),
            (&[0x08, 0x96, 0x01], vec![ok(1, "Varint(150)")]),
            (&[0x12, 2, b'h', b'i', 0x18, 0], vec![ok(2, "Bytes([104, 105])"), ok(3, "Varint(0)")]),
            (&[0x0d, 1, 0, 0, 0], vec![ok(1, "Fixed32(1)")]),
            (&[0x09, 2, 0, 0, 0, 0, 0, 0, 0], vec![ok(1, "Fixed64(2)")]),
            (&[0x08, 1, 0x12, 3, b'h', b'i'], vec![ok(1, "Varint(1)"), Err(WireError::Truncated)]),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], vec![Err(WireError::Overlong)]),
            (&[0x00, 1], vec![Err(WireError::NoNumber)]),
            (&[0x0b], vec![Err(WireError::Type(3))]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
        // A negative number takes all ten bytes.
        let mut minus_one: &[u8] = &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(varint(&mut minus_one).map(u64::cast_signed), Ok(-1));
    }
}
