//! A target that is played by hand, for what a real one does not do: it leaves commands unanswered, and answers wrongly.
//! One unit of 1 MiB in memory, without persistent reservations. A stand-in: nothing is proved by what it does well.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use storage_iscsi::protocol::frame::{Digests, first, write};
use storage_iscsi::protocol::header::{FINAL, Header, request, response};

use crate::bed::{MIB, TARGET};

/// What it does with a request.
pub enum Say {
    Usual,
    Nothing,
    /// These, with numbers filled in.
    These(Vec<(Header, Vec<u8>)>),
}

/// A request, and which connection it came by, from 1 on.
#[derive(Clone, Copy)]
pub struct Asked {
    pub connection: usize,
    pub header: Header,
}

impl Asked {
    pub fn is(&self, operation: u8) -> bool {
        self.header.opcode() == request::COMMAND && self.header.byte(32) == operation
    }

    /// The function of task management, where it is any.
    pub fn function(&self) -> Option<u8> {
        (self.header.opcode() == request::TASK_MANAGEMENT).then(|| self.header.flags() & 0x7f)
    }
}

type Script = Box<dyn FnMut(Asked) -> Say + Send>;

/// It listens until the test's process ends.
pub struct Fake {
    pub address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    script: Script,
    connections: usize,
    disk: Vec<u8>,
}

impl Fake {
    pub fn start(script: impl FnMut(Asked) -> Say + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State { script: Box::new(script), connections: 0, disk: vec![0; MIB as usize] };
        let state = Arc::new(Mutex::new(state));
        let of_thread = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = of_thread.clone();
                std::thread::spawn(move || serve(client, &state));
            }
        });
        Fake { address, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.state().connections
    }
}

fn serve(mut client: TcpStream, state: &Mutex<State>) {
    let connection = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.connections
    };
    let mut numbers = (1_u32, 1_u32);
    let mut came = Vec::new();
    let mut bytes = [0; 65536];
    while let Ok(got @ 1..) = client.read(&mut bytes) {
        came.extend_from_slice(&bytes[..got]);
        while let Some((pdu, used)) = first(&came, Digests::default()).unwrap() {
            let (header, data) = (pdu.header, pdu.data.to_vec());
            came.drain(..used);
            let mut state = state.lock().unwrap();
            let said = match (state.script)(Asked { connection, header }) {
                Say::Usual => vec![usual(header, &data, &mut state.disk)],
                Say::Nothing => Vec::new(),
                Say::These(said) => said,
            };
            drop(state);
            if header.0[0] & 0x40 == 0 && header.opcode() != request::DATA_OUT {
                numbers.1 = header.u32(24).wrapping_add(1);
            }
            let mut out = Vec::new();
            for (answer, data) in said {
                let numbered = answer.put_u32(24, numbers.0).put_u32(28, numbers.1).put_u32(32, numbers.1 + 32);
                let counts = match answer.opcode() {
                    response::DATA_IN => answer.flags() & 1 != 0,
                    response::READY_TO_TRANSFER => false,
                    _ => true,
                };
                numbers.0 += u32::from(counts);
                write(&mut out, numbered, &data, Digests::default());
            }
            if client.write_all(&out).is_err() {
                return;
            }
        }
    }
}

/// A response with status GOOD.
pub fn good(header: Header) -> Header {
    Header::new(response::RESPONSE, FINAL).tagged(header.tag())
}

/// Data that is the last, with status GOOD.
pub fn data(header: Header) -> Header {
    Header::new(response::DATA_IN, FINAL | 1).tagged(header.tag())
}

fn usual(header: Header, sent: &[u8], disk: &mut [u8]) -> (Header, Vec<u8>) {
    let of = |opcode: u8| Header::new(opcode, FINAL).tagged(header.tag());
    match header.opcode() {
        request::LOGIN if header.flags() & 0x0c == 0 => {
            (of(response::LOGIN).put(1, &[0x81]), b"AuthMethod=None\0TargetPortalGroupTag=1\0".to_vec())
        }
        request::LOGIN => {
            let keys = "HeaderDigest=None\0DataDigest=None\0MaxRecvDataSegmentLength=262144\0InitialR2T=Yes\0\
                        ImmediateData=Yes\0MaxBurstLength=262144\0FirstBurstLength=65536\0";
            (of(response::LOGIN).put(1, &[0x87]).put_u16(14, 1), keys.as_bytes().to_vec())
        }
        request::NOP_OUT => (of(response::NOP_IN).put_u32(20, u32::MAX), Vec::new()),
        request::TASK_MANAGEMENT => (of(response::TASK_MANAGEMENT), Vec::new()),
        request::LOGOUT => (of(response::LOGOUT), Vec::new()),
        request::COMMAND => scsi(header, sent, disk),
        other => panic!("nobody sends opcode {other:#x} to a target like this"),
    }
}

fn scsi(header: Header, sent: &[u8], disk: &mut [u8]) -> (Header, Vec<u8>) {
    let place = header.u32(38) as usize * 512;
    let length = header.u32(42) as usize * 512;
    let told = match (header.byte(32), header.byte(33), header.byte(34)) {
        (0x12, 0, _) => [&[0, 0, 5, 2, 31, 0, 0, 0][..], b"FAKE    played by hand  0001"].concat(),
        (0x12, 1, 0x00) => vec![0, 0, 0, 2, 0x00, 0x83],
        (0x12, 1, 0x83) => [&[0, 0x83, 0, 12, 2, 1, 0, 8][..], &TARGET.as_bytes()[..8]].concat(),
        (0x9e, _, _) => {
            let mut capacity = vec![0; 32];
            capacity[..8].copy_from_slice(&(MIB / 512 - 1).to_be_bytes());
            capacity[8..12].copy_from_slice(&512_u32.to_be_bytes());
            capacity
        }
        (0x1a, _, _) => vec![3, 0, 0, 0],
        (0x88, _, _) => disk[place..place + length].to_vec(),
        (0x8a, _, _) => {
            disk[place..place + length].copy_from_slice(sent);
            return (good(header), Vec::new());
        }
        (0x35, _, _) => return (good(header), Vec::new()),
        // ILLEGAL REQUEST, there is no such command: PERSISTENT RESERVE IN too.
        _ => return (good(header).put(3, &[2]), vec![0, 8, 0x72, 5, 0x20, 0, 0, 0, 0, 0]),
    };
    (data(header), told)
}
