//! One form for the addresses of one page.

/// Parameters that say where a visitor came from, not what is shown.
const TRACKING: &[&str] =
    &["gclid", "fbclid", "dclid", "msclkid", "yclid", "igshid", "mc_cid", "mc_eid", "ref_src", "spm", "share_token", "_ga"];

/// The address without scheme, `www.`, usual port, fragment, final slash and tracking parameters; host in lower case, parameters in
/// order. `None` for an empty one.
///
/// ```
/// use crawl_clean::dedup::url::normalized;
/// assert_eq!(normalized("HTTPS://www.Example.org:443/a/?utm_source=x&b=2&a=1#top").as_deref(), Some("example.org/a?a=1&b=2"));
/// ```
#[must_use]
pub fn normalized(address: &str) -> Option<String> {
    let address = address.trim();
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (String::new(), address),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (host, tail) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    // What stands before an @ is a user's name.
    let host = host.rsplit('@').next().unwrap_or_default().to_lowercase();
    let host = host.trim_end_matches('.');
    let port = match scheme.as_str() {
        "https" => ":443",
        _ => ":80",
    };
    let host = host.strip_suffix(port).unwrap_or(host);
    let host = host.strip_prefix("www.").unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let mut parameters: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !is_tracking(part)).collect();
    parameters.sort_unstable();
    let mut out = format!("{host}{}", path.trim_end_matches('/'));
    if !parameters.is_empty() {
        out.push('?');
        out.push_str(&parameters.join("&"));
    }
    Some(out)
}

fn is_tracking(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    name.starts_with("utm_") || TRACKING.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_page_are_one() {
        for (address, want) in [
            ("http://Example.org", Some("example.org")),
            ("https://www.example.org/", Some("example.org")),
            ("http://example.org:80/?", Some("example.org")),
            ("http://example.org:8080/a", Some("example.org:8080/a")),
            ("http://user:pw@example.org./a//", Some("example.org/a")),
            ("http://example.org/A?UTM_medium=1&z=1&fbclid=2&b", Some("example.org/A?b&z=1")),
            ("http://例子.cn/页?页=2#章", Some("例子.cn/页?页=2")),
            ("example.org/x", Some("example.org/x")),
            ("", None),
            ("http:///x", None),
        ] {
            assert_eq!(normalized(address).as_deref(), want, "{address}");
        }
    }
}
