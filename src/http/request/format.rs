//! How a caller wants an answer written: its format, its layout, and the coding of its content. Pure.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How lists are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// JSON in the envelope.
    Json,
    /// Comma-separated values, without an envelope.
    Csv,
    /// One JSON object a line, without an envelope.
    Lines,
}

/// How JSON is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// In one line.
    Compact,
    /// With a line for each value.
    Indented,
}

/// How a list is to be written, by the `Accept` header: as CSV or lines where these rank above JSON (RFC 9110, 12.5.1).
pub(crate) fn accepted(headers: &HeaderMap) -> Format {
    let (mut csv, mut lines, mut json) = (0, 0, 0);
    for (kind, quality) in ranges(headers, &header::ACCEPT) {
        match kind.as_str() {
            "text/csv" | "text/comma-separated-values" => csv = csv.max(quality),
            "application/x-ndjson" => lines = lines.max(quality),
            "application/json" => json = json.max(quality),
            _ => {}
        }
    }
    if csv > json && csv >= lines {
        Format::Csv
    } else if lines > json {
        Format::Lines
    } else {
        Format::Json
    }
}

/// Leaves in `Accept-Encoding` what will be used: gzip, or nothing.
///
/// A caller who accepts neither gzip nor identity gets identity, as RFC 9110, 12.5.3 allows, and not 406: by the time that
/// an answer is written, a flush is done.
pub(crate) fn settle_coding(headers: &mut HeaderMap) {
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        return;
    }
    if accepts_gzip(headers) {
        let gzip = HeaderValue::from_static("gzip");
        headers.insert(header::ACCEPT_ENCODING, gzip);
    } else {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for (coding, quality) in ranges(headers, &header::ACCEPT_ENCODING) {
        match coding.as_str() {
            "gzip" | "x-gzip" => gzip = gzip.max(Some(quality)),
            "identity" => identity = identity.max(Some(quality)),
            "*" => any = any.max(Some(quality)),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The members of a header that lists what is accepted, in lower case, each with its quality in thousandths. A member with
/// an invalid quality is ignored.
pub(crate) fn ranges(
    headers: &HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (String, u16)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|member| {
            let mut parts = member.split(';').map(str::trim);
            let name = parts.next()?.to_ascii_lowercase();
            let stated = parts.find_map(|part| {
                let (key, value) = part.split_once('=')?;
                key.trim_end().eq_ignore_ascii_case("q").then_some(value)
            });
            let quality = match stated {
                Some(text) => quality(text.trim_start())?,
                None => 1000,
            };
            Some((name, quality))
        })
}

/// `0`, `0.5`, `1.000` in thousandths.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        let value = |value: &&'static str| (name.clone(), HeaderValue::from_static(value));
        values.iter().map(value).collect()
    }

    #[test]
    fn gzip_where_it_is_accepted_and_preferred() {
        for (accepted, gzip) in [
            (&["gzip"][..], true),
            (&["GZIP;q=0.1, br"], true),
            (&["x-gzip"], true),
            (&["*"], true),
            (&["br", "gzip ; Q = 0.3"], true),
            (&["identity;q=0"], false),
            (&["*;q=0"], false),
            (&["gzip;q=0, identity;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["gzip;q=0.000"], false),
            (&["gzip;q=0.5, identity"], false),
            (&["gzip;q=2"], false),
            (&["gzip;q=-1"], false),
            (&["br, deflate"], false),
            (&[""], false),
        ] {
            let mut headers = headers(&header::ACCEPT_ENCODING, accepted);
            settle_coding(&mut headers);
            let left = headers.get(header::ACCEPT_ENCODING);
            assert_eq!(left.is_some(), gzip, "{accepted:?}");
        }
    }

    #[test]
    fn csv_and_lines_where_they_rank_above_json() {
        for (accepted, expected) in [
            (&["text/csv"][..], Format::Csv),
            (&["text/csv;q=0.5, application/json"], Format::Json),
            (&["text/csv; header=present; q=0.5, */*;q=0.1"], Format::Csv),
            (&["application/json;q=0.4", "text/csv;q=0.5"], Format::Csv),
            (&["text/csv;q=none"], Format::Json),
            (&["application/x-ndjson"], Format::Lines),
            (&["application/x-ndjson, text/csv;q=0.9"], Format::Lines),
            (&["application/x-ndjson, application/json"], Format::Json),
            (&[], Format::Json),
        ] {
            let headers = headers(&header::ACCEPT, accepted);
            assert_eq!(super::accepted(&headers), expected, "{accepted:?}");
        }
    }
}
