//! What a guest receives in a second, at the most: the token bucket of its tap (tc-tbf(8)), which delays and then drops.
//! It goes with the tap.

use futures_util::StreamExt;
use rtnetlink::packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use rtnetlink::{Error, Handle};

use crate::types::Bandwidth;

/// Attributes of its options (linux/pkt_sched.h).
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
/// What goes out at once, in bytes: never less than two of the largest packets (64 KiB), and 10 ms of the rate, since
/// that is how far apart two looks at the bucket may be.
const BURST_LEAST: u64 = 128 << 10;
const BURSTS_A_SECOND: u64 = 100;
/// What waits, as a part of a second: longer queues only add delay.
const QUEUES_A_SECOND: u64 = 20;

/// Replaces the link's queue.
pub(super) async fn limit(handle: &Handle, link: u32, bandwidth: Bandwidth) -> Result<(), Error> {
    let mut message = TcMessage::with_index(link.cast_signed());
    message.header.parent = TcHandle::ROOT;
    message.attributes = vec![TcAttribute::Kind("tbf".into()), TcAttribute::Options(options(bandwidth))];
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    let mut answers = handle.clone().request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(Error::NetlinkError(error));
        }
    }
    Ok(())
}

fn options(bandwidth: Bandwidth) -> Vec<TcOption> {
    let rate = bandwidth.bytes_per_second();
    let burst = BURST_LEAST.max(rate / BURSTS_A_SECOND);
    let queue = burst + rate / QUEUES_A_SECOND;
    let bytes = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes();
    // struct tc_tbf_qopt: rate and peak rate (struct tc_ratespec, the rate its last four bytes), limit, buffer, mtu.
    let mut parameters = Vec::with_capacity(36);
    parameters.extend([0; 8]);
    parameters.extend(bytes(rate));
    parameters.extend([0; 12]);
    parameters.extend(bytes(queue));
    parameters.extend([0; 8]);
    let option = |kind, value| TcOption::Other(DefaultNla::new(kind, value));
    let mut options = vec![option(TCA_TBF_PARMS, parameters), option(TCA_TBF_BURST, bytes(burst).to_vec())];
    if rate > u64::from(u32::MAX) {
        options.push(option(TCA_TBF_RATE64, rate.to_ne_bytes().to_vec()));
    }
    options
}
