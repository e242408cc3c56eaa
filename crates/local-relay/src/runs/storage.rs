use twentyfirst_protocol::ui::UiMessage;

/// Checks that the relay's database accepts a turn. `fails` refuses any turn.
///
/// The database is Postgres with `jsonb`, which refuses NUL and lone surrogates. The error is the relay's: SQL, with the whole turn.
pub(super) fn check(turn: &[UiMessage], fails: bool) -> Result<(), String> {
    let json = serde_json::to_string(turn).unwrap_or_default();
    if fails || is_refused(&json) {
        Err(format!(
            "Failed query: update \"an_threads\" set \"messages\" = $1 where \"id\" = $2\nparams: {json}"
        ))
    } else {
        Ok(())
    }
}

/// Returns whether a string in the JSON contains NUL or a lone surrogate. In valid JSON, both occur only as escapes.
fn is_refused(json: &str) -> bool {
    let mut high = false;
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        // A high surrogate without a low one directly after it.
        if high && at > 0 {
            return true;
        }
        let unit = escape
            .get(2..6)
            .filter(|_| escape.as_bytes().get(1) == Some(&b'u'));
        let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let was_high = std::mem::take(&mut high);
        match unit {
            Some(0) => return true,
            Some(0xD800..=0xDBFF) if !was_high => high = true,
            Some(0xDC00..=0xDFFF) if was_high => {}
            Some(0xD800..=0xDFFF) => return true,
            _ if was_high => return true,
            _ => {}
        }
        rest = &escape[if unit.is_some() { 6 } else { 2 }..];
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with `String::from_utf16` of the same units.
        #[test]
        fn nul_and_lone_surrogates_are_refused(
            units in prop::collection::vec(
                prop_oneof![
                    Just(0), Just(0x5C), Just(0x22), Just(0x75), Just(0xD83D), Just(0xDE00), Just(0x61), any::<u16>()
                ],
                0..6,
            ),
            escaped: bool,
        ) {
            let well_formed = String::from_utf16(&units);
            let expected = well_formed.as_ref().map_or(true, |text| text.contains('\0'));
            let json = match well_formed {
                Ok(text) if !escaped => serde_json::to_string(&[text]).unwrap(),
                _ => {
                    let escapes: String = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
                    format!("[\"{escapes}\"]")
                }
            };
            prop_assert_eq!(is_refused(&json), expected, "{}", json);
        }
    }
}
