//! fastwebsockets under hyper, on a runtime of one thread; it has no extensions.

use std::{cell::RefCell, collections::HashMap, convert::Infallible, rc::Rc};

use fastwebsockets::{
    upgrade::{upgrade, UpgradeFut},
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError,
    WebSocketWrite,
};
use hyper::{server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::WriteHalf,
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::{spawn_local, unconstrained, LocalSet},
};

type Member = Rc<Mutex<WebSocketWrite<WriteHalf<TokioIo<Upgraded>>>>>;
type Room = Rc<RefCell<HashMap<usize, Member>>>;

async fn echo(opening: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(opening.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn member(opening: UpgradeFut, number: usize, room: Room) -> Result<(), WebSocketError> {
    let (reader, writer) = opening.await?.split(tokio::io::split);
    let writer = Rc::new(Mutex::new(writer));
    room.borrow_mut().insert(number, writer.clone());
    let mut reader = FragmentCollectorRead::new(reader);
    let mut answer = |frame| {
        let writer = writer.clone();
        async move { writer.lock().await.write_frame(frame).await }
    };
    while let Ok(frame) = reader.read_frame(&mut answer).await {
        if frame.opcode == OpCode::Close {
            break;
        }
    }
    room.borrow_mut().remove(&number);
    Ok(())
}

async fn publish(opening: UpgradeFut, room: Room) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(opening.await?);
    loop {
        let frame = socket.read_frame().await?;
        if frame.opcode == OpCode::Close {
            return Ok(());
        }
        let members: Vec<Member> = room.borrow().values().cloned().collect();
        for member in members {
            let copy = Frame::new(true, frame.opcode, None, Payload::Borrowed(&frame.payload));
            let _ = member.lock().await.write_frame(copy).await; // its own task sees it end
        }
    }
}

async fn serve(stream: TcpStream, number: usize, room: Room) {
    let service = service_fn(move |mut request| {
        let room = room.clone();
        async move {
            let (response, opening) = upgrade(&mut request)?;
            match request.uri().path() {
                "/room" => spawn_local(unconstrained(member(opening, number, room))),
                "/publish" => spawn_local(unconstrained(publish(opening, room))),
                _ => spawn_local(unconstrained(echo(opening))),
            };
            Ok::<_, WebSocketError>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await; // what a client does wrong is not this server's end
}

async fn accept(port: u16) -> std::io::Result<Infallible> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let room = Room::default();
    let mut number = 0;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(serve(stream, number, room.clone()));
        number += 1;
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, accept(port)).map(|_| ())
}
