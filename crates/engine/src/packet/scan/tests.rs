//! The scanner against tables and against `serde_json`.

use proptest::prelude::*;

use super::super::placeholder::Announced;
use super::*;

fn scan(text: &str) -> Result<(), PacketError> {
    Scanner::new(text, &Limits::default(), Announced::new(0)).anything()
}

#[test]
fn json_is_accepted() {
    for text in [
        "null",
        " true ",
        "false\r\n\t",
        "0",
        "-0",
        "10",
        "-1.5",
        "0.0",
        "1e5",
        "1E+5",
        "1e-999",
        "1.7976931348623157e308",
        "18446744073709551616",
        r#""""#,
        r#""a""#,
        r#""seven77""#,
        r#""eight888""#,
        r#""nine 9999""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000\uFFFF\uabCD""#,
        r#""\ud83d\ude00""#,
        r#""\ud800\udc00\udbff\udfff""#,
        r#""\ud7ff\ue000""#,
        "\"é😀\u{2028}\u{7f}\"",
        "[]",
        "[ ]",
        "[1,2]",
        "[ 1 , [ 2 ] ]",
        "{}",
        "{ }",
        r#"{"":0}"#,
        r#"{ "a" : 1 , "b" : { } }"#,
        // Twice the same key is JSON, and the last one counts for everybody.
        r#"{"a":1,"a":2}"#,
        r#"{"_placeholder":false,"num":0}"#,
        r#"{"_placeholder":"true","num":0}"#,
        r#"{"placeholder":true,"num":0}"#,
        r#"{"num":0}"#,
    ] {
        assert_eq!(scan(text), Ok(()), "{text}");
        serde_json::from_str::<serde_json::Value>(text).unwrap();
    }
}

