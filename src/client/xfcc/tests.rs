use super::*;
use proptest::{collection::vec, prelude::*, sample::select};

fn names(header: &str) -> Option<Vec<String>> {
    peer_names(header).ok()
}

#[test]
fn an_element_has_the_uris_and_then_the_dns_names() {
    let by = "By=spiffe://mesh/ns/face/sa/facade;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";
    for (element, expected) in [
        (";Subject=\"\";URI=spiffe://mesh/ns/web/sa/login", &["spiffe://mesh/ns/web/sa/login"][..]),
        (";DNS=b.example;DNS=a.example;URI=spiffe://mesh/b", &["spiffe://mesh/b", "b.example", "a.example"]),
        (";URI=spiffe://mesh/a;URI=spiffe://mesh/b", &["spiffe://mesh/a", "spiffe://mesh/b"]),
        (";uri=spiffe://mesh/a;dns=a.example", &["spiffe://mesh/a", "a.example"]),
        (";Subject=\"CN=URI=x\\\\,O=a\\\"b;URI=no,URI=no\";URI=\"spiffe://mesh/a,b\"", &["spiffe://mesh/a,b"]),
        (";Cert=\"-----BEGIN%20CERTIFICATE-----%0A\";URI=https://a.example/?b=c%20d", &["https://a.example/?b=c%20d"]),
        (";Subject=\"CN=none\";URI=", &[]),
        ("", &[]),
    ] {
        let names = names(&format!("{by}{element}")).expect(element);
        assert_eq!(names, expected, "{element}");
    }
}

#[test]
fn elements_before_the_last_are_ignored() {
    for claim in ["URI=spiffe://mesh/admin", "By=a;Subject=\"b,c\";DNS=d,URI=e", "URI=\"a\\\"\"", "x=\"\""] {
        assert_eq!(names(&format!("{claim},URI=spiffe://mesh/a")), names("URI=spiffe://mesh/a"), "{claim}");
        assert_eq!(names(&format!("{claim}, URI=spiffe://mesh/a")), names("URI=spiffe://mesh/a"), "{claim}");
    }
}

#[test]
fn a_malformed_header_is_rejected() {
    for header in [
        "",
        ",",
        "URI",
        "=a",
        "URI=a;",
        "URI=a,",
        "URI=a;;URI=b",
        ",URI=a",
        "U RI=a",
        "URI =a",
        "\"URI\"=a",
        "URI=\"a",
        "URI=\"a\\\"",
        "URI=\"a\\",
        "URI=\"a\"b",
        "URI=\"a\" ",
        "URI=\"a\"é",
        "URI=\"a\"é,URI=b",
        "URI=a\"b\"",
        "URI=a b",
        "URI=a\u{7f}",
        "URI=é",
    ] {
        assert_eq!(names(header), None, "{header:?}");
    }
}

#[test]
fn a_claim_cannot_hide_the_last_element_behind_a_quote() {
    let sidecar = "By=a;Subject=\"O=,URI=spiffe://mesh/admin,x=\";URI=spiffe://mesh/a";
    assert_eq!(names(sidecar), Some(vec!["spiffe://mesh/a".into()]));
    for claim in ["x=\"", "x=\"\\", "URI=spiffe://mesh/admin;x=\"\\\"", "x=\"\";y=\"", "x=\"\"\""] {
        assert_eq!(names(&format!("{claim},{sidecar}")), None, "{claim}");
    }
}

#[test]
fn the_header_and_its_names_are_bounded() {
    let long = "a".repeat(MAX_NAME_BYTES);
    assert_eq!(names(&format!("URI={long}")), Some(vec![long.clone()]));
    assert_eq!(names(&format!("URI={long}a")), None);
    let many = vec!["DNS=a"; MAX_NAMES].join(";");
    assert_eq!(names(&many).map(|names| names.len()), Some(MAX_NAMES));
    assert_eq!(names(&format!("{many};URI=b")), None);
    assert_eq!(names(&format!("{many};URI=b,URI=c")), Some(vec!["c".into()]));
    let chain = "a".repeat(MAX_HEADER_BYTES - "Chain=;URI=b".len());
    assert_eq!(names(&format!("Chain={chain};URI=b")), Some(vec!["b".into()]));
    assert_eq!(names(&format!("Chain={chain}a;URI=b")), None);
}

/// Generates a pair as a sidecar can write it, and the name in it, if any. Quoted values contain
/// any character that is allowed within quotes.
fn pair() -> impl Strategy<Value = (String, Option<(bool, String)>)> {
    let key = select(vec!["By", "Hash", "Cert", "Chain", "Subject", "URI", "DNS", "uri"]);
    let unquoted = "[a=/\\\\]{0,6}".prop_map(|text| (text.clone(), text));
    let quoted = "[a=,;\"\\\\/]{0,8}".prop_map(|text| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        (format!("\"{escaped}\""), text)
    });
    (key, prop_oneof![unquoted, quoted]).prop_map(|(key, (written, value))| {
        let is_uri = key.eq_ignore_ascii_case("uri");
        let name = (is_uri || key == "DNS").then_some((is_uri, value)).filter(|(_, value)| !value.is_empty());
        (format!("{key}={written}"), name)
    })
}

fn element() -> impl Strategy<Value = (String, Vec<String>)> {
    vec(pair(), 1..6).prop_map(|pairs| {
        let (written, names): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let (uris, dns): (Vec<_>, Vec<_>) = names.into_iter().flatten().partition(|(is_uri, _)| *is_uri);
        (written.join(";"), uris.into_iter().chain(dns).map(|(_, name)| name).collect())
    })
}

/// Generates what a client can send: any text, and text that is almost a valid header.
fn claim() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,20}", "[a=,;\"\\\\ ]{0,12}", "(URI=a[,;])?[a-c]=\"?[a=,;\"\\\\]{0,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_names_of_an_element_are_those_that_were_written((element, expected) in element()) {
        prop_assert_eq!(peer_names(&element), Ok(expected));
    }

    #[test]
    fn no_claim_becomes_or_changes_the_last_element(claim in claim(), (element, expected) in element()) {
        if let Ok(names) = peer_names(&format!("{claim},{element}")) {
            prop_assert_eq!(names, expected);
        }
    }

    #[test]
    fn a_well_formed_claim_hides_no_name((claim, _) in element(), (element, expected) in element()) {
        prop_assert_eq!(peer_names(&format!("{claim},{element}")), Ok(expected));
    }
}
