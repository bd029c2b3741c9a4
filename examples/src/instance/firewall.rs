//! The rules of the instance's firewall.

/// A rule of the firewall.
#[derive(PartialEq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

/// What a rule is about.
#[derive(PartialEq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Rule {
    /// Reads `allow 443/tcp`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fault = |what: &str| format!("firewall rule `{text}`: {what}");
        let (action, target) = text.split_once(' ').ok_or_else(|| fault("expected an action and a port"))?;
        let allow = match action {
            "allow" => true,
            "deny" => false,
            _ => return Err(fault("the action is allow or deny")),
        };
        let (port, protocol) = target.split_once('/').ok_or_else(|| fault("expected a port and a protocol"))?;
        let port = port.parse().map_err(|_| fault("not a port"))?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(fault("the protocol is tcp or udp")),
        };
        Ok(Self { allow, port, protocol })
    }
}
