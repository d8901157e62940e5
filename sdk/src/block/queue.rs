//! A volume's requests as the host hands them over: many at a time, all of them within one call of the plugin.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::BlockDevice;
use crate::bindings::host::fief::storage::requests::{self, Act, Read, Request, Write, WritePayload};
use crate::error::Result;
use crate::payload::{Data, Payload};

thread_local! {
    /// One instance serves one volume.
    static OPENED: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
}

pub(super) fn opened<T: BlockDevice>(device: Rc<T>) {
    OPENED.with(|opened| opened.replace(Some(device)));
}

/// For as long as the instance lives.
pub(super) async fn serve<T: BlockDevice>() {
    let opened = OPENED.with(RefCell::take);
    let Some(device) = opened.and_then(|device| device.downcast::<T>().ok()) else { return };
    loop {
        for Request { number, act } in requests::take().await {
            let device = device.clone();
            let mut answered = Box::pin(async move { answer(number, perform(&*device, act).await) });
            // Many are done at once, and need no task of their own.
            let done = poll_fn(|context| Poll::Ready(answered.as_mut().poll(context).is_ready())).await;
            if !done {
                crate::spawn(answered);
            }
        }
    }
}

async fn perform<T: BlockDevice>(device: &T, act: Act) -> Result<Data> {
    let written = match act {
        Act::Read(Read { offset, length }) => return device.read_data(offset, length).await,
        Act::Write(Write { offset, data, durable }) => device.write_data(offset, Data::Bytes(data), durable).await,
        Act::WritePayload(WritePayload { offset, data, durable }) => {
            device.write_data(offset, Data::Payload(Payload::from_host(data)), durable).await
        }
    };
    written.map(|()| Data::Bytes(Vec::new()))
}

fn answer(number: u64, outcome: Result<Data>) {
    match outcome {
        Ok(Data::Bytes(bytes)) => requests::answer(number, Ok(&bytes)),
        Ok(Data::Within(bytes, range)) => requests::answer(number, Ok(bytes.get(range).unwrap_or_default())),
        Ok(Data::Payload(payload)) => requests::answer_payload(number, payload.into_host()),
        Err(error) => requests::answer(number, Err(&error)),
    }
}
