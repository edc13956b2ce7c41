//! The phones of the demo: three accounts of a Kazoo, with the kinds of contacts that its operators see.

use crate::support::account::Account;
use crate::support::kamailio::Kamailio;
use crate::support::phone::{Phone, Transport};

/// Seconds for which they register.
const EXPIRES: u32 = 120;

/// The accounts.
pub(crate) fn accounts() -> [Account; 3] {
    [
        Account::new("ac3e", "Acme", "acme.sip.example.com"),
        Account::new("91be", "Globex", "globex.sip.example.com"),
        Account::new("1217", "Initech", "initech.sip.example.com"),
    ]
}

/// Two dozen phones of theirs, not yet registered.
pub(crate) fn phones(kamailio: &Kamailio, ipv6: bool) -> Vec<Phone> {
    let [acme, globex, initech] = accounts();
    let mut phones = Vec::new();
    let mut number = 0;
    let mut device = |account: &Account, username: &str| {
        number += 1;
        account.device(username, number)
    };

    for user in ["alice", "bob", "carol", "dave", "erin", "frank", "grace"] {
        let device = device(&acme, user);
        phones.push(Phone::of(kamailio, &device).user_agent("Yealink SIP-T46U 108.86.0.118"));
    }
    // Bob takes his calls on a second phone too.
    let mobile = device(&acme, "bob");
    phones.push(
        Phone::tcp(kamailio, "bob", &acme.realm)
            .attributes(&mobile)
            .q("0.5")
            .user_agent("Linphone Android/5.2.3"),
    );

    for (user, host) in [
        ("office_1", "192.168.1.20:5060;line=abc"),
        ("office_2", "192.168.1.21:5060;ob"),
        ("office_3", "10.0.0.17:5062"),
        ("office_4", "172.16.4.9:1024;rinstance=4f1c"),
    ] {
        let device = device(&globex, user);
        phones.push(
            Phone::of(kamailio, &device)
                .contact(format!("sip:{user}@{host}"))
                .user_agent("Grandstream GXP2170 1.0.11.79"),
        );
    }
    for user in ["floor_1", "floor_2", "floor_3"] {
        let device = device(&globex, user);
        phones.push(
            Phone::tcp(kamailio, user, &globex.realm)
                .attributes(&device)
                .user_agent("PolycomVVX-VVX_450-UA/6.4.3"),
        );
    }
    let lobby = device(&globex, "lobby");
    phones.push(
        Phone::of(kamailio, &lobby)
            .contact("sip:lobby@192.0.2.44;transport=tls")
            .user_agent("snomD785/10.1.175.16"),
    );

    let vault = device(&initech, "vault");
    phones.push(Phone::of(kamailio, &vault).contact("sips:vault@192.0.2.45"));
    let border = device(&initech, "border");
    phones.push(
        Phone::of(kamailio, &border)
            .contact("sip:border@192.0.2.46:5070")
            .path("<sip:edge.example.net;lr>"),
    );
    for user in ["six_1", "six_2", "six_3"] {
        let device = device(&initech, user);
        let phone = if ipv6 {
            Phone::with(kamailio.address_v6(), Transport::Udp, user, &initech.realm)
                .attributes(&device)
        } else {
            Phone::of(kamailio, &device).contact(format!(
                "sip:{user}@[2001:db8::{user_end}]:5070",
                user_end = &user[4..]
            ))
        };
        phones.push(phone.user_agent("baresip v3.1.0 (x86_64/Linux)"));
    }
    for user in ["desk_1", "desk_2", "desk_3"] {
        let device = device(&initech, user);
        phones.push(Phone::of(kamailio, &device).user_agent("Cisco/SPA504G-7.6.2"));
    }
    phones
        .into_iter()
        .map(|phone| phone.expires(EXPIRES))
        .collect()
}
