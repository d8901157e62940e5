//! Addresses and routes from one link to another, each said again as the kernel said it.

use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage};

use futures_util::StreamExt;

use super::super::netlink::{errno, failed};
use super::facts::UplinkFacts;
use crate::error::{Failure, Result};

/// Sets each address on `to` and takes it from `from`. One is taken only once the other has it.
pub(super) async fn addresses(handle: &Handle, facts: &UplinkFacts, from: u32, to: u32) -> Result<()> {
    for message in facts.address_messages()? {
        let said = say(
            handle,
            RouteNetlinkMessage::NewAddress(on(message.clone(), to, to == facts.index)),
            NLM_F_CREATE | NLM_F_REPLACE,
        );
        said.await.map_err(|failure| failure.while_doing(format!("cannot set an address on {}", facts.link)))?;
        if from == to {
            continue;
        }
        let mut old = message;
        old.header.index = from;
        match handle.address().del(old).execute().await {
            Err(error) if !matches!(errno(&error), Some(libc::ENODEV | libc::EADDRNOTAVAIL)) => {
                return Err(failed("cannot take an address from where it was".into(), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The message for another link, or, on its way `home`, word for word.
fn on(mut message: AddressMessage, index: u32, home: bool) -> AddressMessage {
    message.header.index = index;
    if home {
        return message;
    }
    // It was this machine's until now: nobody else can have it (RFC 4862, 5.4).
    message.header.flags |= AddressHeaderFlags::Nodad;
    for attribute in &mut message.attributes {
        if let AddressAttribute::Flags(flags) = attribute {
            *flags |= AddressFlags::Nodad;
        }
    }
    // A label is of the link that it names.
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Label(_)));
    message
}

/// Sets each route, so that it leaves by `to`.
pub(super) async fn routes(handle: &Handle, facts: &UplinkFacts, to: u32) -> Result<()> {
    for message in facts.route_messages()? {
        let said = say(handle, RouteNetlinkMessage::NewRoute(by(message, to)), NLM_F_CREATE | NLM_F_REPLACE);
        said.await.map_err(|failure| failure.while_doing(format!("cannot set a route of {}", facts.link)))?;
    }
    Ok(())
}

fn by(mut message: RouteMessage, index: u32) -> RouteMessage {
    // All but this one tell how things are, not how they should be.
    message.header.flags &= RouteFlags::Onlink;
    message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_)));
    for attribute in &mut message.attributes {
        if let RouteAttribute::Oif(oif) = attribute {
            *oif = index;
        }
    }
    message
}

/// One message with the given flags, and its acknowledgement.
async fn say(handle: &Handle, message: RouteNetlinkMessage, flags: u16) -> Result<()> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut handle = handle.clone();
    let mut answers =
        handle.request(request).map_err(|error| Failure::other("the kernel cannot be asked").because(error))?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && let Some(code) = error.code
            && code.get() != -libc::EEXIST
        {
            return Err(
                Failure::other("the kernel refused it").because(std::io::Error::from_raw_os_error(code.get().abs()))
            );
        }
    }
    Ok(())
}