#[test]
fn what_is_no_json_is_refused_where_it_goes_wrong() {
    for (text, at) in [
        ("", 0),
        (" ", 1),
        ("nul", 0),
        ("nulll", 4),
        ("True", 0),
        ("NaN", 0),
        ("Infinity", 0),
        ("-", 1),
        ("+1", 0),
        (".5", 0),
        ("5.", 2),
        ("01", 1),
        ("-01", 2),
        ("1e", 2),
        ("1e+", 3),
        ("0x10", 1),
        ("1_000", 1),
        ("'a'", 0),
        (r#"""#, 1),
        (r#""a"#, 2),
        (r#""eight888"#, 9),
        ("\"tab\t\"", 4),
        ("\"eight888\u{1f}\"", 9),
        ("\"new\nline\"", 4),
        (r#""\"#, 1),
        (r#""\x41""#, 1),
        (r#""\u12""#, 1),
        (r#""\u12g4""#, 1),
        (r#""\u+123""#, 1),
        // Half a character.
        (r#""\ud83d""#, 7),
        (r#""\ud83dx""#, 7),
        (r#""\ud83d\n""#, 7),
        (r#""\ud83d\ud83d""#, 7),
        (r#""\udbff""#, 7),
        (r#""\ud800\udbff""#, 7),
        (r#""\ud800\ue000""#, 7),
        (r#""\udc00""#, 1),
        (r#""\udfff""#, 1),
        (r#""\ude00""#, 1),
        (r#""\ude00\ud83d""#, 1),
        ("[", 1),
        ("[1", 2),
        ("[1,", 3),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1}", 2),
        ("]", 0),
        ("{", 1),
        (r#"{"a""#, 4),
        (r#"{"a":"#, 5),
        (r#"{"a":1"#, 6),
        (r#"{"a":1,}"#, 7),
        (r#"{"a" 1}"#, 5),
        ("{a:1}", 1),
        ("{1:1}", 1),
        (r#"{"a":1]"#, 6),
        // Something behind it.
        ("1 2", 2),
        ("[][]", 2),
        ("{}{}", 2),
        ("null,", 4),
        ("[] //", 3),
        ("\u{feff}[]", 0),
        ("[]\0", 2),
        // Space that is not JSON's.
        ("[\u{a0}]", 1),
        ("[\u{c}]", 1),
    ] {
        assert_eq!(scan(text), Err(PacketError::Json { at }), "{text}");
    }
}

#[test]
fn numbers_beyond_doubles_are_refused() {
    let digits = "9".repeat(310);
    for text in ["1e999", "-1e999", "1e309", "[1.8e308]", "0.1e400", &digits, &format!("-{digits}.5")] {
        assert_eq!(scan(text), Err(PacketError::NotJson), "{text}");
    }
    assert_eq!(scan(&"9".repeat(300)), Ok(()));
    assert_eq!(scan(&format!("0.{digits}")), Ok(()));
}

#[test]
fn forbidden_keys_are_refused_however_they_are_written() {
    for text in [
        r#"{"__proto__":1}"#,
        r#"[{"a":{"__proto__":{}}}]"#,
        r#"{"\u005f_proto__":1}"#,
        r#"{"\u005F\u005fproto\u005f_":1}"#,
    ] {
        assert_eq!(scan(text), Err(PacketError::ForbiddenKey), "{text}");
    }
    for text in [r#"{"_proto_":1}"#, r#"["__proto__"]"#, r#"{"a":"__proto__"}"#, r#"{"\\u005f_proto__":1}"#] {
        assert_eq!(scan(text), Ok(()), "{text}");
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize, open: &str, close: &str| open.repeat(depth) + "1" + &close.repeat(depth);
    let limits = |json_depth_max| Limits { json_depth_max, ..Limits::default() };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (depth_max, most) in [(1, 1), (64, 64), (127, 127), (usize::MAX, 127)] {
            let limits = limits(depth_max);
            let scan = |text: &str| Scanner::new(text, &limits, Announced::new(0)).anything();
            assert_eq!(scan(&nested(most, open, close)), Ok(()));
            let refused = Err(PacketError::TooDeep { depth_max: most });
            assert_eq!(scan(&nested(most + 1, open, close)), refused);
            assert_eq!(scan(&open.repeat(100_000)), refused);
        }
    }
    // The array and the object that a packet itself consists of count as well.
    let limits = limits(2);
    let array = |text: &str| Scanner::new(text, &limits, Announced::new(0)).array(|_| Ok(()));
    assert_eq!(array("[[]]"), Ok(()));
    assert_eq!(array("[[[]]]"), Err(PacketError::TooDeep { depth_max: 2 }));
    let object = |text: &str| Scanner::new(text, &limits, Announced::new(0)).object(|_, _| Ok(()));
    assert_eq!(object(r#"{"a":{}}"#), Ok(()));
    assert_eq!(object(r#"{"a":{"b":[]}}"#), Err(PacketError::TooDeep { depth_max: 2 }));
}

#[test]
fn keys_are_counted_over_the_whole_text() {
    let limits = Limits { json_keys_max: 3, ..Limits::default() };
    let scan = |text: &str| Scanner::new(text, &limits, Announced::new(0)).anything();
    assert_eq!(scan(r#"[{"a":1,"b":{"c":1}},{}]"#), Ok(()));
    for text in [r#"{"a":1,"b":1,"c":1,"d":1}"#, r#"[{"a":1},{"b":1},{"c":{"d":1}}]"#] {
        assert_eq!(scan(text), Err(PacketError::TooManyKeys { keys_max: 3 }), "{text}");
    }
}

#[test]
fn each_attachment_is_named_by_one_placeholder() {
    let scan = |text: &str, attachments| {
        let mut scanner = Scanner::new(text, &Limits::default(), Announced::new(attachments));
        scanner.anything().and_then(|()| scanner.placeholders.all_used())
    };
    for (text, attachments) in [
        ("[]", 0),
        (r#"{"_placeholder":true,"num":0}"#, 1),
        (r#"{ "num" : 0 , "_placeholder" : true }"#, 1),
        (r#"{"\u005fplaceholder":true,"n\u0075m":0}"#, 1),
        (r#"[{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}]"#, 2),
    ] {
        assert_eq!(scan(text, attachments), Ok(()), "{text}");
    }
    let all: Vec<_> = (0..64).map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#)).collect();
    assert_eq!(scan(&format!("[{}]", all.join(",")), 64), Ok(()));
    assert_eq!(scan(&format!("[{}]", all[1..].join(",")), 64), Err(PacketError::UnusedAttachment));

    for (text, attachments) in [
        // Out of range, twice the same.
        (r#"{"_placeholder":true,"num":0}"#, 0),
        (r#"{"_placeholder":true,"num":1}"#, 1),
        (r#"{"_placeholder":true,"num":64}"#, 64),
        (r#"{"_placeholder":true,"num":18446744073709551615}"#, 64),
        (r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#, 2),
        // Almost one.
        (r#"{"_placeholder":true}"#, 1),
        (r#"{"_placeholder":true,"num":-1}"#, 1),
        (r#"{"_placeholder":true,"num":"0"}"#, 1),
        (r#"{"_placeholder":true,"num":0.0}"#, 1),
        (r#"{"_placeholder":true,"num":1e0}"#, 2),
        (r#"{"_placeholder":true,"num":null}"#, 1),
        (r#"{"_placeholder":true,"num":18446744073709551616}"#, 1),
        (r#"{"_placeholder":true,"num":0,"a":1}"#, 1),
        (r#"{"a":{},"_placeholder":true,"num":0}"#, 1),
        (r#"{"_placeholder":true,"num":0,"num":0}"#, 1),
        (r#"{"_placeholder":true,"_placeholder":false}"#, 1),
        (r#"{"_placeholder":false,"_placeholder":true}"#, 0),
    ] {
        assert_eq!(scan(text, attachments), Err(PacketError::Placeholder), "{text}");
    }
    assert_eq!(scan("[]", 1), Err(PacketError::UnusedAttachment));
    assert_eq!(scan(r#"{"_placeholder":true,"num":1}"#, 2), Err(PacketError::UnusedAttachment));
}

/// Pieces that valid and nearly valid texts are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[", "]", "{", "}", ",", ":", "\"", "\\", "\\\"", "\\u", "\\ud83d", "\\ude00", "0", "1", "-", ".",
        "e", "E", "+", "true", "false", "null", " ", "\n", "\t", "\u{1}", "a", "é", "😀", "\"a\"", "\"b\":",
        "[1,2]", "{}", "1e308", "1e309",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Valid texts, and some in which one place has been spoiled.
fn nearly_valid() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
    ];
    let text = leaf.prop_recursive(4, 24, 6, |inner| {
        let member = (any::<String>(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|values| format!("[ {} ]", values.join(" ,"))),
            prop::collection::vec(member, 0..6).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(key, value)| format!("{}: {value}", serde_json::to_string(&key).unwrap()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    });
    (text, pieces(), any::<prop::sample::Index>(), 0_usize..3, any::<bool>()).prop_map(
        |(mut text, piece, at, removed, spoil)| {
            if spoil {
                let at = text.floor_char_boundary(at.index(text.len() + 1));
                let end = text.ceil_char_boundary((at + removed).min(text.len()));
                text.replace_range(at..end, &piece);
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Nothing that one takes is refused by the other.
    #[test]
    fn agrees_with_serde_json(text in pieces()) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(scan(&text).is_ok(), theirs.is_ok(), "{:?}", theirs);
    }

    #[test]
    fn agrees_with_serde_json_on_valid_texts_and_spoiled_ones(text in nearly_valid()) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(scan(&text).is_ok(), theirs.is_ok(), "{:?}", theirs);
    }

    /// The end of a plain run is found wherever it lies in the words that are looked at.
    #[test]
    fn plain_runs_end_where_a_byte_wise_look_ends(bytes in prop::collection::vec(prop_oneof![
        4 => 0x20_u8..0x7f, 1 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0x1d_u8..0x23,
    ], 0..40), at in 0_usize..40) {
        let at = at.min(bytes.len());
        let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
        let expected = bytes[at..].iter().position(special).map_or(bytes.len(), |found| at + found);
        prop_assert_eq!(plain_end(&bytes, at), expected);
    }
}
